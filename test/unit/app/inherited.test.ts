// Which inherited socket is for whom: systemd's by name or address, a predecessor's by address.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findListening, HANDOVER_ENV, InheritedSockets } from '../../../src/app/inherited.ts';

const ids = { pid: 100, ppid: 50 };
const bind = (host: string, port: number) => ({ host, port });
const note = (parent: number, ...sockets: object[]) => ({
  [HANDOVER_ENV]: JSON.stringify({ parent, sockets }),
});
const socket = (name: string, host: string, port: number) => ({
  name,
  address: { host, port },
  isKept: false,
});

test('inherited: sockets of systemd are known by their names, in the order of their descriptors', () => {
  const env = { LISTEN_PID: '100', LISTEN_FDS: '2', LISTEN_FDNAMES: 'app:admin', HOME: '/' };
  const inherited = InheritedSockets.read(env, ids);
  assert.deepEqual(env, { HOME: '/' });
  assert.equal(inherited.areKept, true);
  assert.deepEqual(
    inherited.take('admin', bind('127.0.0.1', 1)).map(({ fd }) => fd),
    [4],
  );
  assert.ok(inherited.isKept(4) && !inherited.isKept(5));
  assert.deepEqual(
    inherited.take('app', bind('0.0.0.0', 2)).map(({ fd }) => fd),
    [3],
  );
  assert.deepEqual(inherited.take('app', bind('0.0.0.0', 2)), []);
});

test('inherited: what is meant for another process is not ours', () => {
  assert.deepEqual(
    InheritedSockets.read({ LISTEN_PID: '99', LISTEN_FDS: '1' }, ids).take('unknown', bind('::', 1)),
    [],
  );
  const stranger = InheritedSockets.read(note(51, socket('app', '127.0.0.1', 5)), ids);
  assert.deepEqual(stranger.take('app', bind('127.0.0.1', 5)), []);
});

test('inherited: of a predecessor the address decides, whatever the frontend is called now', () => {
  const sockets = [
    socket('app', '10.0.0.1', 5432),
    socket('app', '10.0.0.1', 5432),
    socket('ro', '::', 5433),
  ];
  const inherited = InheritedSockets.read(note(50, ...sockets), ids);
  assert.equal(inherited.areKept, false);
  assert.deepEqual(inherited.take('app', bind('10.0.0.2', 5432)), []);
  assert.deepEqual(
    inherited.take('renamed', bind('10.0.0.1', 5432)).map(({ fd }) => fd),
    [3, 4],
  );
  assert.deepEqual(
    inherited.take('ro', bind('0.0.0.0', 5433)).map(({ fd }) => fd),
    [5],
  );
});

test('inherited: any port goes on as the one that it was, and a host name as what it meant', () => {
  const inherited = InheritedSockets.read(
    note(50, socket('any', '127.0.0.1', 40_000), socket('named', '127.0.0.1', 6)),
    ids,
  );
  assert.deepEqual(inherited.take('other', bind('127.0.0.1', 0)), []);
  assert.deepEqual(
    inherited.take('any', bind('127.0.0.1', 0)).map(({ fd }) => fd),
    [3],
  );
  assert.deepEqual(
    inherited.take('named', bind('localhost', 6)).map(({ fd }) => fd),
    [4],
  );
});

test('inherited: a variable that is not ours is nothing', () => {
  for (const text of ['', '{', '[]', '{"parent":50}']) {
    assert.equal(InheritedSockets.read({ [HANDOVER_ENV]: text }, ids).areKept, false);
  }
});

test("inherited: a socket's address is found in the kernel's tables, listening ones only", () => {
  const row = (at: string, state: string, inode: string): string =>
    `   0: ${at} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0000 100 0 0 10 0`;
  const table = [
    '  sl  local_address …',
    row('0100007F:1538', '01', '77'),
    row('0100007F:1538', '0A', '78'),
  ].join('\n');
  assert.deepEqual(findListening(table, '78'), { host: '127.0.0.1', port: 5432 });
  assert.equal(findListening(table, '77'), null);
  const six = row('B80D0120000000000000000001000000:0050', '0A', '79');
  assert.deepEqual(findListening(six, '79'), { host: '2001:db8::1', port: 80 });
  assert.deepEqual(findListening(row(`${'0'.repeat(32)}:0051`, '0A', '80'), '80'), { host: '::', port: 81 });
});
