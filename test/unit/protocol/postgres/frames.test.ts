import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PROBE_FRAME_MAX_BYTES } from '../../../../src/core/limits.ts';
import { Framer } from '../../../../src/protocol/framer.ts';
import { decodeServerMessage, type ServerMessage } from '../../../../src/protocol/postgres/frames.ts';
import { dataRow, frame, int32, primaryAnswer, welcome, primaryRow } from '../../../support/scripted-peer.ts';

function readAll(bytes: Uint8Array, pieceBytes: number): ServerMessage[] {
  const framer = new Framer(decodeServerMessage);
  const messages: ServerMessage[] = [];
  for (let i = 0; i < bytes.length; i += pieceBytes) {
    framer.push(bytes.subarray(i, i + pieceBytes));
    for (let decoded = framer.next(); decoded.kind !== 'need'; decoded = framer.next()) {
      assert.equal(decoded.kind, 'ok', JSON.stringify(decoded));
      if (decoded.kind === 'ok') messages.push(decoded.value);
    }
  }
  return messages;
}

const error = frame('E', 'SFATAL\0C57P03\0Mthe database system is starting up\0\0');

test('frames: a session reads the same in pieces of any size', () => {
  const session = Buffer.concat([welcome, primaryAnswer, error]);
  const expected: ServerMessage[] = [
    { kind: 'auth', request: { method: 'ok' } },
    { kind: 'parameter', name: 'server_version', value: '16.2 (scripted)' },
    { kind: 'other' },
    { kind: 'ready', inTransaction: false },
    { kind: 'row', values: primaryRow },
    { kind: 'other' },
    { kind: 'ready', inTransaction: false },
    {
      kind: 'error',
      error: { severity: 'FATAL', sqlstate: '57P03', message: 'the database system is starting up' },
    },
  ];
  for (const size of [1, 2, 5, 13, 10_000]) assert.deepEqual(readAll(session, size), expected);
});

test('frames: a notification is one, whatever it says', () => {
  const bytes = frame('A', Buffer.concat([int32(4711), Buffer.from('state\0{"type": "state"}\0')]));
  assert.deepEqual(readAll(bytes, 2), [{ kind: 'notification' }]);
});

test('frames: authentication requests keep their salt, mechanisms and data', () => {
  const bytes = Buffer.concat([
    frame('R', int32(3)),
    frame('R', Buffer.concat([int32(5), Buffer.from('salt')])),
    frame('R', Buffer.concat([int32(10), Buffer.from('SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0')])),
    frame('R', Buffer.concat([int32(11), Buffer.from('r=x')])),
    frame('R', Buffer.concat([int32(12), Buffer.from('v=y')])),
    frame('R', int32(7)),
  ]);
  assert.deepEqual(
    readAll(bytes, 3).map(message => message.kind === 'auth' && message.request),
    [
      { method: 'cleartext' },
      { method: 'md5', salt: Uint8Array.from(Buffer.from('salt')) },
      { method: 'sasl', mechanisms: ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'] },
      { method: 'sasl-continue', data: 'r=x' },
      { method: 'sasl-final', data: 'v=y' },
      { method: 'unsupported', type: 7 },
    ],
  );
});

test('frames: what a probe must not receive, or can be hurt by, is refused', () => {
  const bad: [string, Uint8Array][] = [
    ['HTTP', Buffer.from('HTTP/1.1 400 Bad Request')],
    ['a MySQL greeting', Buffer.from('J\0\0\0\n8.0.36\0')],
    ['a Redis error', Buffer.from('-ERR unknown command')],
    ['a CopyData', frame('d', 'x')],
    ['a length of 3', Uint8Array.of(0x5a, 0, 0, 0, 3)],
    ['an ErrorResponse without its terminator', frame('E', 'SFATAL\0')],
    ['an ErrorResponse with an unterminated field', frame('E', 'SFATAL')],
    ['an empty ErrorResponse', frame('E', '')],
    ['an ErrorResponse with bytes behind', frame('E', '\0x')],
    ['an unterminated ParameterStatus', frame('S', 'name\0value')],
    ['an unterminated CommandComplete', frame('C', 'SELECT 1')],
    ['a BackendKeyData of 12 bytes', frame('K', int32(1, 2, 3))],
    ['a notification without a process id', frame('A', 'abc')],
    ['a notification without a payload', frame('A', Buffer.concat([int32(7), Buffer.from('state\0')]))],
    ['an unterminated notification', frame('A', Buffer.concat([int32(7), Buffer.from('state\0{}')]))],
    ['a ReadyForQuery of 2 bytes', frame('Z', 'II')],
    ['a row that promises more fields', frame('D', Uint8Array.of(0, 2, 255, 255, 255, 255))],
    ['a row with a field beyond its end', frame('D', Uint8Array.of(0, 1, 0, 0, 0, 9, 65))],
    ['a row with a field of size -2', frame('D', Uint8Array.of(0, 1, 255, 255, 255, 254))],
    ['a row with a negative field count', frame('D', Uint8Array.of(255, 255))],
    ['a row with bytes behind', Buffer.concat([frame('D', Uint8Array.of(0, 0, 7))])],
    ['a description with a truncated field', frame('T', Uint8Array.of(0, 1, 65, 0, 1))],
    ['a description with a negative count', frame('T', Uint8Array.of(255, 255))],
    ['an empty authentication', frame('R', '')],
    ['an authentication with a long salt', frame('R', int32(5, 1, 2))],
    [
      'an unterminated mechanism list',
      frame('R', Buffer.concat([int32(10), Buffer.from('SCRAM-SHA-256\0')])),
    ],
    ['bytes after the mechanism list', frame('R', Buffer.concat([int32(10), Buffer.from('A\0\0B\0\0')]))],
    ['no mechanism list', frame('R', int32(10))],
  ];
  for (const [name, bytes] of bad) {
    const decoded = decodeServerMessage(bytes);
    assert.equal(decoded.kind === 'bad' && decoded.code, 'WIRE_MALFORMED', name);
  }
});

test('frames: a message above the limit is refused with its header, one at the limit is read', () => {
  const header = Buffer.concat([Buffer.from('E'), int32(PROBE_FRAME_MAX_BYTES + 1)]);
  const refused = decodeServerMessage(header);
  assert.equal(refused.kind === 'bad' && refused.code, 'WIRE_TOO_LARGE');
  const value = 'x'.repeat(PROBE_FRAME_MAX_BYTES - 4 - 2 - 4);
  const decoded = decodeServerMessage(dataRow([value]));
  assert.deepEqual(decoded.kind === 'ok' && decoded.value, { kind: 'row', values: [value] });
});

test('frames: words of a server are truncated', () => {
  const decoded = decodeServerMessage(frame('E', `SFATAL\0CXX000\0M${'long '.repeat(1000)}\0\0`));
  assert.ok(
    decoded.kind === 'ok' && decoded.value.kind === 'error' && decoded.value.error.message.length <= 300,
  );
});

test('frames: a session that is amid a transaction says so, also when that has failed', () => {
  const states = ['I', 'T', 'E'].map(status => frame('Z', status));
  assert.deepEqual(
    readAll(Buffer.concat(states), 4).map(message => message.kind === 'ready' && message.inTransaction),
    [false, true, true],
  );
});
