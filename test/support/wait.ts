// Waiting in tests: for a condition, with a generous deadline (more so on a slow machine), never for a fixed time.

import assert from 'node:assert/strict';
import { pace } from './pace.ts';

export const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

type Truthy<T> = Exclude<T, false | null | undefined | 0 | ''>;

/** Polls until `condition` gives something truthy and returns it; fails with `what` after the deadline. */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  { deadlineMs = 60_000, everyMs = 10 }: { deadlineMs?: number; everyMs?: number } = {},
): Promise<Truthy<T>> {
  const patienceMs = Math.round(deadlineMs * pace);
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const value = await condition();
    if (value) return value as Truthy<T>;
    if (performance.now() > deadline) assert.fail(`waited ${patienceMs} ms in vain for: ${what}`);
    await sleep(everyMs);
  }
}

/** The promise's value, or a failure with `what` after the deadline; what it waits for goes on by itself then. */
export async function within<T>(what: string, deadlineMs: number, promise: Promise<T>): Promise<T> {
  const patienceMs = Math.round(deadlineMs * pace);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new assert.AssertionError({ message: `waited ${patienceMs} ms in vain for: ${what}` })),
      patienceMs,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
