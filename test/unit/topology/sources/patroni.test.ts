// Answers as Patroni 3.0.2 gave them through each of these faults on a real cluster, put together to what several say.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PatroniAnswer, type PatroniMember } from '../../../../src/health/result.ts';
import { patroniCounsel, type PatroniWord } from '../../../../src/topology/sources/patroni.ts';

const member = (index: number, given: Partial<PatroniMember> = {}): PatroniMember => ({
  name: `node${index}`,
  address: { host: `10.0.0.${index}`, port: 5432 },
  state: 'running',
  timeline: 3,
  ...given,
});

const says = (
  leader: number | null,
  given: Partial<PatroniAnswer> & { endpoint?: string } = {},
): PatroniWord => {
  const { endpoint = 'a:8008', ...rest } = given;
  const answer: PatroniAnswer = {
    leader: leader === null ? null : `node${leader}`,
    standbyCluster: false,
    paused: false,
    members: [member(1), member(2)],
    ...rest,
  };
  return { endpoint, answer, detail: '' };
};
const silent = (endpoint: string): PatroniWord => ({ endpoint, answer: null, detail: 'refused' });

const node1 = { name: 'node1', address: { host: '10.0.0.1', port: 5432 } };
const node2 = { name: 'node2', address: { host: '10.0.0.2', port: 5432 } };
const names1 = 'Patroni names node1 (10.0.0.1:5432)';
const names2 = 'Patroni names node2 (10.0.0.2:5432)';

interface Scenario {
  readonly what: string;
  readonly words: readonly PatroniWord[];
  /** `null`: no opinion at all. */
  readonly said: string | null;
  readonly primary?: typeof node1 | null;
  readonly passive?: boolean;
  readonly notes?: readonly string[];
}

const scenarios: readonly Scenario[] = [
  { what: 'all is well', words: [says(1), says(1, { endpoint: 'b:8008' })], said: names1, primary: node1 },
  {
    what: 'since 3.1 a replica streams',
    words: [says(1, { members: [member(1), member(2, { state: 'streaming' })] })],
    said: names1,
    primary: node1,
  },
  {
    what: 'the leader was killed, its lock has not run out',
    words: [silent('a:8008'), says(1, { endpoint: 'b:8008' })],
    said: names1,
    primary: node1,
    notes: ['Patroni a:8008 has no answer: refused'],
  },
  {
    what: 'the lock has run out',
    words: [says(null, { members: [member(2)] })],
    said: 'Patroni names nobody',
    primary: null,
  },
  {
    what: 'the other has taken the lock and is not promoted yet',
    words: [says(2, { members: [member(2)] })],
    said: names2,
    primary: node2,
  },
  {
    what: 'a thawed leader, before it is told',
    words: [says(2, { members: [member(1, { timeline: 3 }), member(2, { timeline: 4 })] })],
    said: names2,
    primary: node2,
    notes: ['node1 is on timeline 3, not 4'],
  },
  {
    what: 'a switchover: the leader stops, still with the lock',
    words: [says(2, { members: [member(1), member(2, { state: 'stopping', timeline: null })] })],
    said: names2,
    primary: node2,
    notes: ['for Patroni node2 is stopping'],
  },
  {
    what: 'a switchover: the lock is given back',
    words: [says(null, { members: [member(1), member(2, { state: 'stopping', timeline: null })] })],
    said: 'Patroni names nobody',
    primary: null,
    notes: ['for Patroni node2 is stopping'],
  },
  {
    what: 'etcd is away',
    words: [silent('a:8008'), silent('b:8008')],
    said: null,
    notes: ['Patroni a:8008 has no answer: refused', 'Patroni b:8008 has no answer: refused'],
  },
  {
    what: 'a pause',
    words: [says(1, { paused: true })],
    said: `${names1}, and is paused`,
    primary: node1,
    passive: true,
    notes: ['Patroni is paused: it fails nothing over by itself'],
  },
  {
    what: 'a pause, and the leader is gone',
    words: [says(null, { paused: true, members: [member(1, { state: 'absent' }), member(2)] })],
    said: 'Patroni names nobody, and is paused',
    primary: null,
    passive: true,
    notes: ['Patroni is paused: it fails nothing over by itself', 'for Patroni node1 is absent'],
  },
  {
    what: 'a pause that one of them has not heard of yet: the stricter word holds',
    words: [says(1, { paused: true }), says(1, { endpoint: 'b:8008' })],
    said: names1,
    primary: node1,
  },
  {
    what: 'a standby cluster',
    words: [says(1, { standbyCluster: true })],
    said: 'Patroni follows a cluster elsewhere, and has no primary',
    primary: null,
  },
  {
    what: 'a leader without an address is nobody to go to',
    words: [says(1, { members: [member(1, { address: null }), member(2)] })],
    said: 'Patroni names nobody',
    primary: null,
  },
  {
    what: 'most of them decide',
    words: [says(2), says(1, { endpoint: 'b:8008' }), says(2, { endpoint: 'c:8008' })],
    said: names2,
    primary: node2,
    notes: ['the Patronis disagree: 2 name node2 (10.0.0.2:5432), 1 names node1 (10.0.0.1:5432)'],
  },
  {
    what: 'among as many the newer timeline decides',
    words: [says(1), says(2, { endpoint: 'b:8008', members: [member(1), member(2, { timeline: 4 })] })],
    said: names2,
    primary: node2,
    notes: [
      'the Patronis disagree: 1 names node2 (10.0.0.2:5432), 1 names node1 (10.0.0.1:5432)',
      'node1 is on timeline 3, not 4',
    ],
  },
  {
    what: 'among as many on the same timeline nobody is believed',
    words: [says(1), says(2, { endpoint: 'b:8008' })],
    said: null,
    notes: ['the Patronis disagree: 1 names node1 (10.0.0.1:5432), 1 names node2 (10.0.0.2:5432)'],
  },
];

for (const { what, words, said, primary, passive = false, notes = [] } of scenarios) {
  test(`patroni counsel: ${what}`, () => {
    const counsel = patroniCounsel(words, 7);
    assert.deepEqual(
      counsel.opinion,
      said === null ? null : { words: said, primary, against: [], process: null, passive, at: 7 },
    );
    assert.deepEqual(counsel.notes, notes);
  });
}

test('patroni members: all that any lists, by name and address, each address once', () => {
  const words = [
    says(1),
    says(1, { endpoint: 'b:8008', members: [member(2), member(3), member(4, { address: null })] }),
    silent('c:8008'),
  ];
  assert.deepEqual(
    patroniCounsel(words, 7).members?.map(({ name }) => name),
    ['node1', 'node2', 'node3'],
  );
});

test('patroni members: where nobody answers they stay as they are', () => {
  assert.equal(patroniCounsel([silent('a:8008')], 7).members, null);
});
