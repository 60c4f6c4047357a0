// The keys of what manages the failovers of PostgreSQL servers and is asked as a second signal. Part of schema.ts.
// What their word means for an election stands in topology/opinion.ts.

import { z } from 'zod';
import { address } from '../schema-values.ts';
import { maxServers, tls, wholeTls } from './common.ts';

export const pgAutoFailover = z
  .strictObject({
    monitor: address().meta({ description: 'host:port of the monitor.', sample: '10.0.0.9:5432' }),
    user: z.string().min(1).max(63).default('autoctl_node').meta({
      description: 'The database user that asks; it must be allowed to read `pgautofailover.node`.',
    }),
    password: z.string().optional().meta({
      description: 'Its password; take it from `${ENV}` or `${file:/path}`.',
      sample: '${MONITOR_PASSWORD}',
    }),
    database: z.string().min(1).max(63).default('pg_auto_failover').meta({
      description: 'The database of the monitor.',
    }),
    formation: z.string().min(1).max(63).default('default').meta({
      description: 'The formation that these servers are of.',
    }),
    group: z.int().min(0).max(1_000_000).default(0).meta({ description: 'Their group in it.' }),
    tls,
    max_servers: maxServers,
  })
  .transform(o => ({
    monitor: o.monitor,
    user: o.user,
    password: o.password ?? null,
    database: o.database,
    formation: o.formation,
    group: o.group,
    tls: o.tls,
    maxServers: o.max_servers,
  }))
  .optional()
  .meta({
    description:
      'The monitor of pg_auto_failover, as a second signal: a server is followed only if it says itself that it is writable and the monitor doesn’t name another. While the monitor is silent the servers’ own word and evidence decide. Servers are told apart by their address as it is written, else by their name: `servers` must use either as the monitor does (`pg_autoctl show state`).',
    sample: { monitor: '10.0.0.9:5432' },
  });

export const patroni = z
  .strictObject({
    addresses: z
      .array(address())
      .min(1)
      .max(16)
      .meta({
        description: 'host:port of the REST API of Patroni on each node; name all of them.',
        sample: ['10.0.0.1:8008', '10.0.0.2:8008'],
      }),
    tls: wholeTls,
    max_servers: maxServers,
  })
  .transform(o => ({ addresses: o.addresses, tls: o.tls, maxServers: o.max_servers }))
  .optional()
  .meta({
    description:
      'Patroni, as a second signal (`GET /cluster` on each node): a server is followed only if it says itself that it is writable and Patroni doesn’t name another. While Patroni is silent (its store is away) the servers’ own word and evidence decide; while it is paused its word is shown and forbids nothing. Servers are told apart by their address as it is written, else by their name: `servers` must use either as Patroni does (`patronictl list`).',
    sample: { addresses: ['10.0.0.1:8008', '10.0.0.2:8008'] },
  });
