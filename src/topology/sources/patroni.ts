// What the Patronis of a cluster say together: who leads, which members there are, and what is odd about it.
// Pure: answers in, a counsel out. Holds no connection (health/probers/patroni) and elects nobody (elect.ts).
// Called by app/orchestrators.ts whenever one of them has said something new, or fallen silent.

import { type MonotonicMs } from '../../core/clock.ts';
import { formatAddress } from '../../core/address.ts';
import { type PatroniAnswer, type PatroniMember } from '../../health/result.ts';
import { type Nominee, type Opinion } from '../model.ts';
import { type Counsel, type Member } from './counsel.ts';

/** The newest of one Patroni. */
export interface PatroniWord {
  /** Address of its REST API, for people. */
  readonly endpoint: string;
  /** `null`: silent, or it can't reach its store; `detail` says which. */
  readonly answer: PatroniAnswer | null;
  readonly detail: string;
}

/** How a member is when all is well: `streaming` since 3.1. */
const well: ReadonlySet<string> = new Set(['running', 'streaming', 'in archive recovery']);

/**
 * The leader that most of those that answer name; among as many, the one on the newer timeline, else none of them is
 * believed. All read the same store, so they differ for the time between two questions, unless one is of another cluster.
 */
export function patroniCounsel(words: readonly PatroniWord[], at: MonotonicMs): Counsel {
  const silent = words.flatMap(({ endpoint, answer, detail }) =>
    answer === null ? [`Patroni ${endpoint} has no answer: ${detail}`] : [],
  );
  const answers = words.flatMap(({ answer }) => (answer === null ? [] : [answer]));
  const camps = campsOf(answers);
  const [first, second] = camps;
  if (first === undefined) return { opinion: null, notes: silent, members: null };
  const members = membersIn(answers);
  if (second === undefined) {
    return { opinion: opinionOf(first, at), notes: [...silent, ...notesOn(first.answer)], members };
  }
  const parts = camps.map(({ name, size }) => `${size} ${size === 1 ? 'names' : 'name'} ${name}`);
  const notes = [...silent, `the Patronis disagree: ${parts.join(', ')}`, ...notesOn(first.answer)];
  const undecided = first.size === second.size && first.timeline === second.timeline;
  return { opinion: undecided ? null : opinionOf(first, at), notes, members };
}

function opinionOf({ answer, leader }: Camp, at: MonotonicMs): Opinion {
  const pause = answer.paused ? ', and is paused' : '';
  const said = { against: [], process: null, passive: answer.paused, at };
  if (answer.standbyCluster) {
    return {
      words: `Patroni follows a cluster elsewhere, and has no primary${pause}`,
      primary: null,
      ...said,
    };
  }
  if (leader === null) return { words: `Patroni names nobody${pause}`, primary: null, ...said };
  const { name, address } = leader;
  return {
    words: `Patroni names ${name} (${formatAddress(address)})${pause}`,
    primary: { name, address },
    ...said,
  };
}

/** Sentences without figures that move while the state doesn't. */
function notesOn({ leader, paused, members }: PatroniAnswer): readonly string[] {
  const leading = members.find(({ name }) => name === leader);
  const unwell = members.filter(({ state }) => !well.has(state));
  const behind = members.filter(
    ({ name, timeline }) => name !== leader && differs(timeline, leading?.timeline ?? null),
  );
  return [
    ...(paused ? ['Patroni is paused: it fails nothing over by itself'] : []),
    ...unwell.map(
      ({ name, state }) => `for Patroni ${name} is ${state === '' ? 'in no known state' : state}`,
    ),
    ...behind.map(({ name, timeline }) => `${name} is on timeline ${timeline}, not ${leading?.timeline}`),
  ];
}

const differs = (a: number | null, b: number | null): boolean => a !== null && b !== null && a !== b;

/** All that any of them lists, each address once. */
function membersIn(answers: readonly PatroniAnswer[]): readonly Member[] {
  const listed = answers.flatMap(({ members }) => members.flatMap(nomineeOf));
  return [...new Map(listed.map(member => [formatAddress(member.address), member])).values()];
}

function nomineeOf({ name, address }: PatroniMember): Nominee[] {
  return address === null ? [] : [{ name, address }];
}

interface Camp {
  /** For people. */
  readonly name: string;
  readonly leader: Nominee | null;
  readonly timeline: number;
  readonly size: number;
  /** Of one of them; one that isn't paused if there is one, for its word forbids what the other's doesn't. */
  readonly answer: PatroniAnswer;
}

/** Those that name the same leader together; the greater camp first, then the one on the newer timeline. */
function campsOf(answers: readonly PatroniAnswer[]): readonly Camp[] {
  const camps = new Map<string, Camp>();
  for (const answer of answers) {
    const member = answer.members.find(({ name }) => name === answer.leader);
    const [leader = null] = member === undefined ? [] : nomineeOf(member);
    const name = leader === null ? 'nobody' : `${leader.name} (${formatAddress(leader.address)})`;
    const before = camps.get(name);
    camps.set(name, {
      name,
      leader,
      timeline: Math.max(before?.timeline ?? 0, member?.timeline ?? 0),
      size: (before?.size ?? 0) + 1,
      answer: before?.answer.paused === false ? before.answer : answer,
    });
  }
  return [...camps.values()].sort((a, b) => b.size - a.size || b.timeline - a.timeline);
}
