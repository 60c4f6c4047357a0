// The keys of a backend of Redis servers, with or without Sentinel. Part of schema.ts.
// What they mean for an election stands in topology/evidence/redis.ts and topology/sources/sentinel.ts.

import { z } from 'zod';
import { address, duration } from '../schema-values.ts';
import {
  CHECK_MEANING,
  databaseTempo,
  maxServers,
  multipleWriters,
  PROTOCOL_MEANING,
  readDatabaseTempo,
  servers,
  slowStart,
  wholeTls,
} from './common.ts';
import { discovery } from '../schema-dns.ts';
import { serversTls } from '../schema-tls.ts';
import { circuitBreaker, maxConnectionsPerServer, surge } from '../schema-limits.ts';

const user = z.string().min(1).max(256).optional().meta({
  description: 'The ACL user. Left out: the password alone is sent, as for `requirepass`.',
  sample: 'probe',
});
const password = z.string().optional().meta({
  description: 'Its password; take it from `${ENV}` or `${file:/path}`.',
  sample: '${REDIS_PASSWORD}',
});

const redisCheck = z
  .strictObject({
    user,
    password,
    tls: wholeTls,
    settle: duration().prefault('15s').meta({
      description:
        'A server that says it is the primary without proof (restarted, empty, or with less than others had) is believed when it has said so for this long without contradiction: a restarted primary calls itself primary until it has been told otherwise. A promoted replica needs no such time, nor does a server that all Sentinels name and have seen since it was restarted. 0: at once.',
    }),
    ...databaseTempo,
  })
  .transform(c => ({
    user: c.user ?? null,
    password: c.password ?? null,
    tls: c.tls,
    settleMs: c.settle,
    ...readDatabaseTempo(c),
  }));

const sentinel = z
  .strictObject({
    addresses: z
      .array(address())
      .min(1)
      .max(16)
      .meta({
        description: 'host:port of the Sentinels; name all of them.',
        sample: ['10.0.0.1:26379', '10.0.0.2:26379', '10.0.0.3:26379'],
      }),
    master: z.string().min(1).max(128).default('mymaster').meta({
      description: 'The name under which they watch this service.',
    }),
    user,
    password,
    tls: wholeTls,
    max_servers: maxServers,
  })
  .transform(s => ({
    addresses: s.addresses,
    master: s.master,
    user: s.user ?? null,
    password: s.password ?? null,
    tls: s.tls,
    maxServers: s.max_servers,
  }))
  .optional()
  .meta({
    description:
      'Sentinels to ask which server is the primary. Most of them and the server itself must agree. Left out: the servers’ own word and evidence decide. Addresses are compared as they are written: `servers` must name the hosts as the Sentinels do (`SENTINEL REPLICAS`), and where servers lie on several machines or behind address translation, each needs `replica-announce-ip` (with `sentinel resolve-hostnames` and `announce-hostnames`, names), so that the Sentinels name addresses that Pointsman can reach.',
    sample: { addresses: ['10.0.0.1:26379'], master: 'mymaster' },
  });

export const redisBackend = z
  .strictObject({
    protocol: z.literal('redis').meta({ description: PROTOCOL_MEANING, sample: 'redis' }),
    check: redisCheck
      .prefault({})
      .meta({ description: CHECK_MEANING, sample: { password: '${REDIS_PASSWORD}' } }),
    sentinel,
    multiple_writers: multipleWriters('the one that the replicas follow, or with the longest common history'),
    tls: serversTls,
    slow_start: slowStart('0s'),
    max_connections_per_server: maxConnectionsPerServer,
    circuit_breaker: circuitBreaker,
    surge,
    dns: discovery,
    servers: servers('cache', 6379).optional(),
  })
  .transform(b => ({
    protocol: b.protocol,
    check: b.check,
    sentinel: b.sentinel ?? null,
    multipleWriters: b.multiple_writers,
    tls: b.tls ?? null,
    slowStartMs: b.slow_start,
    maxConnectionsPerServer: b.max_connections_per_server ?? null,
    circuitBreaker: b.circuit_breaker ?? null,
    surge: b.surge ?? null,
    dns: b.dns ?? null,
    servers: b.servers ?? {},
  }));
