// Time as an argument: every module that waits or measures gets a Clock, so tests and the simulator own time.
// Not a date library; wall time is only for what people read (logs, incidents).

/** Milliseconds on a clock that never steps; only differences mean anything. */
export type MonotonicMs = number;

export interface Timer {
  /** Ends the timer; harmless after it has fired. */
  cancel(): void;
}

export interface Clock {
  now(): MonotonicMs;
  /** Milliseconds since the epoch, for people; never for measuring. */
  wall(): number;
  /** Runs `task` once after `delayMs` (0 or more). */
  schedule(delayMs: number, task: () => void): Timer;
  /** Runs `task` after the input that is already waiting has been handled. */
  afterInput(task: () => void): Timer;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  schedule(delayMs, task) {
    const handle = setTimeout(task, delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
  afterInput(task) {
    const handle = setImmediate(task);
    return { cancel: () => clearImmediate(handle) };
  },
};
