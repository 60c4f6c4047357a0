// Chance as an argument, for jitter and balancing.
// Not for secrets: those come from node:crypto.

/** A number from 0 (inclusive) to 1 (exclusive). */
export type Random = () => number;

export const systemRandom: Random = () => Math.random();

/** A repeatable sequence for tests and simulations (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
