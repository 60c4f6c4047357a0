// The keys of TLS on the data plane and of the admin port: what clients are shown and asked for, and how servers are
// reached. Part of schema.ts. Not the TLS of probes (backends/common.ts), nor what the files hold (certificates.ts).

import { z } from 'zod';

const file = (meta: { readonly description: string; readonly sample: string }) =>
  z
    .string()
    .regex(/^[^\0]*[^\0/]$/, { error: 'is not the path of a file' })
    .meta(meta);

const CERT_FILE =
  'PEM file of the certificate, those of its intermediate authorities behind it. Read again when it changes.';
const KEY_FILE = 'PEM file of its private key, without a passphrase. May be the same file.';
const CLIENT_CA_FILE = 'PEM file of the authorities that may vouch for clients.';

const certificate = z
  .strictObject({
    cert_file: file({ description: CERT_FILE, sample: '/etc/pointsman/app.crt' }),
    key_file: file({ description: KEY_FILE, sample: '/etc/pointsman/app.key' }),
  })
  .transform(c => ({ certFile: c.cert_file, keyFile: c.key_file }));

/** More is a mistake: each is tried against the name that a client asks for. */
const CERTIFICATES_MAX = 64;

export const frontendTls = z
  .strictObject({
    mode: z.enum(['require', 'allow']).default('require').meta({
      description:
        '`require` refuses clients without TLS; `allow` serves them too, as the protocol lets them choose. Not `allow` for protocol `tcp`, where nobody could tell.',
    }),
    certificates: z
      .array(certificate)
      .min(1)
      .max(CERTIFICATES_MAX)
      .meta({
        description:
          'What clients are shown: the first whose names fit the one that the client asks for (SNI), else the first of all.',
        sample: [{ cert_file: '/etc/pointsman/app.crt', key_file: '/etc/pointsman/app.key' }],
      }),
    client_ca_file: file({ description: CLIENT_CA_FILE, sample: '/etc/pointsman/clients-ca.pem' }).optional(),
    verify: z.enum(['none', 'optional', 'require']).optional().meta({
      description:
        'Whether clients must show a certificate of their own: `require` refuses those without one, `optional` only those whose certificate is not good, `none` asks for none. Left out: `require` with a `client_ca_file`, else `none`.',
      sample: 'require',
    }),
    min_version: z
      .enum(['TLSv1.2', 'TLSv1.3'])
      .default('TLSv1.2')
      .meta({ description: 'The oldest version of TLS that clients may speak.' }),
  })
  .transform(t => ({
    mode: t.mode,
    certificates: t.certificates,
    clientCaFile: t.client_ca_file ?? null,
    verify: t.verify ?? (t.client_ca_file === undefined ? ('none' as const) : ('require' as const)),
    minVersion: t.min_version,
  }))
  .optional()
  .meta({
    description:
      'End the TLS of clients here. Left out: nothing is ended, and clients that ask for TLS get it from the server itself.',
    sample: { certificates: [{ cert_file: '/etc/pointsman/app.crt', key_file: '/etc/pointsman/app.key' }] },
  });

export const serversTls = z
  .strictObject({
    mode: z.enum(['require', 'verify-ca', 'verify-full']).default('verify-full').meta({
      description:
        '`require` takes whatever certificate a server has, `verify-ca` checks who vouches for it, `verify-full` its name too.',
    }),
    ca_file: file({
      description:
        'PEM file of the authorities to trust, for `verify-ca` and `verify-full`. Left out: those that Node.js trusts.',
      sample: '/etc/pointsman/ca.pem',
    }).optional(),
    cert_file: file({
      description: 'PEM file of a certificate that Pointsman shows to servers which ask for one.',
      sample: '/etc/pointsman/proxy.crt',
    }).optional(),
    key_file: file({
      description: 'PEM file of its private key, without a passphrase.',
      sample: '/etc/pointsman/proxy.key',
    }).optional(),
    server_name: z.string().min(1).optional().meta({
      description:
        'The name that the certificates must carry (`verify-full`) and that servers are asked for (SNI), when it is not the host of the address.',
      sample: 'db.example.com',
    }),
  })
  .transform(t => ({
    mode: t.mode,
    caFile: t.ca_file ?? null,
    certFile: t.cert_file ?? null,
    keyFile: t.key_file ?? null,
    serverName: t.server_name ?? null,
  }))
  .optional()
  .meta({
    description:
      'Speak TLS to the servers, for the sessions of every frontend of this backend; the probe has its own, `check.tls`. Left out: sessions reach the servers as the frontend has them, which without a `tls` of its own is as the client made them.',
    sample: { mode: 'verify-full', ca_file: '/etc/pointsman/ca.pem' },
  });

export const adminTls = z
  .strictObject({
    cert_file: file({ description: CERT_FILE, sample: '/etc/pointsman/admin.crt' }),
    key_file: file({ description: KEY_FILE, sample: '/etc/pointsman/admin.key' }),
    client_ca_file: file({
      description: `${CLIENT_CA_FILE} With it nobody is answered who shows no certificate of theirs.`,
      sample: '/etc/pointsman/operators-ca.pem',
    }).optional(),
  })
  .transform(t => ({ certFile: t.cert_file, keyFile: t.key_file, clientCaFile: t.client_ca_file ?? null }))
  .optional()
  .meta({
    description: 'Serve HTTPS, and nothing else. Left out: plain HTTP.',
    sample: { cert_file: '/etc/pointsman/admin.crt', key_file: '/etc/pointsman/admin.key' },
  });
