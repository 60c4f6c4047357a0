import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configOf, errors, warnings } from './kit.ts';

const file = (backend: readonly string[], top: readonly string[] = [], route = 'any'): string =>
  [
    'frontends:',
    '  app: { bind: 127.0.0.1:6000, backend: app, route: ' + route + ' }',
    'backends:',
    '  app:',
    ...backend.map(line => `    ${line}`),
    ...top,
  ].join('\n');

const tcp = (...lines: readonly string[]): string => file(['protocol: tcp', ...lines]);
const servers = 'servers: { n1: 10.0.0.1:7000 }';

test('dns: names are looked up as the system does, every 5 s, unless the file says otherwise', () => {
  assert.deepEqual(configOf(tcp(servers)).dns, { servers: [], intervalMs: 5000, timeoutMs: 2000 });
  const own = 'dns: { servers: ["10.0.0.53:53", "[fd00::53]:53"], interval: 1s, timeout: 500ms }';
  assert.deepEqual(configOf(file(['protocol: tcp', servers], [own])).dns, {
    servers: [
      { host: '10.0.0.53', port: 53 },
      { host: 'fd00::53', port: 53 },
    ],
    intervalMs: 1000,
    timeoutMs: 500,
  });
});

test('dns: a backend of every protocol can find its servers in DNS', () => {
  for (const protocol of ['postgres', 'mysql', 'redis', 'http', 'tcp']) {
    const check = protocol === 'postgres' || protocol === 'mysql' ? ['check: { user: probe }'] : [];
    const text = file([`protocol: ${protocol}`, ...check, 'dns: { name: db.internal., port: 7000 }']);
    const { app } = configOf(text).backends;
    assert.deepEqual(app?.servers, {}, protocol);
    assert.deepEqual(app.dns, { name: 'db.internal', type: 'a', port: 7000, maxServers: 8 }, protocol);
  }
});

/** A file with a mistake, what is said of it, and the nearest file without it. */
const mistakes: readonly (readonly [name: string, text: string, says: readonly string[], fine: string])[] = [
  [
    'neither servers nor where to find them',
    tcp('check: { interval: 2s }'),
    ['4:3 backends.app: needs servers, or dns to learn them from'],
    tcp('check: { interval: 2s }', 'dns: { name: db.internal, port: 7000 }'),
  ],
  [
    'servers, and where to find others',
    tcp(servers, 'dns: { name: db.internal, port: 7000 }'),
    ['7:10 backends.app.dns: does nothing with servers: none is looked for'],
    tcp(servers),
  ],
  [
    'two that tell the servers',
    file([
      'protocol: redis',
      'sentinel: { addresses: [10.0.0.1:26379] }',
      'dns: { name: db.internal, port: 7000 }',
    ]),
    ['7:10 backends.app.dns: does not go with sentinel, which tells the servers itself'],
    file(['protocol: redis', 'sentinel: { addresses: [10.0.0.1:26379] }']),
  ],
  [
    'addresses without a port',
    tcp('dns: { name: db.internal }'),
    ['6:10 backends.app.dns: needs a port: addresses have none'],
    tcp('dns: { name: db.internal, type: srv }'),
  ],
  [
    'a port beside records that tell it',
    tcp('dns: { name: _db._tcp.internal, type: srv, port: 7000 }'),
    ['6:54 backends.app.dns.port: does nothing with type srv: the records tell the ports'],
    tcp('dns: { name: _db._tcp.internal, type: srv }'),
  ],
  [
    'a DNS server by name',
    file(['protocol: tcp', servers], ['dns: { servers: ["ns.internal:53"] }']),
    [
      '7:18 dns.servers[0]: "ns.internal:53" has a name for a host; of who resolves names the address itself is needed',
    ],
    file(['protocol: tcp', servers], ['dns: { servers: ["10.0.0.53:53"] }']),
  ],
  [
    'a name that is none',
    tcp('dns: { name: "db internal", port: 7000 }'),
    ['6:18 backends.app.dns.name: "db internal" is not a DNS name'],
    tcp('dns: { name: db-1._x.internal, port: 7000 }'),
  ],
];

for (const [name, text, says, fine] of mistakes) {
  test(`dns: ${name} is an error`, () => {
    assert.deepEqual(errors(text), says);
    assert.deepEqual(errors(fine), []);
    assert.deepEqual(warnings(fine), []);
  });
}
