import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  DURATION_PATTERN,
  HOST_PORT_PATTERN,
  formatDuration,
  readDuration,
  readHostPort,
} from '../../../src/config/units.ts';

const durations: readonly (readonly [string | number, number])[] = [
  [0, 0],
  ['0', 0],
  ['250ms', 250],
  ['2s', 2000],
  ['1.5m', 90_000],
  ['1h', 3_600_000],
  ['7d', 604_800_000],
];

test('durations: every unit is read as milliseconds', () => {
  for (const [text, value] of durations)
    assert.deepEqual(readDuration(text), { ok: true, value }, String(text));
});

test('durations: what is no duration, or longer than a week, gets a reason that does not repeat it', () => {
  for (const text of [
    '',
    's',
    '5',
    5,
    '-1s',
    '1 s',
    '5 sec',
    '1e3ms',
    '1m30s',
    '8d',
    '99999999999h',
    'Infinityms',
  ]) {
    const reading = readDuration(text);
    assert.ok(!reading.ok, String(text));
    assert.match(reading.reason, /^(is|has) /);
    if (String(text).length > 3) assert.ok(!reading.reason.includes(String(text)), reading.reason);
  }
});

test('durations: a bare number is told that the unit is missing', () => {
  for (const text of [30, '30', '1.5']) {
    const reading = readDuration(text);
    assert.ok(!reading.ok);
    assert.match(reading.reason, /^has no unit/);
  }
});

test('durations: what is formatted is read back as the same', () => {
  for (const ms of [0, 1, 250, 1500, 60_000, 90_000, 3_600_000, 86_400_000]) {
    assert.deepEqual(readDuration(formatDuration(ms)), { ok: true, value: ms });
  }
  assert.deepEqual([60_000, 90_000, 1500, 0].map(formatDuration), ['1m', '90s', '1500ms', '0']);
});

test('addresses: IPv4, IPv6 in brackets and names are read', () => {
  assert.deepEqual(readHostPort('10.0.0.1:5432'), { ok: true, value: { host: '10.0.0.1', port: 5432 } });
  assert.deepEqual(readHostPort('[::1]:5432'), { ok: true, value: { host: '::1', port: 5432 } });
  assert.deepEqual(readHostPort('db_1.example:1'), { ok: true, value: { host: 'db_1.example', port: 1 } });
});

test('addresses: port 0 is allowed only for binds', () => {
  assert.equal(readHostPort('127.0.0.1:0').ok, false);
  assert.equal(readHostPort('127.0.0.1:0', true).ok, true);
  assert.equal(readHostPort('127.0.0.1:65535').ok, true);
  assert.equal(readHostPort('127.0.0.1:65536').ok, false);
});

test('addresses: what is no address gets a reason', () => {
  const wrong = [
    '',
    '5432',
    ':5432',
    'host',
    'host:',
    'host:pg',
    '::1:5432',
    '[10.0.0.1]:5432',
    '[::g]:1',
    '*:80',
  ];
  for (const text of [...wrong, '10.0.0.256:80', '10.0.0:80', 'a b:80', 'u@h:80', 'h:123456']) {
    assert.equal(readHostPort(text).ok, false, text);
  }
});

test('patterns: those of the JSON Schema accept what the readers accept', () => {
  for (const [text] of durations)
    if (typeof text === 'string') assert.match(text, new RegExp(DURATION_PATTERN));
  for (const text of ['10.0.0.1:5432', '[::1]:5432', '[fe80::1%eth0]:1', 'db_1.example:1']) {
    assert.equal(readHostPort(text).ok, true, text);
    assert.match(text, new RegExp(HOST_PORT_PATTERN));
  }
});
