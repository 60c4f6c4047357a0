// The keys that limit what clients may do, and in what measure servers get them: rates, the store that several processes
// share them through, the circuit breaker and the pace after a failover. Part of schema.ts.
// Not the rules between these keys (lint/limits.ts).

import { z } from 'zod';
import { wholeTls } from './backends/common-tls.ts';
import { address, duration, pace, rate } from './schema-values.ts';

const burst = () => z.int().min(1).max(1_000_000).optional();

/** Whatever a second brings, at least one. */
const oneSecondOf = (perSecond: number): number => Math.max(1, Math.ceil(perSecond));

export const rateLimit = z
  .strictObject({
    per_ip: rate().optional().meta({
      description: 'New connections of one client address (of one /64 network of IPv6).',
      sample: '100/s',
    }),
    burst: burst().meta({
      description:
        'How many of them may come at once after a pause. Left out: as many as `per_ip` allows in a second.',
      sample: 200,
    }),
    total: rate().optional().meta({
      description: 'New connections of all clients together.',
      sample: '1000/s',
    }),
    total_burst: burst().meta({
      description:
        'How many of them may come at once after a pause. Left out: as many as `total` allows in a second.',
      sample: 1000,
    }),
    shared: z.boolean().default(false).meta({
      description:
        'Count together with the other Pointsman processes that have a frontend of this name and the same `rate_limit_store`.',
    }),
  })
  .transform(r => ({
    perIp: r.per_ip === undefined ? null : { perSecond: r.per_ip, burst: r.burst ?? oneSecondOf(r.per_ip) },
    total:
      r.total === undefined ? null : { perSecond: r.total, burst: r.total_burst ?? oneSecondOf(r.total) },
    shared: r.shared,
  }))
  .optional()
  .meta({
    description:
      'How many new connections clients may open in a time; further ones are refused (in their own protocol, where Pointsman speaks it), in a flood without a word. Off unless you write it.',
    sample: { per_ip: '100/s', burst: 200 },
  });

export const maxConnectionsPerIp = z.int().min(1).max(1_000_000).optional().meta({
  description:
    'Connections at once of one client address (of one /64 network of IPv6); further ones are refused. Left out: no such limit.',
  sample: 50,
});

export const serverMaxConnections = z.int().min(1).max(1_000_000).optional().meta({
  description:
    'Connections of clients to this server at once, of all frontends together. When every server that may serve a client has its own, the client waits (`hold`) for one to end. Left out: no such limit.',
  sample: 90,
});

/** Of every backend: learned servers have no entry of their own that could say it. */
export const maxConnectionsPerServer = z.int().min(1).max(1_000_000).optional().meta({
  description:
    '`max_connections` of every server that has none of its own, of those that are learned too. Left out: no such limit.',
  sample: 90,
});

const redis = z
  .strictObject({
    address: address().meta({ description: 'host:port of the Redis server.', sample: '10.0.0.9:6379' }),
    user: z.string().min(1).max(256).optional().meta({
      description: 'The ACL user. Left out: the password alone is sent, as for `requirepass`.',
      sample: 'pointsman',
    }),
    password: z.string().optional().meta({
      description: 'Its password; take it from `${ENV}` or `${file:/path}`.',
      sample: '${REDIS_PASSWORD}',
    }),
    tls: wholeTls,
    timeout: pace().prefault('250ms').meta({
      description:
        'Without an answer for this long Redis counts as gone, until it answers again. No client ever waits for it.',
    }),
  })
  .transform(r => ({
    address: r.address,
    user: r.user ?? null,
    password: r.password ?? null,
    tls: r.tls,
    timeoutMs: r.timeout,
  }))
  .meta({ description: 'A Redis server, 6 or later.' });

export const rateLimitStore = z
  .strictObject({
    redis,
    interval: pace().prefault('100ms').meta({
      description:
        'How often processes tell each other, through the store, what they let in. Meanwhile each decides by what it knows.',
    }),
    prefix: z
      .string()
      .regex(/^[\x21-\x7e]{1,64}$/, {
        error: 'is not a prefix; a prefix is up to 64 letters, digits and signs',
      })
      .default('pointsman')
      .meta({ description: 'What the names of the keys in the store begin with.' }),
  })
  .transform(s => ({ redis: s.redis, intervalMs: s.interval, prefix: s.prefix }))
  .optional()
  .meta({
    description:
      'Where frontends with `rate_limit.shared` count together with those of other processes. When it is gone each process limits by itself.',
    sample: { redis: { address: '10.0.0.9:6379' } },
  });

export const circuitBreaker = z
  .strictObject({
    failures: z.int().min(1).max(1000).default(5).meta({
      description: 'Connections in a row that could not be made before it opens.',
    }),
    open: pace().prefault('10s').meta({
      description: 'For how long the server then gets no connections; after that a single one tries.',
    }),
  })
  .transform(b => ({ failures: b.failures, openMs: b.open }))
  .optional()
  .meta({
    description:
      'Gives a server a rest that clients can’t be connected to: who has a choice goes elsewhere, others wait (`hold`). Off unless you write it.',
    sample: { failures: 5, open: '10s' },
  });

export const surge = z
  .strictObject({
    rate: rate().prefault('200/s').meta({ description: 'New sessions with it, of all frontends together.' }),
    burst: z.int().min(1).max(1000).default(4).meta({
      description: 'How many clients may be connecting and logging in to it at once.',
    }),
    for: duration().prefault('10s').meta({ description: 'How long this is kept up after the change.' }),
  })
  .transform(s => ({ perSecond: s.rate, burst: s.burst, forMs: s.for }))
  .optional()
  .meta({
    description:
      'The pace at which a new primary gets clients, waiting ones and newcomers. Left out: waiting ones are let go four at a time as they are logged in, and newcomers go at once when nobody waits.',
    sample: { rate: '200/s', burst: 4, for: '10s' },
  });
