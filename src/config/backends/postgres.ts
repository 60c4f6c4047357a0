// The keys of a backend of PostgreSQL servers: the login of the probe, own SQL, and a REST API that must agree.
// Part of schema.ts.

import { z } from 'zod';
import {
  CHECK_MEANING,
  databaseServers,
  databaseTempo,
  multipleWriters,
  PROTOCOL_MEANING,
  readDatabaseTempo,
  settle,
  slowStart,
  tls,
  wholeTls,
  writable,
  WRITABLE_MEANING,
} from './common.ts';
import { discovery } from '../schema-dns.ts';
import { serversTls } from '../schema-tls.ts';
import { circuitBreaker, maxConnectionsPerServer, surge } from '../schema-limits.ts';
import { patroni, pgAutoFailover } from './postgres-orchestrators.ts';

const path = z
  .string()
  .regex(/^\/[\x21-\x7e]*$/, { error: 'is not a path; a path begins with / and has no spaces' })
  .max(512);

/** What an orchestrator says on each server, such as Patroni's REST API. */
const rest = z
  .strictObject({
    port: z
      .int()
      .min(1)
      .max(65_535)
      .meta({ description: 'Its port, on the host of the server.', sample: 8008 }),
    primary: path.default('/primary').meta({ description: 'Answers 200 on the primary only.' }),
    replica: path.default('/replica').meta({ description: 'Answers 200 on a healthy replica only.' }),
    tls: wholeTls,
  })
  .optional()
  .meta({
    description:
      'Ask a REST API beside each server too, such as Patroni’s: it and the server must agree, else the server is neither primary nor replica. While the API cannot be reached the server is in doubt, not gone: a primary keeps its role and its sessions, and new clients wait.',
    sample: { port: 8008 },
  });

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
    writable: writable.optional().meta({
      description: WRITABLE_MEANING,
      sample: "select mode = 'primary' from node_config",
    }),
    rest,
    settle,
    ...databaseTempo,
  })
  .transform(c => ({
    user: c.user,
    password: c.password ?? null,
    database: c.database,
    tls: c.tls,
    writable: c.writable ?? null,
    rest: c.rest ?? null,
    settleMs: c.settle,
    ...readDatabaseTempo(c),
  }));

export const postgresBackend = z
  .strictObject({
    protocol: z.literal('postgres').meta({ description: PROTOCOL_MEANING, sample: 'postgres' }),
    check: postgresCheck.meta({ description: CHECK_MEANING, sample: { user: 'probe' } }),
    multiple_writers: multipleWriters('the newest timeline'),
    pg_auto_failover: pgAutoFailover,
    patroni,
    tls: serversTls,
    slow_start: slowStart('0s'),
    max_connections_per_server: maxConnectionsPerServer,
    circuit_breaker: circuitBreaker,
    surge,
    dns: discovery,
    servers: databaseServers('pg', 5432).optional(),
  })
  .transform(b => ({
    protocol: b.protocol,
    check: b.check,
    multipleWriters: b.multiple_writers,
    pgAutoFailover: b.pg_auto_failover ?? null,
    patroni: b.patroni ?? null,
    tls: b.tls ?? null,
    slowStartMs: b.slow_start,
    maxConnectionsPerServer: b.max_connections_per_server ?? null,
    circuitBreaker: b.circuit_breaker ?? null,
    surge: b.surge ?? null,
    dns: b.dns ?? null,
    servers: b.servers ?? {},
  }));
