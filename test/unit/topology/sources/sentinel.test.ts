import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Address, formatAddress } from '../../../../src/core/address.ts';
import { type SentinelAnswer } from '../../../../src/health/result.ts';
import {
  assignSlots,
  membersOf,
  opinionOf,
  slotNames,
  type SentinelWord,
} from '../../../../src/topology/sources/sentinel.ts';

const at = (port: number): Address => ({ host: '10.0.0.1', port });
const says = (sentinel: string, port: number, given: Partial<SentinelAnswer> = {}): SentinelWord => ({
  sentinel,
  detail: '',
  answer: { primary: at(port), configEpoch: 1, runId: 'run', doubts: false, replicas: [], ...given },
});
const silent = (sentinel: string): SentinelWord => ({ sentinel, answer: null, detail: 'refused' });
const portIn = (words: readonly SentinelWord[]): number | undefined =>
  opinionOf(words, 7).opinion?.primary.port;

test('sentinel opinion: all agree, and have seen the same process', () => {
  const { opinion, notes } = opinionOf([says('s1', 1), says('s2', 1), says('s3', 1)], 7);
  assert.deepEqual(opinion, { source: '3 of 3 Sentinels', primary: at(1), process: 'run', at: 7 });
  assert.deepEqual(notes, []);
});

test('sentinel opinion: the greater number decides, and the disagreement is told', () => {
  const { opinion, notes } = opinionOf([says('s1', 1), says('s2', 2), says('s3', 2)], 7);
  assert.equal(opinion?.primary.port, 2);
  assert.equal(opinion.process, null);
  assert.deepEqual(notes, ['the Sentinels disagree: 2 name 10.0.0.1:2, 1 name 10.0.0.1:1']);
});

test('sentinel opinion: among as many the newer configuration decides, else nobody', () => {
  assert.equal(portIn([says('s1', 1), says('s2', 2, { configEpoch: 2 }), silent('s3')]), 2);
  assert.equal(portIn([says('s1', 1), says('s2', 2)]), undefined);
});

test('sentinel opinion: the silent are named, and without an answer there is no opinion', () => {
  const { opinion, notes } = opinionOf([says('s1', 1), silent('s2')], 7);
  assert.equal(opinion?.source, '1 of 2 Sentinels');
  assert.equal(opinion.process, null, 'the silent one may be replacing the primary');
  assert.deepEqual(notes, ['Sentinel s2 has no answer: refused']);
  assert.equal(portIn([silent('s1'), silent('s2')]), undefined);
});

test('sentinel opinion: one that doubts, or has seen another process, takes the firmness from it', () => {
  for (const other of [
    says('s2', 1, { doubts: true }),
    says('s2', 1, { runId: 'old' }),
    says('s2', 1, { runId: null }),
  ]) {
    const { opinion } = opinionOf([says('s1', 1), other], 7);
    assert.equal(opinion?.primary.port, 1);
    assert.equal(opinion.process, null);
  }
});

test('sentinel members: the primary of most first, then the others, each once', () => {
  const words = [
    says('s1', 1, { replicas: [at(2), at(3)] }),
    says('s2', 2, { replicas: [at(1), at(4)] }),
    says('s3', 2, { replicas: [at(1)] }),
  ];
  assert.deepEqual(
    membersOf(words).map(({ port }) => port),
    [2, 1, 3, 4],
  );
  assert.deepEqual(membersOf([silent('s1')]), []);
});

test('sentinel slots: an address keeps its slot, newcomers take the free ones, and what is too much is told', () => {
  const names = slotNames(3);
  const show = (taken: ReadonlyMap<string, Address>): string =>
    [...taken].map(([name, address]) => `${name} ${formatAddress(address)}`).join(', ');
  const first = assignSlots(new Map(), [at(1), at(2), at(3)], names);
  assert.equal(show(first.taken), 'redis-1 10.0.0.1:1, redis-2 10.0.0.1:2, redis-3 10.0.0.1:3');
  const second = assignSlots(first.taken, [at(3), at(1)], names);
  assert.equal(show(second.taken), 'redis-1 10.0.0.1:1, redis-3 10.0.0.1:3');
  const third = assignSlots(second.taken, [at(5), at(4), at(3), at(1)], names);
  assert.equal(show(third.taken), 'redis-1 10.0.0.1:1, redis-2 10.0.0.1:5, redis-3 10.0.0.1:3');
  assert.deepEqual(third.left, [at(4)]);
});
