// The keys of backups: of which backend, from which server, where to, how many are kept, and where they are restored for proof.
// Part of schema.ts. What is done with them: backup/, for the cold standby whose database is started from them.

import { z } from 'zod';
import { address, duration, longDuration, name, seconds } from './schema-values.ts';

const identifier = (what: string, sample: string) =>
  z
    .string()
    .regex(/^[^\0-\x1f]+$/, { error: 'is not a name' })
    .max(63)
    .meta({ description: what, sample });

const password = z.string().optional().meta({
  description:
    'Its password; take it from `${ENV}` or `${file:/path}`. No program is given it as an argument.',
  sample: '${BACKUP_PASSWORD}',
});

const keep = z
  .strictObject({
    count: z.int().min(1).max(500).default(24).meta({ description: 'This many are kept, the newest ones.' }),
    age: longDuration().optional().meta({
      description: 'None older than this. Left out: the number alone decides.',
      sample: '30d',
    }),
  })
  .prefault({})
  .transform(k => ({ count: k.count, ageMs: k.age ?? null }))
  .meta({
    description:
      'Which are kept. Old ones go only after a new one was made, and the newest good one never goes.',
  });

const verify = z
  .strictObject({
    address: address().meta({
      description:
        'host:port of a server of the same kind; a scratch database is made there, filled, counted and dropped.',
      sample: '10.0.0.20:5432',
    }),
    user: identifier('Its user; needs the right to create databases.', 'verify'),
    password,
    min_rows: z.int().min(0).max(1_000_000_000).default(1).meta({
      description: 'A backup that holds fewer rows than this, all tables together, is unfit.',
    }),
  })
  .transform(v => ({
    login: { address: v.address, user: v.user, password: v.password ?? null },
    minRows: v.min_rows,
  }))
  .optional()
  .meta({
    description:
      'Each backup is restored for proof. One that can’t be is called a failure, and never chosen.',
    sample: { address: '10.0.0.20:5432', user: 'verify' },
  });

export const backup = z
  .strictObject({
    backend: name.meta({
      description: 'The backend that is backed up; of protocol `postgres` or `mysql`.',
      sample: 'app',
    }),
    server: name.default('replica-or-primary').meta({
      description:
        'Which of its servers: `primary` (the proven one), `replica` (the one that is least behind), `replica-or-primary` (a replica if there is one), or one by name. Where there is none such there is no backup.',
    }),
    max_lag: duration()
      .prefault('1m')
      .meta({ description: 'A replica further behind than this is not used.' }),
    every: seconds().prefault('1h').meta({
      description:
        'Between two of them, measured from when the newest good one was taken; also over a restart.',
    }),
    directory: z
      .string()
      .regex(/^\/[^\0]*$/, { error: 'is not the path of a directory; a path begins with /' })
      .meta({
        description: 'Where they are kept. It must exist, and belong to Pointsman alone.',
        sample: '/var/lib/pointsman/backups',
      }),
    database: identifier('The database that is backed up; one.', 'app'),
    user: identifier('The database user who reads it all.', 'backup'),
    password,
    format: z.enum(['custom', 'plain']).default('custom').meta({
      description:
        'Of PostgreSQL: `custom` (of pg_dump’s own, compressed) or `plain` (SQL text). Of MySQL and MariaDB it is SQL text always.',
    }),
    compress: z.enum(['gzip', 'none']).default('gzip').meta({ description: 'What becomes of SQL text.' }),
    arguments: z.array(z.string().min(1).max(1024)).max(64).default([]).meta({
      description:
        'Further arguments of pg_dump, mariadb-dump or mysqldump, such as `--exclude-table-data=log`. They are seen by everybody on the machine: no secrets.',
    }),
    programs: z
      .string()
      .regex(/^\/[^\0]*$/, { error: 'is not the path of a directory; a path begins with /' })
      .optional()
      .meta({
        description:
          'Where pg_dump, pg_restore and psql (or mariadb-dump and mariadb) are. Left out: PATH leads there.',
        sample: '/usr/lib/postgresql/18/bin',
      }),
    timeout: duration().prefault('1h').meta({ description: 'A program that takes longer is ended.' }),
    keep,
    verify,
  })
  .transform(b => ({
    backend: b.backend,
    source: { server: b.server, maxLagMs: b.max_lag },
    everyMs: b.every,
    directory: b.directory,
    database: b.database,
    user: b.user,
    password: b.password ?? null,
    format: b.format,
    compress: b.compress === 'gzip',
    arguments: b.arguments,
    programs: b.programs ?? null,
    timeoutMs: b.timeout,
    keep: b.keep,
    verify: b.verify ?? null,
  }));
