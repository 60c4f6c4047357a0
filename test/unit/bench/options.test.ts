// The command line of the bench: what isn't understood is refused, never ignored.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readOptions } from '../../../bench/proxy/options.ts';

const known = { scenarios: ['http', 'memory'], contenders: ['pointsman', 'haproxy'] };
const read = (...args: string[]) => readOptions(args, known);

test('bench options: five rounds of everything, one when quick', () => {
  assert.deepEqual(read(), {
    ...{ quick: false, rounds: 5, only: null, proxies: null, pointsmanEngine: null, out: null },
  });
  assert.equal(read('--quick').rounds, 1);
  assert.equal(read('--quick', '--rounds', '2').rounds, 2);
});

test('bench options: names are told apart by commas', () => {
  assert.deepEqual(read('--only', 'memory,http').only, ['memory', 'http']);
  assert.deepEqual(read('--proxies', 'haproxy').proxies, ['haproxy']);
});

test('bench options: an unknown name is refused with those there are', () => {
  assert.throws(() => read('--only', 'http,htp'), /--only: there is no htp; there are http, memory/);
  assert.throws(() => read('--proxies', ''), /there is no /);
  assert.throws(() => read('--fast'), /--fast/);
});

test('bench options: rounds are counted in whole numbers from 1', () => {
  for (const text of ['0', '-1', '1.5', 'many', '']) {
    assert.throws(() => read(`--rounds=${text}`), /--rounds is a whole number/, text);
  }
});

test("bench options: Pointsman's engine is a YAML map", () => {
  assert.deepEqual(read('--pointsman-config', '{driver: net, workers: 2}').pointsmanEngine, {
    ...{ driver: 'net', workers: 2 },
  });
  for (const text of ['net', '[net]', '']) {
    assert.throws(() => read('--pointsman-config', text), /YAML map/, text);
  }
});
