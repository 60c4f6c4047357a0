// The keys of DNS: how names are resolved, and a backend whose servers are found in it. Part of schema.ts.
// What answers mean for servers stands in topology/sources/names.ts and topology/sources/dns.ts.

import { z } from 'zod';
import { isIpAddress } from './addresses.ts';
import { maxServers } from './backends/common.ts';
import { address, pace } from './schema-values.ts';

export const dns = z
  .strictObject({
    servers: z
      .array(
        address().refine(({ host }) => isIpAddress(host), {
          error: 'has a name for a host; of who resolves names the address itself is needed',
        }),
      )
      .min(1)
      .max(8)
      .optional()
      .meta({
        description:
          'address:port of the DNS servers to ask. Left out: names are looked up as the system does it (/etc/hosts included).',
        sample: ['10.0.0.53:53'],
      }),
    interval: pace().prefault('5s').meta({
      description:
        'How often a name is resolved again. Sooner where its time to live is shorter (at least 1s), and at once when a probe of its server, or a connection to it, fails.',
    }),
    timeout: pace().prefault('2s').meta({ description: 'How long an answer may take.' }),
  })
  .prefault({})
  .transform(d => ({ servers: d.servers ?? [], intervalMs: d.interval, timeoutMs: d.timeout }))
  .meta({
    description:
      'How the names of servers are resolved: in one place, again and again. What is probed is what clients are led to; when a name moves to another address, the sessions to the old one end.',
  });

export const discovery = z
  .strictObject({
    name: z
      .string()
      .regex(/^(?=.{1,253}\.?$)([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?$/, {
        error: 'is not a DNS name',
      })
      .meta({ description: 'The name whose records are the servers.', sample: 'db.internal' }),
    type: z.enum(['a', 'srv']).default('a').meta({
      description:
        '`a`: every IPv4 address of the name is a server; where it has none, every IPv6 address. `srv`: every target of its SRV records, each with its port; priority and weight are not used.',
    }),
    port: z.int().min(1).max(65_535).optional().meta({
      description: 'The port of the servers, for `type: a`.',
      sample: 5432,
    }),
    max_servers: maxServers,
  })
  .transform(d => ({
    // With its last dot and without it is the same name.
    name: d.name.replace(/\.$/, ''),
    type: d.type,
    port: d.port ?? null,
    maxServers: d.max_servers,
  }))
  .optional()
  .meta({
    description:
      'Instead of `servers`: the servers are those that DNS lists under a name. One that is no longer listed leaves the backend, and its sessions end; an answer that is empty, or none, changes nothing.',
    sample: { name: 'db.internal', port: 5432 },
  });
