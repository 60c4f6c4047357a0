import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bindsOverlap, isLoopback, isSameAddress, reaches } from '../../../src/config/addresses.ts';

const at = (host: string, port = 5432): { host: string; port: number } => ({ host, port });

test('binds: a wildcard overlaps every address of its family, and "::" IPv4 too', () => {
  assert.equal(bindsOverlap(at('0.0.0.0'), at('127.0.0.1')), true);
  assert.equal(bindsOverlap(at('127.0.0.1'), at('0.0.0.0')), true);
  assert.equal(bindsOverlap(at('::'), at('127.0.0.1')), true);
  assert.equal(bindsOverlap(at('0.0.0.0'), at('::1')), false);
});

test('binds: different ports, different addresses and port 0 never overlap', () => {
  assert.equal(bindsOverlap(at('0.0.0.0'), at('127.0.0.1', 5433)), false);
  assert.equal(bindsOverlap(at('127.0.0.1'), at('127.0.0.2')), false);
  assert.equal(bindsOverlap(at('127.0.0.1', 0), at('127.0.0.1', 0)), false);
});

test('addresses: one address in several spellings is the same', () => {
  assert.equal(isSameAddress(at('::1'), at('0:0:0:0:0:0:0:1')), true);
  assert.equal(isSameAddress(at('::ffff:10.0.0.1'), at('10.0.0.1')), true);
  assert.equal(isSameAddress(at('DB.example.'), at('db.example')), true);
  assert.equal(isSameAddress(at('localhost'), at('127.0.0.1')), true);
  assert.equal(isSameAddress(at('db1.example'), at('db2.example')), false);
});

test('loopback: 127.0.0.0/8, ::1 and localhost are, other addresses and names are not', () => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost', 'LOCALHOST'])
    assert.equal(isLoopback(host), true, host);
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'db.example', 'localhost.example'])
    assert.equal(isLoopback(host), false, host);
});

test('reaching: a wildcard bind is met by a loopback server, not by one elsewhere', () => {
  assert.equal(reaches(at('127.0.0.1'), at('0.0.0.0')), true);
  assert.equal(reaches(at('localhost'), at('::')), true);
  assert.equal(reaches(at('10.0.0.1'), at('10.0.0.1')), true);
  assert.equal(reaches(at('10.0.0.1'), at('0.0.0.0')), false);
  assert.equal(reaches(at('127.0.0.1', 5433), at('0.0.0.0')), false);
});
