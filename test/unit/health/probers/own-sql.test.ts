import assert from 'node:assert/strict';
import { test } from 'node:test';
import { saysYes } from '../../../../src/health/probers/own-sql.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

test('own SQL: these values say yes, as texts, bytes, numbers, booleans and bits', () => {
  const words = ['true', '1', 't', 'yes', 'on', 'primary', 'master', 'writable', 'PRIMARY', ' Master '];
  for (const value of [
    ...words,
    ...words.map(bytes),
    1,
    1n,
    true,
    bytes('\x01'),
    bytes('\0\0\x01'),
    '\x01',
  ]) {
    assert.equal(saysYes(value), true, String(value));
  }
});

test('own SQL: everything else says no', () => {
  const words = [
    '',
    '0',
    'f',
    'false',
    'no',
    'off',
    'VICE',
    'replica',
    '2',
    '1.0',
    'truest',
    '\x02',
    '\x01\x01',
    'null',
  ];
  for (const value of [
    ...words,
    ...words.map(bytes),
    0,
    2,
    -1,
    Number.NaN,
    0n,
    false,
    null,
    undefined,
    {},
    [],
    [1],
    () => true,
  ]) {
    assert.equal(saysYes(value), false, String(value));
  }
});
