// The keys of runbooks: per backend, which steps are run when its primary is lost, returns, or is to be another one, and
// what must be so before any is. Part of schema.ts. The steps: schema-runbook-steps.ts. What becomes of them: runbook/.

import { z } from 'zod';
import { duration, name } from './schema-values.ts';
import { readLogin, step } from './schema-runbook-steps.ts';

const url = z
  .string()
  .regex(/^https?:\/\/[^\s/]+(\/\S*)?$/, { error: 'is not a URL; it begins with http:// or https://' })
  .max(2048);

/** Names of `steps`, in the order in which they are run. */
const stepNames = (description: string, sample: string[]) =>
  z.array(name).max(64).default([]).meta({ description, sample });

const confirm = z
  .strictObject({
    replicas: z.boolean().default(true).meta({
      description: 'While a replica still receives from the primary, the primary is not lost.',
    }),
    http: z
      .array(url)
      .max(8)
      .default([])
      .meta({
        description:
          'Others that see the primary from elsewhere: each answers 200 when the primary is lost for it too, and anything else when it is not. One at least must answer, and none may contradict.',
        sample: ['http://10.0.0.7:8080/primary-is-lost'] as string[],
      }),
    pointsman: z
      .array(url)
      .max(8)
      .default([])
      .meta({
        description:
          'The admin servers of other Pointsmen that watch the same backend under the same names: the primary must be down for them too. One at least must answer, and none may contradict.',
        sample: ['http://10.0.0.7:9101'] as string[],
      }),
  })
  .prefault({})
  .transform(c => ({ replicas: c.replicas, http: c.http, pointsmen: c.pointsman }))
  .meta({
    description:
      'Who must agree that the primary is lost before anything is run. An orchestrator that is asked anyway (`patroni`, `pg_auto_failover`, `sentinel`) is one of them: while it names the primary, that is not lost.',
  });

const activate = name.meta({
  description: 'The server that is the primary once the steps have succeeded and its probe says "writable".',
  sample: 'pg2',
});

const steps = stepNames('The steps, by their names in `steps`, in order. Traffic is held while they run.', [
  'start-database',
]);
const after = stepNames('Steps for when the new primary serves already, such as to stop the old one.', [
  'stop-standby',
]);
const prepare = stepNames('Steps for before traffic is held, such as a first long copy.', ['copy-most']);

const trigger = (byDefault: 'automatic' | 'manual', how: string) =>
  z.enum(['automatic', 'manual']).default(byDefault).meta({ description: how });

const drainTimeout = duration().prefault('15s').meta({
  description:
    'How long the sessions of the old primary may take to come to the end of a transaction; what is left then is closed amid one.',
});

const onFailure = (byDefault: 'hold' | 'release') =>
  z.enum(['hold', 'release']).default(byDefault).meta({
    description:
      'When a step fails while the old primary still takes writes: `release` gives the traffic back to it, `hold` keeps it waiting for an operator. When the old primary does not take writes any more, traffic is held.',
  });

const onPrimaryLost = z
  .strictObject({
    activate,
    trigger: trigger(
      'automatic',
      '`manual`: only `pointsman runbook start BACKEND` begins it, and nothing is done by itself.',
    ),
    steps,
    after,
  })
  .optional()
  .meta({
    description:
      'When the primary is lost, for `lost_for`, and that is confirmed. While it runs, and when it has failed, nobody is the primary; afterwards the old primary is not followed again before `failback`.',
    sample: { activate: 'pg2', steps: ['start-database'] },
  });

const failback = z
  .strictObject({
    activate,
    trigger: trigger(
      'manual',
      '`automatic`: it begins by itself once the server to go back to is up and `on_primary_returned` has succeeded.',
    ),
    drain_timeout: drainTimeout,
    on_failure: onFailure('hold'),
    prepare,
    steps,
    after,
  })
  .transform(b => ({
    activate: b.activate,
    trigger: b.trigger,
    drainTimeoutMs: b.drain_timeout,
    onFailure: b.on_failure,
    prepare: b.prepare,
    steps: b.steps,
    after: b.after,
  }))
  .optional()
  .meta({
    description:
      'The way back: `pointsman failback BACKEND`. New writes wait and sessions are closed, then the steps bring back what was written meanwhile and compare, then the server to go back to is the primary.',
    sample: { activate: 'pg1', steps: ['sync-back', 'compare'], after: ['stop-standby'] },
  });

const switchover = z
  .strictObject({
    activate: name.optional().meta({
      description:
        'The server to switch to, where the command names none. Left out: whoever takes over (the orchestrator decides).',
      sample: 'pg2',
    }),
    drain_timeout: drainTimeout,
    on_failure: onFailure('release'),
    prepare,
    steps,
    after,
  })
  .transform(b => ({
    activate: b.activate ?? null,
    drainTimeoutMs: b.drain_timeout,
    onFailure: b.on_failure,
    prepare: b.prepare,
    steps: b.steps,
    after: b.after,
  }))
  .optional()
  .meta({
    description:
      'A planned change: `pointsman switchover BACKEND [SERVER]`. New clients wait, sessions are closed between two transactions, the steps make the other one the primary, and clients go there.',
    sample: { steps: ['ask-patroni'] },
  });

const login = z
  .strictObject({
    user: z.string().min(1).max(80).optional().meta({
      description: 'The database user. Left out: that of the probe.',
      sample: 'postgres',
    }),
    password: z.string().optional().meta({
      description: 'Its password; take it from `${ENV}` or `${file:/path}`.',
      sample: '${ADMIN_PASSWORD}',
    }),
    database: z.string().min(1).max(64).optional().meta({
      description: 'The database. Left out: that of the probe.',
      sample: 'app',
    }),
  })
  .prefault({})
  .transform(readLogin)
  .meta({
    description: 'Who asks in `sql` steps, and who looks for transactions before sessions are closed.',
  });

const runbook = z
  .strictObject({
    login,
    confirm,
    lost_for: duration().prefault('10s').meta({
      description:
        'How long the primary must be down (after `check.fall` failed probes) before `on_primary_lost` begins: a database that is merely restarted is back before.',
    }),
    min_interval: duration().prefault('10m').meta({
      description: 'Between the beginnings of two automatic runs; the second waits.',
    }),
    max_per_day: z
      .int()
      .min(1)
      .max(1000)
      .default(3)
      .meta({ description: 'Automatic runs in 24 hours; further ones wait, or for an operator.' }),
    steps: z.record(name, step).meta({
      description: 'What can be done, by name; the books say when.',
      sample: { 'start-database': { exec: ['systemctl', 'start', 'postgresql'] as string[] } },
    }),
    before_promote: stepNames(
      'Steps that must have succeeded before another server becomes the primary because the present one was lost, such as to fence that; before those of `on_primary_lost`.',
      ['fence'],
    ),
    on_primary_lost: onPrimaryLost,
    on_promoted: stepNames('Steps for when another server has become the primary, for whatever reason.', [
      'tell-everybody',
    ]),
    on_primary_returned: stepNames(
      'Steps for when the server that lost its role by `on_primary_lost` is up again. It stays without the role.',
      ['make-read-only'],
    ),
    failback,
    switchover,
  })
  .transform(b => ({
    login: b.login,
    confirm: b.confirm,
    lostForMs: b.lost_for,
    minIntervalMs: b.min_interval,
    maxPerDay: b.max_per_day,
    steps: b.steps,
    beforePromote: b.before_promote,
    onPrimaryLost: b.on_primary_lost ?? null,
    onPromoted: b.on_promoted,
    onPrimaryReturned: b.on_primary_returned,
    failback: b.failback ?? null,
    switchover: b.switchover ?? null,
  }));

export const runbooks = z
  .record(name, runbook)
  .default({})
  .meta({
    description:
      'What is done when a primary is lost, returns, or is to be another one, by the name of the backend (docs/runbooks.md).',
    sample: { app: { steps: { 'ask-patroni': { http: { url: 'http://10.0.0.1:8008/switchover' } } } } },
  });
