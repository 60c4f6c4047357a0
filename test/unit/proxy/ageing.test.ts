import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ageing } from '../../../src/proxy/ageing.ts';

test('ageing: a session that rests ends at its own moment, in the second half of the time', () => {
  for (const [draw, atMs] of [
    [0, 500],
    [0.5, 700],
    [1, 900],
  ] as const) {
    const age = new Ageing(1000, 10_000, draw);
    assert.equal(age.isOver(10_000, 0, 5, false), false, 'the first look');
    assert.equal(age.isOver(10_000 + atMs - 1, 0, 5, false), false, String(draw));
    assert.equal(age.isOver(10_000 + atMs, 0, 5, false), true, String(draw));
  }
});

test('ageing: one that is busy ends at its first rest, at the latest at the end of the time', () => {
  const age = new Ageing(1000, 0, 0);
  let bytes = 0;
  for (let now = 0; now < 800; now += 100)
    assert.equal(age.isOver(now, (bytes += 1), (bytes += 1), false), false);
  assert.equal(age.isOver(800, bytes - 1, bytes, false), true, 'no byte since the last look');
  const busy = new Ageing(1000, 0, 0);
  for (let now = 0; now < 1000; now += 100)
    assert.equal(busy.isOver(now, (bytes += 1), (bytes += 1), false), false);
  assert.equal(busy.isOver(1000, bytes + 1, bytes + 2, false), true);
});

test('ageing: an answer that is due is waited for, until the end of the time', () => {
  const age = new Ageing(1000, 0, 0);
  age.isOver(400, 10, 10, false);
  assert.equal(age.isOver(500, 11, 10, true), false, 'it asked');
  assert.equal(age.isOver(600, 11, 10, true), false, 'and waits');
  assert.equal(age.isOver(700, 11, 20, false), false, 'it is being answered');
  assert.equal(age.isOver(800, 11, 20, false), true);
  assert.equal(new Ageing(1000, 0, 0).isOver(1000, 1, 1, true), true, 'the end is the end');
});
