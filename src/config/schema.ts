// The single source of the configuration: types, defaults, checks of each value, JSON Schema and reference page.
// Not the place for rules between keys (lint.ts) nor for reading files (load.ts).
// `sample` in the notes of a key is a value as it would be written; the JSON Schema calls it an example.
// An error text here is the second half of a sentence ("is not a name …"): load.ts puts the value before it, or hides it.

import { BlockList } from 'node:net';
import { addToBlockList } from './addresses.ts';
import { z } from 'zod';
import { DURATION_PATTERN, HOST_PORT_PATTERN, readDuration, readHostPort, type Reading } from './units.ts';

function reading<T>(context: z.RefinementCtx, result: Reading<T>): T {
  if (result.ok) return result.value;
  context.addIssue({ code: 'custom', message: result.reason });
  return z.NEVER;
}

/** A duration in the file; milliseconds in the program. */
const duration = () =>
  z
    .union([z.literal(0), z.string().meta({ pattern: DURATION_PATTERN })], { error: wrongDuration })
    .transform((text, context) => reading(context, readDuration(text)));

function wrongDuration({ input }: { readonly input?: unknown }): string {
  const read = readDuration(typeof input === 'number' ? input : '');
  return read.ok ? '' : read.reason;
}

/** A duration that paces something: anything shorter would keep a processor busy for nothing. */
const pace = () => duration().refine(ms => ms >= 1, { error: 'is too short; it must be at least 1ms' });

const address = (allowZero = false) =>
  z
    .string({ error: 'is not an address; write host:port' })
    .meta({ pattern: HOST_PORT_PATTERN })
    .transform((text, context) => reading(context, readHostPort(text, allowZero)));

/** Not of digits alone: JavaScript objects put such keys first, and the order of the servers in the file counts. */
const name = z
  .string({ error: 'is not a name; put it in quotes' })
  .regex(/^(?!\d+$)[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/, {
    error:
      'is not a name: a name starts with a letter or digit, holds up to 63 letters, digits, "_", "." and "-", and is more than a number',
  });

const NOT_A_NETWORK = 'is not an address or network; write it as 10.0.0.0/8, 192.0.2.7 or ::1';
const cidr = z.string({ error: NOT_A_NETWORK }).refine(isCidr, { error: NOT_A_NETWORK });

function isCidr(text: string): boolean {
  try {
    addToBlockList(new BlockList(), text);
    return true;
  } catch {
    return false; // BlockList throws on anything that is no address; the refinement says so by key
  }
}

const admin = z
  .strictObject({
    bind: address(true).prefault('127.0.0.1:9101').meta({
      description:
        'Where /metrics, /livez, /readyz and /api/v1 are served. Loopback unless you say otherwise.',
    }),
  })
  .prefault({})
  .meta({ description: 'The admin HTTP server.' });

const log = z
  .strictObject({
    level: z
      .enum(['debug', 'info', 'warn', 'error'])
      .default('info')
      .meta({ description: 'The least severe lines that are written (JSON, on stderr).' }),
  })
  .prefault({})
  .meta({ description: 'Logging.' });

const engine = z
  .strictObject({
    driver: z.enum(['auto', 'kernel', 'net']).default('auto').meta({
      description:
        'What moves the bytes: `kernel` (Linux system calls in worker threads, the fast one), `net` (Node’s own sockets, everywhere), or `auto`: `kernel` where it runs, else `net`, with a line in the log that says why.',
    }),
    io: z.enum(['auto', 'io_uring', 'epoll']).default('auto').meta({
      description:
        'How the `kernel` driver talks to the kernel: by `io_uring`, which costs less and which many containers forbid, by `epoll` alone, or `auto`: `io_uring` where it is allowed, else `epoll`, with a line in the log that says why.',
    }),
    workers: z.int().min(1).max(64).optional().meta({
      description:
        'Worker threads of the `kernel` driver. Left out: one less than there are processors, at least 1 and at most 8.',
      sample: 2,
    }),
  })
  .prefault({})
  .transform(e => ({ driver: e.driver, io: e.io, workers: e.workers ?? null }))
  .meta({ description: 'The data plane.' });

/** Whole seconds, as the kernel counts them; rounded up. */
const seconds = () => duration().refine(ms => ms >= 1000, { error: 'is too short; it must be at least 1s' });

const tcp = z
  .strictObject({
    keepalive_idle: seconds()
      .prefault('30s')
      .meta({ description: 'A connection silent for this long is asked whether its peer still lives.' }),
    keepalive_interval: seconds().prefault('10s').meta({
      description: 'Between two such questions while no answer comes. Of the `kernel` driver.',
    }),
    keepalive_count: z
      .int()
      .min(1)
      .max(127)
      .default(3)
      .meta({ description: 'Unanswered questions after which the peer is dead. Of the `kernel` driver.' }),
    user_timeout: duration().prefault(0).meta({
      description:
        'A connection whose peer acknowledges nothing, or takes nothing, for this long is given up (TCP_USER_TIMEOUT). It ends a session whose reader merely pauses, too: keep it longer than any reader may. 0: the system’s own patience, about 15 minutes. Of the `kernel` driver.',
    }),
  })
  .prefault({})
  .transform(t => ({
    keepaliveIdleSeconds: Math.ceil(t.keepalive_idle / 1000),
    keepaliveIntervalSeconds: Math.ceil(t.keepalive_interval / 1000),
    keepaliveCount: t.keepalive_count,
    userTimeoutMs: t.user_timeout,
  }))
  .meta({ description: 'How dead peers are noticed, on both sides of every session.' });

const frontend = z
  .strictObject({
    bind: address(true).meta({
      description: 'The address and port that applications connect to. Port 0: the system chooses one.',
      sample: '0.0.0.0:5432',
    }),
    backend: name.meta({ description: 'The backend that serves this port.', sample: 'app' }),
    route: z.enum(['primary', 'replica', 'replica-or-primary', 'any']).default('primary').meta({
      description:
        'Which servers serve this port: `primary` (the one that takes writes), `replica`, `replica-or-primary` (the primary when no replica is left), `any` (all that are up).',
    }),
    balance: z.enum(['roundrobin', 'leastconn', 'random', 'source', 'first']).default('leastconn').meta({
      description:
        'How one of several servers is chosen: in turn, fewest sessions, better of two random ones, by client address, or the first in file order.',
    }),
    max_lag: pace().optional().meta({
      description:
        'Replicas further behind than this, or that do not replicate, get no new sessions. Not for route `primary`, nor for protocol `tcp`.',
      sample: '10s',
    }),
    hold: duration().prefault('30s').meta({
      description:
        'How long a new client may wait for a server before it is refused (in its own protocol, where Pointsman speaks it). 0 refuses at once.',
    }),
    hold_max: z
      .int()
      .min(0)
      .max(100_000)
      .default(1000)
      .meta({ description: 'How many clients may wait at once.' }),
    max_connections: z.int().min(1).max(1_000_000).default(1000).meta({
      description:
        'Client connections at once, waiting ones included; further ones are refused (in their own protocol, where Pointsman speaks it).',
    }),
    allow: z
      .array(cidr)
      .optional()
      .meta({
        description: 'Networks whose clients may connect; others are closed at once. Left out: everybody.',
        sample: ['127.0.0.0/8', '10.0.0.0/8'],
      }),
    connect_timeout: pace().prefault('2s').meta({
      description: 'How long a connection to a server may take before the next candidate is tried.',
    }),
    idle_timeout: duration().prefault(0).meta({
      description:
        'Sessions without a byte in either direction for this long are closed. 0: never; TCP keepalive is always on.',
    }),
    tcp,
  })
  .transform(f => ({
    bind: f.bind,
    backend: f.backend,
    route: f.route,
    balance: f.balance,
    maxLagMs: f.max_lag ?? null,
    holdMs: f.hold,
    holdMax: f.hold_max,
    maxConnections: f.max_connections,
    allow: f.allow ?? null,
    connectTimeoutMs: f.connect_timeout,
    idleTimeoutMs: f.idle_timeout,
    tcp: f.tcp,
  }));

const tls = z
  .strictObject({
    mode: z.enum(['disable', 'prefer', 'require', 'verify-ca', 'verify-full']).default('prefer').meta({
      description:
        'As in libpq: `prefer` takes TLS where the server offers it, `verify-full` checks chain and name.',
    }),
    ca_file: z.string().min(1).optional().meta({
      description:
        'PEM file of the authorities to trust, for `verify-ca` and `verify-full`. Left out: those that Node.js trusts.',
      sample: '/etc/pointsman/ca.pem',
    }),
    server_name: z.string().min(1).optional().meta({
      description:
        'For `verify-full`: the name the certificate must carry, when it is not the host of the address.',
      sample: 'db.example.com',
    }),
  })
  .prefault({})
  .transform(t => ({ mode: t.mode, caFile: t.ca_file ?? null, serverName: t.server_name ?? null }))
  .meta({ description: 'TLS of the probe session. Client sessions pass through untouched.' });

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

const postgresCheck = z
  .strictObject({
    user: z.string().min(1).max(63).meta({
      description:
        'The database user that probes; needs no privilege but to connect (`pg_monitor` shows more).',
      sample: 'probe',
    }),
    password: z.string().optional().meta({
      description: 'Its password; take it from `${ENV}` or `${file:/path}`.',
      sample: '${PROBE_PASSWORD}',
    }),
    database: z.string().min(1).max(63).default('postgres').meta({ description: 'The database to ask in.' }),
    tls,
    interval,
    fast_interval: pace().prefault('50ms').meta({
      description: 'Between two probes while anything is in doubt, or there is no primary.',
    }),
    promotion_interval: pace().prefault('10ms').meta({
      description:
        'Between two probes of a healthy replica while there is no primary: it may be the next one.',
    }),
    reconnect_interval: duration().prefault('10s').meta({
      description:
        'How often the probe session is replaced by a fresh connection, which shows a server that serves open sessions but no new ones. 0: never.',
    }),
    timeout,
    ...risesAndFalls,
  })
  .transform(c => ({
    user: c.user,
    password: c.password ?? null,
    database: c.database,
    tls: c.tls,
    intervalMs: c.interval,
    fastIntervalMs: c.fast_interval,
    promotionIntervalMs: c.promotion_interval,
    reconnectIntervalMs: c.reconnect_interval,
    timeoutMs: c.timeout,
    rise: c.rise,
    fall: c.fall,
  }));

const tcpCheck = z
  .strictObject({
    interval,
    fast_interval: pace().prefault('50ms').meta({
      description: 'Between two probes of a server while anything is in doubt about it.',
    }),
    timeout,
    ...risesAndFalls,
  })
  .transform(c => ({
    intervalMs: c.interval,
    fastIntervalMs: c.fast_interval,
    timeoutMs: c.timeout,
    rise: c.rise,
    fall: c.fall,
  }));

const server = z.union(
  [
    address().transform(at => ({ address: at })),
    z.strictObject({
      address: address().meta({ description: 'host:port of the server.', sample: '10.0.0.1:5432' }),
    }),
  ],
  { error: 'is not a server; write host:port, or { address: host:port }' },
);

const servers = z
  .record(name, server)
  .refine(s => Object.keys(s).length > 0, { error: 'is not enough: a backend needs at least one server' })
  .meta({
    description:
      'The members by name: `name: host:port` or `name: { address: host:port }`. Their order is that of the file.',
    sample: { pg1: '10.0.0.1:5432', pg2: '10.0.0.2:5432' },
  });

const CHECK_MEANING = 'How the servers are probed.';
const PROTOCOL_MEANING =
  'What the servers speak. `tcp` is anything over TCP: a server is up while it accepts connections, none is the primary, and frontends need `route: any`.';

const postgresBackend = z
  .strictObject({
    protocol: z.literal('postgres').meta({ description: PROTOCOL_MEANING, sample: 'postgres' }),
    check: postgresCheck.meta({ description: CHECK_MEANING, sample: { user: 'probe' } }),
    multiple_writers: z.enum(['newest', 'keep', 'block', 'ordered']).default('newest').meta({
      description:
        'What happens while several servers claim to be writable: the one with the newest timeline (else the present one, else hold), the present one (else hold), nobody, or the first in file order that is writable (the present one stays).',
    }),
    servers,
  })
  .transform(b => ({
    protocol: b.protocol,
    check: b.check,
    multipleWriters: b.multiple_writers,
    servers: b.servers,
  }));

const tcpBackend = z.strictObject({
  protocol: z.literal('tcp').meta({ description: PROTOCOL_MEANING, sample: 'tcp' }),
  check: tcpCheck.prefault({}).meta({ description: CHECK_MEANING, sample: { interval: '1s' } }),
  servers,
});

const backend = z.discriminatedUnion('protocol', [postgresBackend, tcpBackend]);

export const configSchema = z
  .strictObject({
    admin,
    log,
    engine,
    drain_timeout: duration().prefault('30s').meta({
      description: 'After SIGTERM: how long open sessions may go on before they are closed.',
    }),
    frontends: z
      .record(name, frontend)
      .refine(f => Object.keys(f).length > 0, { error: 'is not enough: at least one frontend is needed' })
      .meta({
        description: 'The ports that applications connect to, by name.',
        sample: { 'app-rw': { bind: '0.0.0.0:5432', backend: 'app' } },
      }),
    backends: z
      .record(name, backend)
      .refine(b => Object.keys(b).length > 0, { error: 'is not enough: at least one backend is needed' })
      .meta({
        description: 'The replicated services, by name.',
        sample: {
          app: { protocol: 'postgres', check: { user: 'probe' }, servers: { pg1: '10.0.0.1:5432' } },
        },
      }),
  })
  .transform(c => ({
    admin: c.admin,
    log: c.log,
    engine: c.engine,
    drainTimeoutMs: c.drain_timeout,
    frontends: c.frontends,
    backends: c.backends,
  }));

export type Config = z.output<typeof configSchema>;
export type FrontendConfig = Config['frontends'][string];
export type BackendConfig = Config['backends'][string];
export type Protocol = BackendConfig['protocol'];
/** How a PostgreSQL server is probed. */
export type CheckConfig = Extract<BackendConfig, { protocol: 'postgres' }>['check'];
/** How a plain TCP server is probed. */
export type TcpCheckConfig = Extract<BackendConfig, { protocol: 'tcp' }>['check'];
export type TlsConfig = CheckConfig['tls'];
export type Route = FrontendConfig['route'];
export type Balance = FrontendConfig['balance'];
