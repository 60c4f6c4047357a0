// The keys of a frontend: a port, whom it leads to, and what its clients may do. Part of schema.ts.
// Not the rules between these keys and those of the backend (lint.ts).

import { z } from 'zod';
import { readReads, readsOfFrontend } from './schema-reads.ts';
import { frontendTls } from './schema-tls.ts';
import { maxConnectionsPerIp, rateLimit } from './schema-limits.ts';
import { address, cidr, duration, name, pace, seconds } from './schema-values.ts';

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

const acceptProxy = z
  .strictObject({
    from: z
      .array(cidr)
      .min(1, { error: 'is empty: nobody would be believed' })
      .meta({
        description:
          'Networks of the proxies. Each of their connections must begin with a PROXY header (version 1 or 2), within 5 s; who it names is the client, for `allow`, `deny`, limits, balancing and the log.',
        sample: ['10.0.0.5', '10.0.0.6'],
      }),
    otherwise: z.enum(['refuse', 'plain']).default('refuse').meta({
      description:
        'Who connects from elsewhere: `refuse` closes at once, `plain` serves them as clients without a header.',
    }),
  })
  .optional()
  .meta({
    description:
      'Proxies before this port (HAProxy, a cloud’s load balancer) that announce their clients by the PROXY protocol. Left out: every peer is the client itself.',
  });

export const frontend = z
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
        'How one of several servers is chosen: in turn, fewest sessions, better of two random ones, by client address, each measured against the weights; or the first in file order.',
    }),
    ...readsOfFrontend,
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
    max_connections_per_ip: maxConnectionsPerIp,
    rate_limit: rateLimit,
    allow: z
      .array(cidr)
      .optional()
      .meta({
        description: 'Networks whose clients may connect; others are closed at once. Left out: everybody.',
        sample: ['127.0.0.0/8', '10.0.0.0/8'],
      }),
    deny: z
      .array(cidr)
      .optional()
      .meta({
        description:
          'Networks whose clients are closed at once, also where `allow` lets them in. Left out: nobody.',
        sample: ['10.9.0.0/16'],
      }),
    accept_proxy: acceptProxy,
    connect_timeout: pace().prefault('2s').meta({
      description:
        'How long a connection to a server may take before the next candidate is tried. Where there is a choice, a server that could not be connected comes last until a probe says that it is well, and so does one while a connection to it has been pending for 250 ms.',
    }),
    idle_timeout: duration().prefault(0).meta({
      description:
        'Sessions without a byte in either direction for this long are closed. 0: never; TCP keepalive is always on.',
    }),
    tls: frontendTls,
    tcp,
  })
  .transform(f => ({
    bind: f.bind,
    backend: f.backend,
    route: f.route,
    balance: f.balance,
    ...readReads(f),
    holdMs: f.hold,
    holdMax: f.hold_max,
    maxConnections: f.max_connections,
    maxConnectionsPerIp: f.max_connections_per_ip ?? null,
    rateLimit: f.rate_limit ?? null,
    allow: f.allow ?? null,
    deny: f.deny ?? null,
    acceptProxy: f.accept_proxy ?? null,
    connectTimeoutMs: f.connect_timeout,
    idleTimeoutMs: f.idle_timeout,
    tls: f.tls ?? null,
    tcp: f.tcp,
  }));
