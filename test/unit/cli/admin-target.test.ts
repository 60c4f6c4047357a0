// Which running Pointsman a command speaks to, and that no token is in what is said about it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findTarget } from '../../../src/cli/admin-target.ts';
import { VALID, variant } from '../config/kit.ts';

const BIND = 'bind: 127.0.0.1:9101';
const files: Readonly<Record<string, string>> = {
  '/ca.pem': '-----BEGIN CERTIFICATE-----\n',
  '/token': 'the-token-in-the-file\n',
};

function find(text: string, env: Readonly<Record<string, string>> = {}, url?: string) {
  const readFile = (path: string): string => {
    const content = path === 'pointsman.yaml' ? text : files[path];
    if (content === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    return content;
  };
  const all = { PROBE_PASSWORD: 'secret', ...env };
  return findTarget({ config: 'pointsman.yaml', url }, { readFile, env: all });
}

const withToken = variant(BIND, `${BIND}\n  token: \${file:/token}`);

for (const [what, text, env, url, target] of [
  ['the file', VALID, {}, undefined, { url: 'http://127.0.0.1:9101', token: null }],
  [
    'the token of the file',
    withToken,
    {},
    undefined,
    { url: 'http://127.0.0.1:9101', token: 'the-token-in-the-file' },
  ],
  [
    'the token of the environment',
    withToken,
    { POINTSMAN_TOKEN: 'other' },
    undefined,
    { url: 'http://127.0.0.1:9101', token: 'other' },
  ],
  [
    'a bind on every IPv4 address',
    variant(BIND, 'bind: 0.0.0.0:80'),
    {},
    undefined,
    { url: 'http://127.0.0.1:80', token: null },
  ],
  [
    'a bind on every address',
    variant(BIND, 'bind: "[::]:80"'),
    {},
    undefined,
    { url: 'http://[::1]:80', token: null },
  ],
  ['--url, and no file is read', '}', {}, 'https://h:1/', { url: 'https://h:1', token: null }],
  [
    '--url and the token of the environment',
    '}',
    { POINTSMAN_TOKEN: 't' },
    'http://[::1]:1',
    { url: 'http://[::1]:1', token: 't' },
  ],
] as const) {
  test(`admin target: of ${what}`, () => {
    assert.deepEqual(find(text, env, url), { ok: true, target: { ...target, tls: {} } });
  });
}

for (const [what, text, url, complaint] of [
  ['a file that is wrong', '}', undefined, /^pointsman.yaml:1:1[^]*--url and POINTSMAN_TOKEN do without it$/],
  ['port 0', variant(BIND, 'bind: 127.0.0.1:0'), undefined, /is port 0: its log says which port/],
  ['a word', VALID, 'localhost', /not the address of an admin server/],
  ['another scheme', VALID, 'ftp://h:1', /not the address of an admin server/],
  ['credentials', VALID, 'http://u:hunter2@h:1', /not the address of an admin server/],
  ['a path', VALID, 'http://h:1/api', /not the address of an admin server/],
] as const) {
  test(`admin target: ${what} is refused, with the reason and without a secret`, () => {
    const found = find(text, { POINTSMAN_TOKEN: 'hunter2' }, url);
    assert.ok(!found.ok);
    const said = found.complaints.join('\n');
    assert.match(said, complaint);
    assert.doesNotMatch(said, /hunter2/);
  });
}
