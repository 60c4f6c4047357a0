// The single source of the configuration: types, defaults, checks of each value, JSON Schema and reference page.
// Its parts: schema-values.ts, schema-frontend.ts, schema-limits.ts and, by protocol, backends/*.ts.
// Not the place for rules between keys (lint.ts) nor for reading files (load.ts).
// `sample` in the notes of a key is a value as it would be written; the JSON Schema calls it an example.

import { z } from 'zod';
import { httpBackend } from './backends/http.ts';
import { mysqlBackend } from './backends/mysql.ts';
import { postgresBackend } from './backends/postgres.ts';
import { redisBackend } from './backends/redis.ts';
import { tcpBackend } from './backends/tcp.ts';
import { backup } from './schema-backups.ts';
import { dns } from './schema-dns.ts';
import { frontend } from './schema-frontend.ts';
import { runbooks } from './schema-runbook.ts';
import { adminTls } from './schema-tls.ts';
import { rateLimitStore } from './schema-limits.ts';
import { address, duration, name } from './schema-values.ts';

const admin = z
  .strictObject({
    bind: address(true).prefault('127.0.0.1:9101').meta({
      description:
        'Where /metrics, /livez, /readyz and /api/v1 are served. Loopback unless you say otherwise.',
    }),
    token: z
      .string()
      .regex(/^[\x21-\x7e]{1,512}$/, {
        error: 'is not a token; a token is up to 512 letters, digits and signs, without spaces',
      })
      .optional()
      .meta({
        description:
          'What changing calls (`pointsman drain`, `ready`, `maintenance`) must show; take it from `${ENV}` or `${file:/path}`. Left out: every changing call is refused. 16 characters or more where `bind` is not loopback. Without `tls` it crosses the network as it is: keep the port within a network that you trust then.',
        sample: '${file:/run/secrets/pointsman-token}',
      }),
    tls: adminTls,
  })
  .prefault({})
  .transform(a => ({ bind: a.bind, token: a.token ?? null, tls: a.tls ?? null }))
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

const backend = z.discriminatedUnion('protocol', [
  postgresBackend,
  mysqlBackend,
  redisBackend,
  httpBackend,
  tcpBackend,
]);

export const configSchema = z
  .strictObject({
    admin,
    log,
    engine,
    dns,
    state_file: z
      .string()
      .regex(/^[^\0]*[^\0/]$/, { error: 'is not the path of a file' })
      .optional()
      .meta({
        description:
          'Where the choice of each primary, its epoch, what it rests on and the servers in `drain` or `maintenance` are kept over restarts. Written whole and atomically; the directory must exist and be writable (`FILE.lock` stands there too). Left out: a restart begins without knowledge, and of two writable servers that nothing tells apart none is followed.',
        sample: '/var/lib/pointsman/state.json',
      }),
    rate_limit_store: rateLimitStore,
    drain_timeout: duration().prefault('30s').meta({
      description: 'After SIGTERM: how long open sessions may go on before they are closed.',
    }),
    reload_on_change: z.boolean().default(false).meta({
      description:
        'Apply a changed configuration as soon as the file, or a file that it takes secrets from, is another one (they are looked at every second). Without it `pointsman reload` and SIGHUP do.',
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
    runbooks,
    backups: z
      .record(name, backup)
      .default({})
      .meta({
        description:
          'Backups that Pointsman makes by itself (`pointsman backup` makes them now), by name: what a cold standby is started from.',
        sample: {
          nightly: { backend: 'app', directory: '/var/backups/app', database: 'app', user: 'backup' },
        },
      }),
  })
  .transform(c => ({
    admin: c.admin,
    log: c.log,
    engine: c.engine,
    dns: c.dns,
    stateFile: c.state_file ?? null,
    rateLimitStore: c.rate_limit_store ?? null,
    drainTimeoutMs: c.drain_timeout,
    reloadOnChange: c.reload_on_change,
    frontends: Object.fromEntries(
      Object.entries(c.frontends).map(([key, one]) => [
        key,
        { ...one, serversSpeakTls: (c.backends[one.backend]?.tls ?? null) !== null },
      ]),
    ),
    backends: c.backends,
    runbooks: c.runbooks,
    backups: c.backups,
  }));

export type Config = z.output<typeof configSchema>;
export type FrontendConfig = Config['frontends'][string];
export type BackendConfig = Config['backends'][string];
export type BackupConfig = Config['backups'][string];
export type Protocol = BackendConfig['protocol'];
/** How the servers of a protocol are probed. */
export type CheckConfig<P extends Protocol> = Extract<BackendConfig, { protocol: P }>['check'];
export type MultipleWritersPolicy = Extract<BackendConfig, { multipleWriters: string }>['multipleWriters'];
/** TLS that is asked for amid the connection, and TLS from its first byte on. */
export type TlsConfig = CheckConfig<'postgres'>['tls'];
export type WholeTlsConfig = CheckConfig<'redis'>['tls'];
/** Of relayed sessions: what a frontend's clients are shown, and how servers are reached. */
export type FrontendTlsConfig = NonNullable<FrontendConfig['tls']>;
export type ServersTlsConfig = NonNullable<BackendConfig['tls']>;
export type SentinelConfig = NonNullable<Extract<BackendConfig, { protocol: 'redis' }>['sentinel']>;
type PostgresBackend = Extract<BackendConfig, { protocol: 'postgres' }>;
export type PgAutoFailoverConfig = NonNullable<PostgresBackend['pgAutoFailover']>;
export type DnsConfig = Config['dns'];
export type DiscoveryConfig = NonNullable<BackendConfig['dns']>;
export type RunbookConfig = Config['runbooks'][string];
export type StepConfig = RunbookConfig['steps'][string];
export type StepAction = StepConfig['action'];
export type RateLimitConfig = NonNullable<FrontendConfig['rateLimit']>;
/** How many in a second, and how many at once after a pause. */
export type RateConfig = NonNullable<RateLimitConfig['perIp']>;
export type RateLimitStoreConfig = NonNullable<Config['rateLimitStore']>;
export type CircuitBreakerConfig = NonNullable<BackendConfig['circuitBreaker']>;
export type SurgeConfig = NonNullable<Extract<BackendConfig, { protocol: 'postgres' }>['surge']>;
export type SendProxy = NonNullable<Extract<BackendConfig, { protocol: 'tcp' }>['sendProxy']>;
export type Route = FrontendConfig['route'];
export type Balance = FrontendConfig['balance'];
