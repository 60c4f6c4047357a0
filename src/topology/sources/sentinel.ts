// What several Sentinels say together: who the primary is, how firmly, which servers there are, and what is odd about it.
// Pure: answers in, an opinion out. Holds no connection (health/probers/sentinel) and elects nobody (elect.ts).
// Called by app/orchestrators.ts whenever one of them has said something new, or fallen silent.

import { formatAddress, type Address } from '../../core/address.ts';
import { type MonotonicMs } from '../../core/clock.ts';
import { type SentinelAnswer } from '../../health/result.ts';
import { type Opinion } from '../model.ts';
import { type Counsel } from './counsel.ts';

/** The newest of one Sentinel. */
export interface SentinelWord {
  /** Its own address, for people. */
  readonly sentinel: string;
  /** `null`: silent, or it doesn't watch this service; `detail` says which. */
  readonly answer: SentinelAnswer | null;
  readonly detail: string;
}

/**
 * Of most of the Sentinels (fewer are no opinion): the address that most of those that answer name; among as many, the one named by the greater configuration epoch, which
 * only a majority of all Sentinels can have given out (redis.io, "High availability with Redis Sentinel").
 */
export function sentinelCounsel(words: readonly SentinelWord[], at: MonotonicMs): Counsel {
  const notes = words.flatMap(({ sentinel, answer, detail }) =>
    answer === null ? [`Sentinel ${sentinel} has no answer: ${detail}`] : [],
  );
  const answers = words.flatMap(({ answer }) => (answer === null ? [] : [answer]));
  const camps = campsOf(answers);
  const members = membersOf(answers, camps);
  const [first, second] = camps;
  // One that is cut off from the others tells what was true once: without most of them there is no failover to hear of.
  if (first === undefined || answers.length * 2 <= words.length) return { opinion: null, notes, members };
  if (second !== undefined) {
    const parts = camps.map(({ name, size }) => `${size} name ${name}`);
    notes.push(`the Sentinels disagree: ${parts.join(', ')}`);
    if (first.size === second.size && first.epoch === second.epoch) return { opinion: null, notes, members };
  }
  const opinion: Opinion = {
    words: `${first.size} of ${words.length} Sentinels name ${first.name}`,
    primary: { address: first.address, name: null },
    against: [],
    process: first.size === words.length ? processOf(answers) : null,
    passive: false,
    at,
  };
  return { opinion, notes, members };
}

/**
 * The process that all have seen. Naming an address alone proves little: a failover that is about to begin is known to one
 * Sentinel first, and a server that has come back meanwhile looks well to all.
 */
function processOf(answers: readonly SentinelAnswer[]): string | null {
  const processes = new Set(answers.map(({ runId, doubts }) => (doubts ? null : runId)));
  const [only] = processes;
  return processes.size === 1 && only !== undefined ? only : null;
}

/** All that any of them lists, the primary of most first; `null` where none answers. */
function membersOf(answers: readonly SentinelAnswer[], camps: readonly Camp[]): Counsel['members'] {
  const listed = [...camps.map(({ address }) => address), ...answers.flatMap(a => a.replicas)];
  if (listed.length === 0) return null;
  const distinct = new Map(listed.map(address => [formatAddress(address), address]));
  return [...distinct.values()].map(address => ({ address, name: null }));
}

interface Camp {
  readonly name: string;
  readonly address: Address;
  readonly size: number;
  /** The greatest in it. */
  readonly epoch: number;
}

/** Those that name the same primary together; the greater camp first, then the one with the newer configuration. */
function campsOf(answers: readonly SentinelAnswer[]): readonly Camp[] {
  const camps = new Map<string, Camp>();
  for (const { primary, configEpoch } of answers) {
    const name = formatAddress(primary);
    const { size = 0, epoch = 0 } = camps.get(name) ?? {};
    camps.set(name, { name, address: primary, size: size + 1, epoch: Math.max(epoch, configEpoch) });
  }
  return [...camps.values()].sort((a, b) => b.size - a.size || b.epoch - a.epoch);
}
