// The keys of a backend of MySQL or MariaDB servers: how they are probed, and what a pair of masters needs. Part of schema.ts.
// What the probe does with them: health/probers/mysql; what the election does: topology/evidence/mysql.ts.

import { z } from 'zod';
import {
  CHECK_MEANING,
  databaseServers,
  databaseTempo,
  multipleWriters,
  PROTOCOL_MEANING,
  readDatabaseTempo,
  sendProxy,
  settle,
  slowStart,
  tls,
  writable,
  WRITABLE_MEANING,
} from './common.ts';
import { discovery } from '../schema-dns.ts';
import { serversTls } from '../schema-tls.ts';
import { circuitBreaker, maxConnectionsPerServer, surge } from '../schema-limits.ts';

const mysqlCheck = z
  .strictObject({
    user: z.string().min(1).max(80).meta({
      description:
        'The database user that probes; needs no privilege but to connect. With REPLICATION CLIENT (MariaDB: REPLICA MONITOR) the state of replication is seen too; in Group Replication it needs SELECT on performance_schema.replication_group_members.',
      sample: 'probe',
    }),
    password: z.string().optional().meta({
      description: 'Its password; take it from `${ENV}` or `${file:/path}`.',
      sample: '${PROBE_PASSWORD}',
    }),
    database: z.string().min(1).max(64).optional().meta({
      description: 'The database that `writable` is asked in. Left out: none.',
      sample: 'app',
    }),
    tls,
    writable: writable.optional().meta({
      description: WRITABLE_MEANING,
      sample: "select config_value = 'ACTING_MASTER' from node_config where config_key = 'node_mode'",
    }),
    settle,
    ...databaseTempo,
  })
  .transform(c => ({
    user: c.user,
    password: c.password ?? null,
    database: c.database ?? null,
    tls: c.tls,
    writable: c.writable ?? null,
    settleMs: c.settle,
    ...readDatabaseTempo(c),
  }));

export const mysqlBackend = z
  .strictObject({
    protocol: z.literal('mysql').meta({ description: PROTOCOL_MEANING, sample: 'mysql' }),
    check: mysqlCheck.meta({ description: CHECK_MEANING, sample: { user: 'probe' } }),
    multiple_writers: multipleWriters('the one whose transactions include all of the others’'),
    incomplete_writer: z.enum(['hold', 'serve']).default('hold').meta({
      description:
        'When the only writable server is known to lack transactions that the lost primary had: `hold` waits until it has them, `serve` takes it all the same.',
    }),
    tls: serversTls,
    send_proxy: sendProxy,
    slow_start: slowStart('0s'),
    max_connections_per_server: maxConnectionsPerServer,
    circuit_breaker: circuitBreaker,
    surge,
    dns: discovery,
    servers: databaseServers('db', 3306).optional(),
  })
  .transform(b => ({
    protocol: b.protocol,
    check: b.check,
    multipleWriters: b.multiple_writers,
    incompleteWriter: b.incomplete_writer,
    tls: b.tls ?? null,
    sendProxy: b.send_proxy ?? null,
    slowStartMs: b.slow_start,
    maxConnectionsPerServer: b.max_connections_per_server ?? null,
    circuitBreaker: b.circuit_breaker ?? null,
    surge: b.surge ?? null,
    dns: b.dns ?? null,
    servers: b.servers ?? {},
  }));
