import assert from 'node:assert/strict';
import { test } from 'node:test';
import { capabilities, encodePacket } from '../../../src/protocol/mysql/packets.ts';
import { MysqlLogin, type LoginAction, type LoginRules } from '../../../src/proxy/mysql-login.ts';

/** A greeting with the lower half of these capabilities. */
function greeting(flags: number): Buffer {
  const fixed = Buffer.alloc(31);
  fixed.writeUInt16LE(flags, 13);
  return encodePacket(0, Buffer.concat([Buffer.from('\x0a8.0.1\0', 'latin1'), fixed, Buffer.alloc(13)]));
}

const offered = ({ bytes }: { bytes: Uint8Array }): boolean =>
  (Buffer.from(bytes).readUInt16LE(4 + 7 + 13) & capabilities.SSL) !== 0;

function login(sequence: number, ssl: boolean, user = 'app'): Buffer {
  const head = Buffer.alloc(32);
  head.writeUInt32LE(capabilities.PROTOCOL_41 | (ssl ? capabilities.SSL : 0), 0);
  return encodePacket(sequence, Buffer.concat([head, Buffer.from(`${user}\0\0`)]));
}

const sslRequest = (): Buffer => encodePacket(1, login(1, true).subarray(4, 36));

/** `to-server 1 ssl 38`, `to-client 2 16`, `encrypt client 0` … */
function told(actions: readonly LoginAction[]): readonly string[] {
  return actions.map(action => {
    if (action.kind === 'encrypt') return `encrypt ${action.side} ${action.heard.length}`;
    if (!('bytes' in action)) return action.kind;
    const bytes = Buffer.from(action.bytes);
    return `${action.kind} ${bytes[3]} ${bytes.subarray(4, 6).toString('hex')}`;
  });
}

const begun = (rules: LoginRules, serverOffers = true): MysqlLogin => {
  const machine = new MysqlLogin(rules);
  machine.receive('server', greeting(capabilities.PROTOCOL_41 | (serverOffers ? capabilities.SSL : 0)));
  return machine;
};

test('mysql login: the greeting offers what the frontend offers, whatever the server does', () => {
  for (const [client, serverOffers, offers] of [
    ['require', false, true],
    ['allow', true, true],
    ['refuse', true, false],
  ] as const) {
    const machine = new MysqlLogin({ client, server: false });
    const flags = capabilities.PROTOCOL_41 | (serverOffers ? capabilities.SSL : 0);
    const [action] = machine.receive('server', greeting(flags));
    assert.ok(action?.kind === 'to-client');
    assert.equal(offered(action), offers, client);
  }
});

test('mysql login: with TLS on the client’s side only, numbers differ by one until the login is over', () => {
  const machine = begun({ client: 'require', server: false }, false);
  assert.deepEqual(told(machine.receive('client', sslRequest())), ['encrypt client 0']);
  assert.deepEqual(machine.encrypted('client'), []);
  assert.deepEqual(told(machine.receive('client', login(2, true))), ['to-server 1 0002']);
  const authSwitch = encodePacket(2, Buffer.from('\xfemysql_native_password\0', 'latin1'));
  assert.deepEqual(told(machine.receive('server', authSwitch)), ['to-client 3 fe6d']);
  assert.deepEqual(told(machine.receive('client', encodePacket(4, Buffer.alloc(0)))), ['to-server 3 ']);
  const last = Buffer.concat([encodePacket(4, Buffer.from([0, 0, 0])), Buffer.from('more')]);
  assert.deepEqual(told(machine.receive('server', last)), ['to-client 5 0000', 'done', 'to-client 101 ']);
});

test('mysql login: with TLS on the server’s side only, it is asked for, and numbers differ the other way', () => {
  const machine = begun({ client: 'refuse', server: true });
  assert.deepEqual(told(machine.receive('client', login(1, false))), [
    'to-server 1 000a',
    'encrypt server 0',
  ]);
  assert.deepEqual(told(machine.encrypted('server')), ['to-server 2 000a']);
  assert.deepEqual(told(machine.receive('server', encodePacket(3, Buffer.from([0xff, 1])))), [
    'to-client 2 ff01',
    'done',
  ]);
});

test('mysql login: a handshake right behind the request for it belongs to it', () => {
  const machine = begun({ client: 'allow', server: false });
  const both = Buffer.concat([sslRequest(), Buffer.from('\x16\x03\x01hello')]);
  assert.deepEqual(told(machine.receive('client', both)), ['encrypt client 8']);
});

test('mysql login: it may come byte by byte', () => {
  const machine = begun({ client: 'allow', server: false });
  const bytes = [...login(1, false)];
  const actions = bytes.flatMap(byte => machine.receive('client', Uint8Array.of(byte)));
  assert.deepEqual(told(actions), ['to-server 1 0002']);
});

test('mysql login: plain clients are refused where TLS is required, and the server hears a login of nobody', () => {
  const machine = begun({ client: 'require', server: false });
  const actions = machine.receive('client', login(1, false));
  const [refusal] = actions;
  assert.ok(refusal?.kind === 'to-client');
  assert.equal(Buffer.from(refusal.bytes).readUInt16LE(5), 3159);
  assert.match(
    Buffer.from(refusal.bytes).toString('latin1'),
    /#HY000pointsman: this frontend serves clients in TLS/,
  );
  assert.deepEqual(told(actions).slice(1), ['to-server 1 0882', 'refused']);
});

test('mysql login: a client whose certificate is no good is told so', () => {
  const machine = begun({ client: 'require', server: false });
  machine.receive('client', sslRequest());
  machine.encrypted('client', false);
  const [refusal] = machine.receive('client', login(2, true));
  assert.ok(refusal?.kind === 'to-client');
  assert.match(
    Buffer.from(refusal.bytes).toString('latin1'),
    /#28000pointsman: the client showed no certificate/,
  );
});

test('mysql login: a password that only TLS protects never reaches a server without TLS that waits for RSA', () => {
  for (const question of [Buffer.from([1, 4]), Buffer.from('\xfesha256_password\0', 'latin1')]) {
    const machine = begun({ client: 'require', server: false });
    machine.receive('client', sslRequest());
    machine.encrypted('client');
    machine.receive('client', login(2, true));
    const [refusal, end] = machine.receive('server', encodePacket(2, question));
    assert.ok(refusal?.kind === 'to-client');
    assert.match(Buffer.from(refusal.bytes).toString('latin1'), /needs TLS to the server too/);
    assert.equal(end?.kind, 'refused');
  }
});

test('mysql login: a server without TLS is of no use where it must have it', () => {
  const machine = new MysqlLogin({ client: 'refuse', server: true });
  assert.deepEqual(told(machine.receive('server', greeting(capabilities.PROTOCOL_41))).slice(1), [
    'to-server 1 0882',
    'refused',
  ]);
});

test('mysql login: what is not the protocol, or too large, is broken off', () => {
  const large = begun({ client: 'allow', server: false });
  assert.deepEqual(told(large.receive('client', Buffer.from([0xff, 0xff, 0x7f, 1]))), ['broken']);
  const early = new MysqlLogin({ client: 'allow', server: false });
  assert.deepEqual(told(early.receive('client', login(1, false))), ['broken']);
  const refused = begun({ client: 'refuse', server: false });
  assert.deepEqual(told(refused.receive('client', sslRequest())), ['broken']);
  assert.deepEqual(told(refused.receive('client', login(1, false))), []);
});
