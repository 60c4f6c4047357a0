import assert from 'node:assert/strict';
import { socketFailure, timeoutFailure } from '../../../../../src/health/probers/failures.ts';
import { test } from 'node:test';
import { serverFailure, type Phase } from '../../../../../src/health/probers/mysql/failures.ts';

const codeOf = (errno: number): string => serverFailure({ errno, sqlState: null, message: 'words' }).code;

test('mysql failures: numbers of the server have the classes that operators know', () => {
  const expected: Readonly<Record<string, readonly number[]>> = {
    L7BUSY: [1040, 1203, 1226],
    L7BLOCK: [1129],
    L7AUTH: [1130, 1045, 1044, 1698],
    L7DB: [1049],
    L7START: [1053, 3032],
    L4LOST: [1927, 4031],
    L7TOUT: [1969, 3024],
    L7STS: [1047, 1146, 1205, 65535],
  };
  for (const [code, numbers] of Object.entries(expected)) {
    for (const errno of numbers) assert.equal(codeOf(errno), code, String(errno));
  }
});

test('mysql failures: the words of the server are kept, cut to a length; a block comes with its remedy', () => {
  assert.equal(serverFailure({ errno: 1045, sqlState: '28000', message: 'no' }).detail, '1045: no');
  assert.match(serverFailure({ errno: 1129, sqlState: null, message: 'blocked' }).detail, /FLUSH HOSTS/);
  assert.ok(serverFailure({ errno: 1, sqlState: null, message: 'x'.repeat(9999) }).detail.length <= 300);
});

test('mysql failures: silence and socket errors mean what their phase makes of them', () => {
  const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
  const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
  const phases: readonly (readonly [Phase, string, string])[] = [
    ['resolving', 'L4DNS', 'L4CON'],
    ['connecting', 'L4TOUT', 'L4CON'],
    ['greeting', 'L7TOUT', 'L4LOST'],
    ['handshaking', 'L6TOUT', 'L4LOST'],
    ['login', 'L7TOUT', 'L4LOST'],
    ['asking', 'L7TOUT', 'L4LOST'],
  ];
  for (const [phase, silent, error] of phases) {
    assert.equal(timeoutFailure(phase, 100).code, silent, phase);
    assert.equal(socketFailure(phase, phase === 'connecting' ? refused : reset).code, error, phase);
  }
  assert.equal(socketFailure('handshaking', new Error('bad certificate')).code, 'L6RSP');
});
