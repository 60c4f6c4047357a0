// One monotonic clock for all threads: performance.now() starts at 0 in each, process.hrtime() is the machine's.
// Used by the kernel driver: the main thread's clock is the reference, each worker's follows it.

import { hrtime } from 'node:process';
import { systemClock, type Clock, type MonotonicMs } from './clock.ts';

/** The machine's own clock, CLOCK_MONOTONIC. */
export function machineMs(): number {
  const [seconds, nanoseconds] = hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

/** How far `clock` is ahead of the machine's. */
export function offsetOf(clock: Clock): number {
  return clock.now() - machineMs();
}

/** This thread's clock, showing the time of the thread whose offset is given. */
export function clockAt(offsetMs: number): () => MonotonicMs {
  const correctionMs = offsetMs - offsetOf(systemClock);
  return () => systemClock.now() + correctionMs;
}
