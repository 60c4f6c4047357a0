// TLS towards what Pointsman asks (probes, orchestrators, the store of rate limits), in its two forms.
// Part of schema.ts; beside common.ts so that schema-limits.ts can use it too.

import { z } from 'zod';

const caFile = z.string().min(1).optional().meta({
  description:
    'PEM file of the authorities to trust, for `verify-ca` and `verify-full`. Left out: those that Node.js trusts.',
  sample: '/etc/pointsman/ca.pem',
});
const serverName = z.string().min(1).optional().meta({
  description:
    'For `verify-full`: the name the certificate must carry, when it is not the host of the address.',
  sample: 'db.example.com',
});

export const tls = z
  .strictObject({
    mode: z.enum(['disable', 'prefer', 'require', 'verify-ca', 'verify-full']).default('prefer').meta({
      description:
        'As in libpq: `prefer` takes TLS where the server offers it, `verify-full` checks chain and name.',
    }),
    ca_file: caFile,
    server_name: serverName,
  })
  .prefault({})
  .transform(t => ({ mode: t.mode, caFile: t.ca_file ?? null, serverName: t.server_name ?? null }))
  .meta({ description: 'TLS of the probe session. Client sessions pass through untouched.' });

/** Where the protocol has no way to ask for TLS amid a connection: from the first byte on, or not at all. */
export const wholeTls = z
  .strictObject({
    mode: z.enum(['disable', 'require', 'verify-ca', 'verify-full']).default('disable').meta({
      description:
        '`require` uses TLS without a look at the certificate, `verify-full` checks chain and name.',
    }),
    ca_file: caFile,
    server_name: serverName,
  })
  .prefault({})
  .transform(t => ({ mode: t.mode, caFile: t.ca_file ?? null, serverName: t.server_name ?? null }))
  .meta({ description: 'TLS of the probe session. Client sessions pass through untouched.' });
