import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MYSQL_PACKET_MAX_BYTES } from '../../../../src/core/limits.ts';
import {
  decodeError,
  decodeGreeting,
  decodePacket,
  encodeGreeting,
  encodePacket,
  requestedPlugin,
} from '../../../../src/protocol/mysql/packets.ts';
import { err, greeting, SCRAMBLE } from '../../../support/mysql-peer.ts';

const payloadOf = (packet: Uint8Array): Uint8Array => packet.subarray(4);

describe('packets of MySQL', () => {
  it('are read when they are whole, however they are cut', () => {
    const bytes = encodePacket(7, Buffer.from('hello'));
    for (let length = 0; length < bytes.length; length += 1) {
      assert.equal(decodePacket(bytes.subarray(0, length)).kind, 'need');
    }
    const decoded = decodePacket(Buffer.concat([bytes, Buffer.from('more')]));
    assert.ok(decoded.kind === 'ok');
    assert.deepEqual([decoded.value.sequence, Buffer.from(decoded.value.payload).toString()], [7, 'hello']);
    assert.equal(decoded.consumed, bytes.length);
  });
  it('that are empty or above the limit are refused by their header', () => {
    const header = Buffer.alloc(4);
    assert.equal(decodePacket(header).kind, 'bad');
    header.writeUIntLE(MYSQL_PACKET_MAX_BYTES + 1, 0, 3);
    const decoded = decodePacket(header);
    assert.ok(decoded.kind === 'bad' && decoded.code === 'WIRE_TOO_LARGE');
  });
});

describe('the greeting of a server', () => {
  it('is read: version, scramble, plugin', () => {
    const read = decodeGreeting(payloadOf(greeting('5.5.5-10.11.19-MariaDB-log', 'mysql_native_password')));
    assert.ok(typeof read !== 'string', String(read));
    assert.deepEqual(
      [read.version, read.connectionId, Buffer.from(read.scramble), read.authPlugin],
      ['10.11.19-MariaDB-log', 7, SCRAMBLE, 'mysql_native_password'],
    );
  });
  it('is the same after it was written again, but for what the driver is not told', () => {
    const read = decodeGreeting(payloadOf(greeting('8.0.36', 'caching_sha2_password')));
    assert.ok(typeof read !== 'string');
    const again = decodeGreeting(encodeGreeting(read));
    assert.ok(typeof again !== 'string');
    assert.deepEqual({ ...again, capabilities: 0 }, { ...read, capabilities: 0 });
    assert.equal(again.capabilities & 0x0180_0800, 0, 'TLS, session tracking, DEPRECATE_EOF');
  });
  it('that is cut anywhere is none, and never an exception', () => {
    const whole = payloadOf(greeting('8.0.36', 'x'));
    for (let length = 0; length < whole.length - 2; length += 1) {
      assert.equal(typeof decodeGreeting(whole.subarray(0, length)), 'string', String(length));
    }
  });
});

describe('errors of a server', () => {
  it('come with an SQLSTATE and without', () => {
    assert.deepEqual(decodeError(payloadOf(err(1, 1049, 'Unknown database', '42000'))), {
      errno: 1049,
      sqlState: '42000',
      message: 'Unknown database',
    });
    assert.deepEqual(decodeError(payloadOf(err(0, 1040, 'Too many connections', null))), {
      errno: 1040,
      sqlState: null,
      message: 'Too many connections',
    });
    assert.equal(decodeError(Buffer.from([0xff, 1])), null);
    assert.equal(decodeError(Buffer.from([0, 1, 2])), null);
  });
});

describe('a request for another plugin', () => {
  it('names it', () => {
    assert.equal(requestedPlugin(Buffer.from('\xfeclient_ed25519\0data', 'latin1')), 'client_ed25519');
    assert.equal(requestedPlugin(Buffer.from([0xfe])), 'mysql_old_password');
    assert.equal(requestedPlugin(Buffer.from('\xfeno end', 'latin1')), null);
    assert.equal(requestedPlugin(Buffer.from([0])), null);
  });
});
