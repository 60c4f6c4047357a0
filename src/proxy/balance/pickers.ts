// The order in which candidate servers are tried: five pure functions from a list to a new list, first choice first.
// Not eligibility (topology/eligibility.ts) and no state: turn, counts, draws and time come in. Called by router.ts.
// Each has a plain form for servers of equal weight, which is the rule and costs nothing extra.

import { type Balance } from '../../config/schema.ts';
import { type ServerView } from '../../topology/model.ts';
import { areEqual, weightNow, type RampClock } from './weights.ts';

export interface PickContext extends RampClock {
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
  roundrobin: inTurn,
  leastconn: (candidates, context) => byLoad(inTurn(candidates, context), context),
  random: betterOfTwo,
  source: bySource,
};

/** 1 / golden ratio: the fractions of its multiples fall evenly between 0 and 1, however many there are. */
const GOLDEN = 0.618033988749895;

/**
 * The turn alone decides, so no state has to be kept, and weights may change at every turn: the golden ratio spreads the
 * turns evenly, and each server owns a stretch as long as its weight. No run of turns is off by more than a few.
 */
function inTurn(candidates: readonly ServerView[], context: PickContext): readonly ServerView[] {
  const { turn } = context;
  if (areEqual(candidates, context)) return rotate(candidates, turn);
  return rotate(candidates, drawn(candidates, context, (turn * GOLDEN) % 1));
}

/** The index of the server on whose stretch `draw` (from 0 to 1) falls. */
function drawn(candidates: readonly ServerView[], ramp: RampClock, draw: number): number {
  let rest = draw * candidates.reduce((sum, server) => sum + weightNow(server, ramp), 0);
  const index = candidates.findIndex(server => (rest -= weightNow(server, ramp)) < 0);
  // Rounding may leave nothing behind the last one.
  return index === -1 ? candidates.length - 1 : index;
}

function rotate<T>(items: readonly T[], turn: number): readonly T[] {
  const start = items.length === 0 ? 0 : turn % items.length;
  return start === 0 ? items : [...items.slice(start), ...items.slice(0, start)];
}

/** Load against weight. Array.prototype.sort is stable, so equally loaded servers keep their turn. */
function byLoad(candidates: readonly ServerView[], context: PickContext): readonly ServerView[] {
  const { load } = context;
  const equal = areEqual(candidates, context);
  const loads = candidates.map(server =>
    equal ? load(server.name) : load(server.name) / weightNow(server, context),
  );
  // Often they are in order already, as when there is little to do.
  if (loads.every((value, index) => value >= (loads[index - 1] ?? 0))) return candidates;
  const weighed = candidates.map((server, index) => ({ server, load: loads[index] ?? 0 }));
  return weighed.sort((a, b) => a.load - b.load).map(({ server }) => server);
}

/** Power of two choices: nearly as even as leastconn, without everybody running to a server that has just joined. */
function betterOfTwo(candidates: readonly ServerView[], context: PickContext): readonly ServerView[] {
  const [first, second] = twoDrawn(candidates, context);
  const pair = candidates.filter((_, index) => index === first || index === second);
  const others = candidates.filter((_, index) => index !== first && index !== second);
  const inDrawnOrder = second < first ? pair.toReversed() : pair;
  return [...byLoad(inDrawnOrder, context), ...rotate(others, first)];
}

/** Never the same server twice, unless there is but one: the second draw is from the others. */
function twoDrawn(
  candidates: readonly ServerView[],
  context: PickContext,
): readonly [first: number, second: number] {
  const { draws } = context;
  const { length } = candidates;
  if (areEqual(candidates, context)) {
    const first = Math.floor(draws[0] * length);
    return [first, (first + 1 + Math.floor(draws[1] * (length - 1))) % length];
  }
  const first = drawn(candidates, context, draws[0]);
  const second = drawn(
    candidates.filter((_, index) => index !== first),
    context,
    draws[1],
  );
  return [first, second < first ? second : second + 1];
}

/**
 * Rendezvous hashing: a client keeps its server while that one is a candidate, and only its own clients move when it goes.
 * With weights the score is -weight / ln(hash): that keeps shares to the weights, and a weight that changes moves no more
 * clients than it must (Schindelhauer and Schomaker, "Weighted distributed hash tables"). Equal weights: the same order.
 */
function bySource(candidates: readonly ServerView[], context: PickContext): readonly ServerView[] {
  const { client } = context;
  const equal = areEqual(candidates, context);
  const scored = candidates.map(server => {
    const value = hash(`${client} ${server.name}`);
    return { server, score: equal ? value : -weightNow(server, context) / Math.log((value + 0.5) / HASHES) };
  });
  return scored.sort((a, b) => b.score - a.score).map(({ server }) => server);
}

const HASHES = 2 ** 32;

/** FNV-1a, 32 bits, with murmur3's finalizer: FNV alone mixes the last characters poorly, and names differ just there. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
