// The order in which candidate servers are tried: five pure functions from a list to a new list, first choice first.
// Not eligibility (topology/eligibility.ts) and no state: turn, counts and draws come in. Called by router.ts.

import { type Balance } from '../../config/schema.ts';
import { type ServerView } from '../../topology/model.ts';

export interface PickContext {
  /** Grows by one with each choice of this frontend; equal servers take turns by it. */
  readonly turn: number;
  /** Sessions and connection attempts a server has now, of every frontend. */
  readonly load: (server: string) => number;
  /** Two numbers from 0 (inclusive) to 1 (exclusive). */
  readonly draws: readonly [number, number];
  /** The client's address without its port. */
  readonly client: string;
}

/** Returns each candidate exactly once and leaves its input alone; it may be the input that it returns. */
export type Picker = (candidates: readonly ServerView[], context: PickContext) => readonly ServerView[];

export const pickers: Readonly<Record<Balance, Picker>> = {
  first: candidates => candidates,
  roundrobin: (candidates, { turn }) => rotate(candidates, turn),
  leastconn: (candidates, { turn, load }) => byLoad(rotate(candidates, turn), load),
  random: betterOfTwo,
  source: bySource,
};

function rotate<T>(items: readonly T[], turn: number): readonly T[] {
  const start = items.length === 0 ? 0 : turn % items.length;
  return start === 0 ? items : [...items.slice(start), ...items.slice(0, start)];
}

/** Array.prototype.sort is stable, so equally loaded servers keep their turn. */
function byLoad(candidates: readonly ServerView[], load: PickContext['load']): readonly ServerView[] {
  const loads = candidates.map(({ name }) => load(name));
  // Often they are in order already, as when there is little to do.
  if (loads.every((value, index) => value >= (loads[index - 1] ?? 0))) return candidates;
  const weighed = candidates.map((server, index) => ({ server, load: loads[index] ?? 0 }));
  return weighed.sort((a, b) => a.load - b.load).map(({ server }) => server);
}

/** Power of two choices: nearly as even as leastconn, without everybody running to a server that has just joined. */
function betterOfTwo(candidates: readonly ServerView[], { draws, load }: PickContext): readonly ServerView[] {
  const one = Math.floor(draws[0] * candidates.length);
  // The second draw is from the others, so the two are never the same server.
  const two = (one + 1 + Math.floor(draws[1] * (candidates.length - 1))) % candidates.length;
  const drawn = candidates.filter((_, index) => index === one || index === two);
  const others = candidates.filter((_, index) => index !== one && index !== two);
  const inDrawnOrder = two < one ? drawn.toReversed() : drawn;
  return [...byLoad(inDrawnOrder, load), ...rotate(others, one)];
}

/** Rendezvous hashing: a client keeps its server while that one is a candidate, and only its own clients move when it goes. */
function bySource(candidates: readonly ServerView[], { client }: PickContext): readonly ServerView[] {
  const scored = candidates.map(server => ({ server, score: hash(`${client} ${server.name}`) }));
  return scored.sort((a, b) => b.score - a.score).map(({ server }) => server);
}

/** FNV-1a, 32 bits, with murmur3's finalizer: FNV alone mixes the last characters poorly, and names differ just there. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
