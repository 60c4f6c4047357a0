import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  observeBackendKey,
  startBackendKey,
  type BackendKeyState,
} from '../../../../src/protocol/postgres/backend-key.ts';
import { frame, int32, welcome } from '../../../support/scripted-peer.ts';

type Sent = Parameters<typeof startBackendKey>[0];

function observe(sent: Sent, bytes: Uint8Array, pieceBytes: number): BackendKeyState {
  let state = startBackendKey(sent);
  for (let i = 0; i < bytes.length; i += pieceBytes) {
    state = observeBackendKey(state, bytes.subarray(i, i + pieceBytes));
    if (state.kind === 'reading') assert.ok(state.partial.length <= 300, 'it keeps under 300 bytes');
  }
  return state;
}

const found = { kind: 'found', pid: 7, key: Uint8Array.from(int32(8)) };
const notice = frame('N', 'Mhello\0\0');

test('backend key: it is found in the welcome, in pieces of any size', () => {
  for (const size of [1, 2, 3, 7, 1000])
    assert.deepEqual(observe('startup', welcome, size), found, `${size}`);
});

test('backend key: a key of 256 bytes (protocol 3.2) is found', () => {
  const key = Buffer.alloc(256, 5);
  const bytes = Buffer.concat([frame('R', int32(0)), frame('K', Buffer.concat([int32(-1), key]))]);
  for (const size of [1, 64, 1000]) {
    assert.deepEqual(observe('startup', bytes, size), { kind: 'found', pid: -1, key: Uint8Array.from(key) });
  }
});

test('backend key: after refused encryption the plain session is followed, a notice first or not', () => {
  for (const size of [1, 2, 1000]) {
    assert.deepEqual(observe('ssl-request', Buffer.concat([Buffer.from('N'), welcome]), size), found);
    assert.deepEqual(observe('gssenc-request', Buffer.concat([Buffer.from('NN'), welcome]), size), found);
    assert.deepEqual(observe('ssl-request', Buffer.concat([Buffer.from('N'), notice, welcome]), size), found);
    assert.deepEqual(observe('startup', Buffer.concat([notice, welcome]), size), found);
  }
});

test('backend key: it gives up on encryption, refusal, a missing key and anything foreign', () => {
  const cases: [Sent, Uint8Array][] = [
    ['ssl-request', Buffer.from('S')],
    ['gssenc-request', Buffer.from('G')],
    ['gssenc-request', Buffer.from('NS')],
    ['ssl-request', Buffer.from('NNNN')],
    ['startup', frame('E', 'Mno\0\0')],
    ['startup', frame('Z', 'I')],
    ['startup', Buffer.from('HTTP/1.1 400')],
    ['startup', Buffer.from([0x52, 0, 0, 0, 3])],
    ['startup', Buffer.from([0x52, 0x7f, 0, 0, 0])],
    ['startup', Buffer.from([0x4b, 0, 0, 0, 11])],
    ['startup', Buffer.from([0x4b, 0, 0, 1, 9])],
  ];
  for (const [sent, bytes] of cases) {
    assert.equal(observe(sent, bytes, 1).kind, 'none', `${sent} ${bytes.toString()}`);
    assert.equal(observe(sent, bytes, 100).kind, 'none');
  }
});

test('backend key: an ended observation ignores what comes after it', () => {
  const state = observe('startup', welcome, 100);
  assert.equal(observeBackendKey(state, Buffer.from('anything')), state);
});
