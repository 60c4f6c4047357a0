import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Address } from '../../../../src/core/address.ts';
import { type SentinelAnswer } from '../../../../src/health/result.ts';
import { sentinelCounsel, type SentinelWord } from '../../../../src/topology/sources/sentinel.ts';

const at = (port: number): Address => ({ host: '10.0.0.1', port });
const says = (sentinel: string, port: number, given: Partial<SentinelAnswer> = {}): SentinelWord => ({
  sentinel,
  detail: '',
  answer: { primary: at(port), configEpoch: 1, runId: 'run', doubts: false, replicas: [], ...given },
});
const silent = (sentinel: string): SentinelWord => ({ sentinel, answer: null, detail: 'refused' });
const portIn = (words: readonly SentinelWord[]): number | undefined =>
  sentinelCounsel(words, 7).opinion?.primary?.address.port;

test('sentinel opinion: all agree, and have seen the same process', () => {
  const { opinion, notes } = sentinelCounsel([says('s1', 1), says('s2', 1), says('s3', 1)], 7);
  assert.deepEqual(opinion, {
    words: '3 of 3 Sentinels name 10.0.0.1:1',
    primary: { address: at(1), name: null },
    against: [],
    process: 'run',
    passive: false,
    at: 7,
  });
  assert.deepEqual(notes, []);
});

test('sentinel opinion: the greater number decides, and the disagreement is told', () => {
  const { opinion, notes } = sentinelCounsel([says('s1', 1), says('s2', 2), says('s3', 2)], 7);
  assert.equal(opinion?.primary?.address.port, 2);
  assert.equal(opinion?.process, null);
  assert.deepEqual(notes, ['the Sentinels disagree: 2 name 10.0.0.1:2, 1 name 10.0.0.1:1']);
});

test('sentinel opinion: among as many the newer configuration decides, else nobody', () => {
  assert.equal(portIn([says('s1', 1), says('s2', 2, { configEpoch: 2 }), silent('s3')]), 2);
  assert.equal(portIn([says('s1', 1), says('s2', 2)]), undefined);
});

test('sentinel opinion: the silent are named, and without an answer there is no opinion', () => {
  const { opinion, notes } = sentinelCounsel([says('s1', 1), says('s2', 1), silent('s3')], 7);
  assert.match(opinion?.words ?? '', /^2 of 3 Sentinels name/);
  assert.equal(opinion?.process, null, 'the silent one may be replacing the primary');
  assert.deepEqual(notes, ['Sentinel s3 has no answer: refused']);
  assert.equal(portIn([silent('s1'), silent('s2')]), undefined);
});

test('sentinel opinion: one that most others do not confirm may be cut off with an old view: that is no opinion', () => {
  assert.equal(portIn([says('s1', 1), silent('s2'), silent('s3')]), undefined);
  assert.equal(portIn([says('s1', 1), silent('s2')]), undefined);
  assert.equal(portIn([says('s1', 1)]), 1, 'a lone Sentinel is all of them');
});

test('sentinel opinion: one that doubts, or has seen another process, takes the firmness from it', () => {
  for (const other of [
    says('s2', 1, { doubts: true }),
    says('s2', 1, { runId: 'old' }),
    says('s2', 1, { runId: null }),
  ]) {
    const { opinion } = sentinelCounsel([says('s1', 1), other], 7);
    assert.equal(opinion?.primary?.address.port, 1);
    assert.equal(opinion?.process, null);
  }
});

test('sentinel members: the primary of most first, then the others, each once', () => {
  const words = [
    says('s1', 1, { replicas: [at(2), at(3)] }),
    says('s2', 2, { replicas: [at(1), at(4)] }),
    says('s3', 2, { replicas: [at(1)] }),
  ];
  assert.deepEqual(
    sentinelCounsel(words, 7).members?.map(({ address }) => address.port),
    [2, 1, 3, 4],
  );
  assert.equal(sentinelCounsel([silent('s1')], 7).members, null);
});
