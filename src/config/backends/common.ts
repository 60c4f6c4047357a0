// The keys that backends of several protocols share: servers, TLS of the probe, tempo, and who wins among several writers.
// What only one protocol has stands beside this, in a file of its name. Part of schema.ts.

import { z } from 'zod';
import { rankOfServer, readRank, unranked } from '../schema-reads.ts';
import { address, duration, name, pace } from '../schema-values.ts';
import { serverMaxConnections } from '../schema-limits.ts';

export { tls, wholeTls } from './common-tls.ts';

export const PROTOCOL_MEANING =
  'What the servers speak. `postgres`, `mysql` and `redis` have a primary; of `http` and `tcp` servers none is the primary, and frontends need `route: any`.';
export const CHECK_MEANING = 'How the servers are probed.';

const risesAndFalls = {
  rise: z
    .int()
    .min(1)
    .max(100)
    .default(1)
    .meta({ description: 'Good probes in a row before a down server is up.' }),
  fall: z
    .int()
    .min(1)
    .max(100)
    .default(2)
    .meta({ description: 'Failed probes in a row before an up server is down.' }),
};
const interval = pace().prefault('1s').meta({ description: 'Between two probes while all is well.' });
const timeout = pace().prefault('1s').meta({ description: 'How long one probe may take.' });

const fastInterval = pace().prefault('50ms').meta({
  description: 'Between two probes of a server while anything is in doubt.',
});
const promotionInterval = pace().prefault('10ms').meta({
  description: 'Between two probes of a healthy replica while there is no primary: it may be the next one.',
});
const reconnectInterval = duration().prefault('10s').meta({
  description:
    'How often the probe session is replaced by a fresh connection, which shows a server that serves open sessions but no new ones. 0: never.',
});

/** The tempo of every probe, and how many of them count. */
export const tempo = { interval, fast_interval: fastInterval, timeout, ...risesAndFalls };

/** Of databases: they are waited for to be promoted, and their probe sessions stay open. */
export const databaseTempo = {
  interval,
  fast_interval: fastInterval,
  promotion_interval: promotionInterval,
  reconnect_interval: reconnectInterval,
  timeout,
  ...risesAndFalls,
};

type Read<Keys> = { readonly [K in keyof Keys]: Keys[K] extends z.ZodType<infer T> ? T : never };

export const readTempo = (c: Read<typeof tempo>) => ({
  intervalMs: c.interval,
  fastIntervalMs: c.fast_interval,
  timeoutMs: c.timeout,
  rise: c.rise,
  fall: c.fall,
});

export const readDatabaseTempo = (c: Read<typeof databaseTempo>) => ({
  ...readTempo(c),
  promotionIntervalMs: c.promotion_interval,
  reconnectIntervalMs: c.reconnect_interval,
});

export const writable = z.string().min(1).max(4096);
export const WRITABLE_MEANING =
  'Own SQL that decides who the primary is: one whose first value is true, 1, t, yes, on, primary, master or writable. Anything else, and no row, says no; an error is shown as the state of the server. A read-only server is never writable, whatever it says.';

const weight = z.int().min(1).max(256).default(100).meta({
  description:
    'Its share of the sessions, measured against the weights of the others, where there is a choice.',
});

const plainServer = address().transform(at => ({
  address: at,
  weight: 100,
  maxConnections: null,
  ...unranked,
}));
const NOT_A_SERVER = { error: 'is not a server; write host:port, or { address: host:port }' };
const TOO_FEW = { error: 'is not enough: a backend needs at least one server' };

const serverAddress = (port: number) =>
  address().meta({ description: 'host:port of the server.', sample: `10.0.0.2:${port}` });

/** How the members are written in the reference: both ways. */
const membersNotes = (initials: string, port: number) => ({
  description:
    'The members by name: `name: host:port`, or `name:` and the keys below. Their order is that of the file.',
  sample: { [`${initials}1`]: `10.0.0.1:${port}`, [`${initials}2`]: { address: `10.0.0.2:${port}` } },
});

export function servers(initials: string, port: number) {
  const server = z.union(
    [
      plainServer,
      z
        .strictObject({
          address: serverAddress(port),
          weight,
          max_connections: serverMaxConnections,
          ...rankOfServer,
        })
        .transform(s => ({
          address: s.address,
          weight: s.weight,
          maxConnections: s.max_connections ?? null,
          ...readRank(s),
        })),
    ],
    NOT_A_SERVER,
  );
  return z
    .record(name, server)
    .refine(s => Object.keys(s).length > 0, TOO_FEW)
    .meta(membersNotes(initials, port));
}

/** Of databases: what decides about one server may differ from the others (a main and its deputy, say). */
export function databaseServers(initials: string, port: number) {
  const server = z.union(
    [
      plainServer.transform(s => ({ ...s, writable: null })),
      z
        .strictObject({
          address: serverAddress(port),
          weight,
          max_connections: serverMaxConnections,
          ...rankOfServer,
          writable: writable.optional().meta({
            description: 'Instead of `check.writable`, for this server.',
            sample: 'select true',
          }),
        })
        .transform(s => ({
          address: s.address,
          weight: s.weight,
          maxConnections: s.max_connections ?? null,
          ...readRank(s),
          writable: s.writable ?? null,
        })),
    ],
    NOT_A_SERVER,
  );
  return z
    .record(name, server)
    .refine(s => Object.keys(s).length > 0, TOO_FEW)
    .meta(membersNotes(initials, port));
}

export const settle = duration().prefault(0).meta({
  description:
    'A server that comes back as a writer without proof of a promotion is believed when it has been writable for this long: who manages failovers may be about to promote another. 0: at once. Not needed where an orchestrator is asked: its word is proof.',
});

export const maxServers = z.int().min(1).max(64).default(8).meta({
  description:
    'How many servers may be learned when `servers` is left out. They are called by protocol and number (postgres-1, postgres-2 …), and keep their names while they are listed.',
});

/** Of protocols whose servers may understand it: PostgreSQL and Redis don't. */
export const sendProxy = z.enum(['v1', 'v2', 'v2-crc32c']).optional().meta({
  description:
    'Every connection to the servers begins with a PROXY header that names the client, and every probe with one that names nobody: the servers must expect it. `v2` passes on what a proxy before us said beside the addresses (TLVs); `v2-crc32c` adds a checksum. Left out: none is sent.',
  sample: 'v2',
});

export const slowStart = (byDefault: '0s' | '10s') =>
  duration()
    .prefault(byDefault === '0s' ? 0 : byDefault)
    .meta({
      description:
        'A server that has come up again takes this long to grow to its full share of new sessions, where there is a choice. 0: at once.',
    });

export const multipleWriters = (newest: string) =>
  z
    .enum(['newest', 'keep', 'block', 'ordered'])
    .default('newest')
    .meta({
      description: `What happens while several servers claim to be writable: \`newest\` follows ${newest} (else the present one, else hold), \`keep\` the present one (else hold), \`block\` nobody, \`ordered\` the first in file order that is writable (the present one stays).`,
    });
