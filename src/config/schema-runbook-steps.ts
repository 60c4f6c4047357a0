// The keys of the steps that runbooks are made of: what is run, asked or waited for, how long, how often. Part of schema.ts.
// Which steps make a book: schema-runbook.ts. What they do: runbook/steps.

import { z } from 'zod';
import { duration, pace } from './schema-values.ts';

const text = (maxChars: number) => z.string().min(1).max(maxChars);
const argument = z.string().max(4096);

const ON_SERVER =
  'The server it is asked on; `{{from}}` and `{{to}}` stand for the one that loses its role and the one that gets it.';
const server = text(63).meta({ description: ON_SERVER, sample: 'pg2' });

const login = {
  user: text(80).optional().meta({
    description: 'Instead of `login.user` of the runbook.',
    sample: 'postgres',
  }),
  password: z.string().optional().meta({
    description: 'Instead of `login.password` of the runbook.',
    sample: '${ADMIN_PASSWORD}',
  }),
  database: text(64).optional().meta({
    description: 'Instead of `login.database` of the runbook.',
    sample: 'app',
  }),
};

interface LoginKeys {
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly database?: string | undefined;
}

export const readLogin = ({ user, password, database }: LoginKeys) => ({
  user: user ?? null,
  password: password ?? null,
  database: database ?? null,
});

const sql = z
  .strictObject({
    server,
    query: text(65_536).meta({
      description: 'One statement; in it `{{from}}`, `{{to}}` and their like are replaced.',
      sample: 'select pg_promote()',
    }),
    ...login,
    expect: text(4096).optional().meta({
      description: 'The first value of the answer must be this text. Left out: it must not be an error.',
      sample: 't',
    }),
    same_on: text(63).optional().meta({
      description:
        'Another server that must give the same answer to the same question, row by row: to compare counts or positions.',
      sample: '{{to}}',
    }),
    same_query: text(65_536).optional().meta({
      description: 'What that other server is asked, where its question differs.',
      sample: 'select count(*) from title',
    }),
    same_database: text(64).optional().meta({
      description: 'The database that the other server is asked in, where it differs.',
      sample: 'app_a',
    }),
  })
  .transform(({ same_on, same_query, same_database, query, server: on, expect, ...rest }) => ({
    server: on,
    query,
    login: readLogin(rest),
    expect: expect ?? null,
    same:
      same_on === undefined
        ? null
        : { server: same_on, query: same_query ?? query, database: same_database ?? rest.database ?? null },
  }))
  .meta({
    description:
      'A statement on a server of the backend (`postgres` and `mysql`), over a connection of its own.',
    sample: { server: 'pg2', query: 'select pg_promote()' },
  });

const http = z
  .strictObject({
    url: z
      .string()
      .regex(/^https?:\/\/[^\s/]+(\/\S*)?$/, { error: 'is not a URL; it begins with http:// or https://' })
      .max(2048)
      .meta({ description: 'Where to.', sample: 'http://{{from.host}}:8008/switchover' }),
    method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']).default('GET').meta({ description: 'How.' }),
    headers: z
      .record(text(128), argument)
      .default({})
      .meta({ description: 'Headers to send.', sample: { 'content-type': 'application/json' } }),
    body: z.string().max(65_536).optional().meta({
      description: 'What is sent.',
      sample: '{"leader":"{{from}}","candidate":"{{to}}"}',
    }),
    expect_status: z
      .array(z.int().min(100).max(599))
      .min(1)
      .max(16)
      .default([200])
      .meta({ description: 'Answers that are a success.' }),
    expect: text(4096)
      .optional()
      .meta({ description: 'What the answer must contain.', sample: 'Successfully' }),
  })
  .transform(({ expect_status, expect, body, ...rest }) => ({
    ...rest,
    body: body ?? null,
    expectStatus: expect_status,
    expect: expect ?? null,
  }))
  .meta({ description: 'A request.', sample: { url: 'http://10.0.0.9/ready' } });

const wait = z
  .strictObject({
    server: text(63).optional().meta({
      description: 'The server whose probe is waited for, with `state`.',
      sample: '{{to}}',
    }),
    state: z.enum(['up', 'down', 'writable', 'replica']).optional().meta({
      description: 'What the probe of that server must say.',
      sample: 'up',
    }),
    sql: sql.optional(),
    http: http.optional(),
    every: pace().prefault('500ms').meta({ description: 'How often it is asked.' }),
  })
  .refine(w => [w.server ?? w.state, w.sql, w.http].filter(each => each !== undefined).length === 1, {
    error: 'waits for one thing: server and state, or sql, or http',
  })
  .refine(w => (w.server === undefined) === (w.state === undefined), {
    error: 'needs both server and state, or neither',
  })
  .transform(w => ({
    probe: w.server !== undefined && w.state !== undefined ? { server: w.server, state: w.state } : null,
    sql: w.sql ?? null,
    http: w.http ?? null,
    everyMs: w.every,
  }))
  .meta({
    description:
      'Waits until a probe, a statement or a request says so; `timeout` of the step is how long at most.',
    sample: { server: '{{to}}', state: 'up' },
  });

const restore = z
  .strictObject({
    files: text(4096).meta({
      description:
        'The backups to choose from: a path whose last part may hold `*`. The newest that can be trusted is taken; one that is too old, fails its checksum or is no dump is refused, and the one before is taken, which is said.',
      sample: '/var/backups/app/app_*.dump',
    }),
    max_age: pace().meta({
      description: 'An older backup is refused: this bounds what may be lost.',
      sample: '1h',
    }),
    checksum: z.enum(['required', 'if-present']).default('if-present').meta({
      description: '`required`: a backup without a checksum is refused.',
    }),
    command: z
      .array(argument)
      .min(1)
      .max(256)
      .meta({
        description:
          'What restores it, as program and arguments; `{{file}}` stands for the file, and without that it is given on standard input. It must begin from scratch: after a failure it is run again, with the file before.',
        sample: [
          'pg_restore',
          '--clean',
          '--if-exists',
          '--exit-on-error',
          '--dbname',
          'app',
          '{{file}}',
        ] as string[],
      }),
  })
  .transform(({ max_age, ...rest }) => ({ ...rest, maxAgeMs: max_age }))
  .meta({
    description: 'Restores the newest backup that can be trusted.',
    sample: {
      files: '/var/backups/app/app_*.dump',
      max_age: '1h',
      command: ['pg_restore', '--dbname', 'app', '{{file}}'],
    },
  });

const KINDS = ['exec', 'shell', 'sql', 'http', 'wait', 'restore'] as const;

export const step = z
  .strictObject({
    exec: z
      .array(argument)
      .min(1)
      .max(256)
      .optional()
      .meta({
        description:
          'A program and its arguments, run without a shell. It gets POINTSMAN_BACKEND, _BOOK, _EPOCH, _RUN, _STEP, _FROM, _TO, _FROM_ADDRESS, _TO_ADDRESS, _SERVERS and _POSITIONS in its environment.',
        sample: ['systemctl', 'start', 'postgresql'] as string[],
      }),
    shell: text(65_536).optional().meta({
      description:
        'The same as a line for /bin/sh, for those that need one. Nothing is replaced in it: use the environment.',
      sample: 'systemctl start app && systemctl start worker',
    }),
    env: z
      .record(z.string().regex(/^[A-Za-z_]\w*$/, { error: 'is not the name of a variable' }), argument)
      .default({})
      .meta({
        description:
          'More environment for `exec`, `shell` and `restore`. Its values are kept out of what is shown.',
        sample: { PGPASSWORD: '${ADMIN_PASSWORD}' },
      }),
    sql: sql.optional(),
    http: http.optional(),
    wait: wait.optional(),
    restore: restore.optional(),
    timeout: pace().prefault('60s').meta({
      description: 'How long one attempt may take; then it has failed, and its processes are ended.',
    }),
    retries: z
      .int()
      .min(0)
      .max(100)
      .default(0)
      .meta({ description: 'How often it is tried again after it failed.' }),
    backoff: duration().prefault('1s').meta({
      description: 'The pause before the first of these; each further one is twice as long, up to a minute.',
    }),
    idempotent: z.boolean().optional().meta({
      description:
        'Doing it twice is as good as once: a Pointsman that was killed while the step ran repeats it. Otherwise it asks (`pointsman runbook resume`). `wait` and `restore` are so by themselves.',
      sample: true,
    }),
  })
  .refine(s => KINDS.filter(kind => s[kind] !== undefined).length === 1, {
    error: `does one thing: ${KINDS.join(', ')}`,
  })
  .transform(s => ({
    action: actionOf(s),
    env: s.env,
    timeoutMs: s.timeout,
    retries: s.retries,
    backoffMs: s.backoff,
    isIdempotent: s.idempotent ?? (s.wait !== undefined || s.restore !== undefined),
  }));

interface ActionKeys {
  readonly exec?: readonly string[] | undefined;
  readonly shell?: string | undefined;
  readonly sql?: z.output<typeof sql> | undefined;
  readonly http?: z.output<typeof http> | undefined;
  readonly wait?: z.output<typeof wait> | undefined;
  readonly restore?: z.output<typeof restore> | undefined;
}

type StepAction =
  | { readonly kind: 'exec'; readonly argv: readonly string[] }
  | { readonly kind: 'shell'; readonly line: string }
  | ({ readonly kind: 'sql' } & z.output<typeof sql>)
  | ({ readonly kind: 'http' } & z.output<typeof http>)
  | ({ readonly kind: 'wait' } & z.output<typeof wait>)
  | ({ readonly kind: 'restore' } & z.output<typeof restore>);

function actionOf({
  exec,
  shell,
  sql: asked,
  http: request,
  wait: awaited,
  restore: copy,
}: ActionKeys): StepAction {
  if (shell !== undefined) return { kind: 'shell', line: shell };
  if (asked !== undefined) return { kind: 'sql', ...asked };
  if (request !== undefined) return { kind: 'http', ...request };
  if (awaited !== undefined) return { kind: 'wait', ...awaited };
  if (copy !== undefined) return { kind: 'restore', ...copy };
  return { kind: 'exec', argv: exec ?? [] };
}
