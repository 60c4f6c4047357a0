import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { isOurselves } from '../../../src/app/ourselves.ts';
import { configOf } from '../config/kit.ts';

const frontendsOn = (bind: string) =>
  configOf(`
frontends:
  web: { bind: "${bind}", backend: app, route: any }
  other: { bind: 127.0.0.1:9999, backend: else, route: any }
backends:
  app: { protocol: tcp, servers: { a: 10.0.0.1:80 } }
  else: { protocol: tcp, servers: { a: 10.0.0.2:80 } }
`).frontends;

const own = Object.values(networkInterfaces()).flatMap(all => all ?? []);
const lan = own.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.1';

for (const [bind, host, port, expected] of [
  ['127.0.0.1:5000', '127.0.0.1', 5000, true],
  ['127.0.0.1:5000', '127.0.0.1', 5001, false],
  ['127.0.0.1:5000', '127.0.0.2', 5000, false],
  ['0.0.0.0:5000', '127.0.0.2', 5000, true],
  ['0.0.0.0:5000', lan, 5000, true],
  ['0.0.0.0:5000', '192.0.2.1', 5000, false],
  ['127.0.0.1:5000', '0.0.0.0', 80, true],
  ['127.0.0.1:5000', '::', 80, true],
  ['127.0.0.1:5000', '127.0.0.1', 9999, false],
] as const) {
  test(`ourselves: a server at ${host}:${port} ${expected ? 'is' : 'is not'} our own port ${bind}`, () => {
    assert.equal(isOurselves(frontendsOn(bind), 'app', { host, port }), expected);
  });
}
