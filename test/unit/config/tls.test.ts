import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { Authority } from '../../support/authority.ts';
import { configOf, errors, warnings, type Surroundings } from './kit.ts';

const authority = new Authority();
after(() => authority.dispose());
const app = authority.issue('app', ['app.example']);
const other = authority.issue('other', ['other.example']);
const expired = authority.issue('expired', ['app.example'], -1);
const read = (file: string): string => readFileSync(file, 'utf8');

/** Certificates by the names of the tests. */
const around: Surroundings = {
  files: {
    '/app.crt': read(app.certFile),
    '/app.key': read(app.keyFile),
    '/other.key': read(other.keyFile),
    '/expired.crt': read(expired.certFile),
    '/expired.key': read(expired.keyFile),
    '/ca.pem': read(authority.caFile),
    '/locked.key': '-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII\n-----END ENCRYPTED PRIVATE KEY-----\n',
    '/empty.pem': '',
    '/broken.pem': '-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n',
  },
};

interface Parts {
  readonly admin?: string;
  readonly frontend?: string;
  readonly backend?: string;
  readonly protocol?: string;
}

const PAIR = '{ cert_file: /app.crt, key_file: /app.key }';

function config({ admin = '{}', frontend, backend, protocol = 'postgres' }: Parts): string {
  return [
    `admin: ${admin}`,
    'frontends:',
    `  f: { bind: "127.0.0.1:5432", backend: b, route: any${frontend === undefined ? '' : `, tls: ${frontend}`} }`,
    'backends:',
    `  b: { protocol: ${protocol}, ${backend === undefined ? '' : `tls: ${backend}, `}servers: { s: "10.0.0.1:1" }${protocol === 'tcp' ? '' : ', check: { user: probe }'} }`,
  ].join('\n');
}

const whatIsWrong = (parts: Parts): readonly string[] =>
  errors(config(parts), around).map(text => text.replace(/^\d+:\d+ /, ''));
const whatIsDoubtful = (parts: Parts): readonly string[] =>
  warnings(config(parts), around).map(text => text.replace(/^\d+:\d+ /, ''));

const certificates = (pair: string): string => `{ certificates: [${pair}] }`;

test('tls: a certificate with its key is taken, and whoever names authorities for clients requires certificates', () => {
  assert.deepEqual(whatIsWrong({ frontend: certificates(PAIR) }), []);
  assert.deepEqual(whatIsDoubtful({ frontend: certificates(PAIR) }), []);
  const { frontends } = configOf(
    config({ frontend: `{ certificates: [${PAIR}], client_ca_file: /ca.pem }` }),
    around,
  );
  assert.deepEqual(frontends['f']?.tls, {
    mode: 'require',
    certificates: [{ certFile: '/app.crt', keyFile: '/app.key' }],
    clientCaFile: '/ca.pem',
    verify: 'require',
    minVersion: 'TLSv1.2',
  });
});

test('tls: left out it is off on both sides', () => {
  const { frontends, backends, admin } = configOf(config({}), around);
  assert.equal(frontends['f']?.tls, null);
  assert.equal(backends['b']?.tls, null);
  assert.equal(admin.tls, null);
});

const badPairs: readonly (readonly [name: string, pair: string, part: string, reason: RegExp])[] = [
  ['another key', '{ cert_file: /app.crt, key_file: /other.key }', 'key_file', /is not the key of the cert/],
  ['a file that is not there', '{ cert_file: /no.crt, key_file: /app.key }', 'cert_file', /cannot be read/],
  ['an empty file', '{ cert_file: /empty.pem, key_file: /app.key }', 'cert_file', /not a PEM file of cert/],
  ['a broken certificate', '{ cert_file: /broken.pem, key_file: /app.key }', 'cert_file', /cannot be read/],
  ['a certificate for a key', '{ cert_file: /app.crt, key_file: /app.crt }', 'key_file', /of a private key/],
  ['a key with a passphrase', '{ cert_file: /app.crt, key_file: /locked.key }', 'key_file', /passphrase/],
];
for (const [name, pair, part, reason] of badPairs) {
  test(`tls: ${name} is an error that names the file and the reason`, () => {
    const ofPair = (at: string, parts: Parts): void => {
      const [only = '', ...more] = whatIsWrong(parts);
      assert.deepEqual(more, []);
      assert.ok(only.startsWith(`${at}.${part}: "/`), only);
      assert.match(only, reason);
    };
    ofPair('frontends.f.tls.certificates[0]', { frontend: certificates(pair) });
    ofPair('admin.tls', { admin: `{ tls: ${pair} }` });
    ofPair('backends.b.tls', { backend: `{ mode: require, ${pair.slice(2)}` });
  });
}

test('tls: an expired certificate is a warning with its date', () => {
  const parts = { frontend: certificates('{ cert_file: /expired.crt, key_file: /expired.key }') };
  assert.deepEqual(whatIsWrong(parts), []);
  const [only = ''] = whatIsDoubtful(parts);
  assert.match(
    only,
    /^frontends\.f\.tls\.certificates\[0\]\.cert_file: "\/expired\.crt" expired on \d{4}-\d\d-\d\d/,
  );
});

test('tls: a certificate with days left is a warning with its date, one with weeks is none', () => {
  const soon = authority.issue('soon', ['app.example'], 6);
  const files = { '/soon.crt': read(soon.certFile), '/soon.key': read(soon.keyFile) };
  const parts = { frontend: certificates('{ cert_file: /soon.crt, key_file: /soon.key }') };
  const [only = ''] = warnings(config(parts), { files });
  assert.match(only, /"\/soon\.crt" expires on \d{4}-\d\d-\d\d$/);
});

const pairs: readonly (readonly [name: string, wrong: Parts, says: RegExp, fine: Parts])[] = [
  [
    'a certificate of clients is wanted and no authority named',
    { frontend: `{ certificates: [${PAIR}], verify: optional }` },
    /tls\.verify: needs a client_ca_file/,
    { frontend: `{ certificates: [${PAIR}], verify: optional, client_ca_file: /ca.pem }` },
  ],
  [
    'authorities are named and no certificate wanted',
    { frontend: `{ certificates: [${PAIR}], verify: none, client_ca_file: /ca.pem }` },
    /tls\.client_ca_file: does nothing with verify none/,
    { frontend: `{ certificates: [${PAIR}], verify: none }` },
  ],
  [
    'authorities that are none',
    { frontend: `{ certificates: [${PAIR}], client_ca_file: /app.key }` },
    /client_ca_file: "\/app\.key" is not a PEM file of certificates/,
    { frontend: `{ certificates: [${PAIR}], client_ca_file: /ca.pem }` },
  ],
  [
    'plain clients are allowed where nobody could tell them apart',
    { frontend: `{ certificates: [${PAIR}], mode: allow }`, protocol: 'tcp' },
    /tls\.mode: cannot be allow with a tcp backend/,
    { frontend: `{ certificates: [${PAIR}], mode: require }`, protocol: 'tcp' },
  ],
  [
    'authorities that nobody asks',
    { backend: '{ mode: require, ca_file: /ca.pem }' },
    /backends\.b\.tls\.ca_file: does nothing with mode require/,
    { backend: '{ mode: verify-ca, ca_file: /ca.pem }' },
  ],
  [
    'a certificate towards servers without its key',
    { backend: '{ mode: require, cert_file: /app.crt }' },
    /backends\.b\.tls\.cert_file: does nothing without key_file/,
    { backend: '{ mode: require, cert_file: /app.crt, key_file: /app.key }' },
  ],
];
for (const [name, wrong, says, fine] of pairs) {
  test(`tls: ${name}: an error`, () => {
    const [only = '', ...more] = whatIsWrong(wrong);
    assert.match(only, says);
    assert.deepEqual(more, []);
    assert.deepEqual(whatIsWrong(fine), []);
  });
}

test('tls: ended here and begun anew towards PostgreSQL, it breaks the channel binding of libpq: a warning', () => {
  const both = { frontend: certificates(PAIR), backend: '{ mode: require }' };
  assert.match(whatIsDoubtful(both)[0] ?? '', /^frontends\.f\.tls: .*channel_binding=disable/);
  assert.deepEqual(whatIsDoubtful({ ...both, protocol: 'redis' }), []);
  assert.deepEqual(whatIsDoubtful({ frontend: certificates(PAIR) }), []);
});
