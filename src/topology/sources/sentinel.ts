// What several Sentinels say together: who the primary is, how firmly, which servers there are, and what is odd about it.
// Pure: answers in, an opinion out. Holds no connection (health/probers/sentinel) and elects nobody (elect.ts).
// Called by app/sentinels.ts whenever one of them has said something new, or fallen silent.

import { formatAddress, type Address } from '../../core/address.ts';
import { type MonotonicMs } from '../../core/clock.ts';
import { type SentinelAnswer } from '../../health/result.ts';
import { type Opinion } from '../model.ts';

/** The newest of one Sentinel. */
export interface SentinelWord {
  /** Its own address, for people. */
  readonly sentinel: string;
  /** `null`: silent, or it doesn't watch this service; `detail` says which. */
  readonly answer: SentinelAnswer | null;
  readonly detail: string;
}

export interface Consensus {
  /** `null`: none of them answers, or nothing tells which of them is right. */
  readonly opinion: Opinion | null;
  /** What somebody should look at, in sentences that stay the same while it does. */
  readonly notes: readonly string[];
}

/**
 * The address that most of those that answer name; among as many, the one named by the greater configuration epoch, which
 * only a majority of all Sentinels can have given out (redis.io, "High availability with Redis Sentinel").
 */
export function opinionOf(words: readonly SentinelWord[], at: MonotonicMs): Consensus {
  const notes = words.flatMap(({ sentinel, answer, detail }) =>
    answer === null ? [`Sentinel ${sentinel} has no answer: ${detail}`] : [],
  );
  const answers = words.flatMap(({ answer }) => (answer === null ? [] : [answer]));
  const camps = campsOf(answers);
  const [first, second] = camps;
  if (first === undefined) return { opinion: null, notes };
  if (second !== undefined) {
    const parts = camps.map(({ name, size }) => `${size} name ${name}`);
    notes.push(`the Sentinels disagree: ${parts.join(', ')}`);
    if (first.size === second.size && first.epoch === second.epoch) return { opinion: null, notes };
  }
  const opinion = {
    source: `${first.size} of ${words.length} Sentinels`,
    primary: first.address,
    process: first.size === words.length ? processOf(answers) : null,
    at,
  };
  return { opinion, notes };
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

/** All that any of them lists, the primary of most first. Empty only where none answers. */
export function membersOf(words: readonly SentinelWord[]): readonly Address[] {
  const answers = words.flatMap(({ answer }) => (answer === null ? [] : [answer]));
  const listed = [...campsOf(answers).map(({ address }) => address), ...answers.flatMap(a => a.replicas)];
  return [...new Map(listed.map(address => [formatAddress(address), address])).values()];
}

/** Server names by which learned addresses are known: there are `max` of them, for good. */
export function slotNames(max: number): readonly string[] {
  return Array.from({ length: max }, (_, index) => `redis-${index + 1}`);
}

export interface Slots {
  readonly taken: ReadonlyMap<string, Address>;
  /** For these there was no slot. */
  readonly left: readonly Address[];
}

/** An address keeps its slot while it is listed; the others take the free ones, in order. */
export function assignSlots(
  before: ReadonlyMap<string, Address>,
  listed: readonly Address[],
  names: readonly string[],
): Slots {
  const wanted = new Map(listed.map(address => [formatAddress(address), address]));
  const taken = new Map<string, Address>();
  for (const name of names) {
    const address = before.get(name);
    if (address !== undefined && wanted.delete(formatAddress(address))) taken.set(name, address);
  }
  const newcomers = [...wanted.values()];
  for (const name of names) {
    if (taken.has(name)) continue;
    const address = newcomers.shift();
    if (address !== undefined) taken.set(name, address);
  }
  const inOrder = names.flatMap(name => {
    const address = taken.get(name);
    return address === undefined ? [] : [[name, address] as const];
  });
  return { taken: new Map(inOrder), left: newcomers };
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
