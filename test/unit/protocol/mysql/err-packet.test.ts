// The ERR packet, byte by byte.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errPacket } from '../../../../src/protocol/mysql/err-packet.ts';

test('ERR packet: length, number 0, 0xff, errno, SQLSTATE, message', () => {
  const packet = errPacket({ errno: 1040, sqlstate: '08004', message: 'Too many connections' });
  // As MariaDB 10.11 sends it, plus the SQLSTATE with its marker.
  const expected = '1d000000ff1004' + Buffer.from('#08004Too many connections').toString('hex');
  assert.equal(Buffer.from(packet).toString('hex'), expected);
});

test('ERR packet: a message is cut to what client libraries have room for', () => {
  const packet = Buffer.from(errPacket({ errno: 1053, sqlstate: '08S01', message: 'é'.repeat(5000) }));
  assert.equal(packet.length, 4 + 3 + 512);
  assert.equal(packet.readUIntLE(0, 3), 3 + 512);
});
