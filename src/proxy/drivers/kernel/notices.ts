// The proxy's notices on their way from a worker to the main thread: gathered, packed as numbers, sent in batches.
// An observer on one side, a player to an observer on the other; neither counts nor logs anything itself.
// Used by worker.ts and pool.ts.

import { type Address } from '../../../core/address.ts';
import { type Clock, type Timer } from '../../../core/clock.ts';
import {
  closeReasons,
  connectErrors,
  rejectReasons,
  type CloseReason,
  type ConnectError,
  type HoldOutcome,
  type ProxyObserver,
  type RejectReason,
} from '../../events.ts';

/** Notices wait for company this long at most: a scrape or a log line is that much late. */
const GATHER_MS = 50;
/** A batch that is this long goes at once. */
const GATHER_MAX_NUMBERS = 16 * 1024;

/** Records of numbers one after the other, each with its kind first; texts are named by their index in `texts`. */
export interface NoticeBatch {
  readonly numbers: Float64Array;
  readonly texts: readonly string[];
}

const kinds = {
  accepted: 0,
  rejected: 1,
  held: 2,
  holdEnded: 3,
  connectFailed: 4,
  connected: 5,
  sessionEnded: 6,
  sessionsClosed: 7,
  acceptError: 8,
} as const;

const rejects = Object.keys(rejectReasons) as RejectReason[];
const closes = Object.keys(closeReasons) as CloseReason[];
const errors = Object.keys(connectErrors) as ConnectError[];
const outcomes: readonly HoldOutcome[] = ['served', 'left', 'expired', 'closed'];

export interface Gatherer {
  readonly observer: ProxyObserver;
  /** Sends what there is now. */
  flush(): void;
}

export function createGatherer(clock: Clock, send: (batch: NoticeBatch) => void): Gatherer {
  let numbers: number[] = [];
  let texts: string[] = [];
  let indexOf = new Map<string, number>();
  let timer: Timer | null = null;

  function flush(): void {
    timer?.cancel();
    timer = null;
    if (numbers.length === 0) return;
    send({ numbers: Float64Array.from(numbers), texts });
    numbers = [];
    texts = [];
    indexOf = new Map();
  }

  /** After each record. */
  function noted(): void {
    if (numbers.length >= GATHER_MAX_NUMBERS) flush();
    else timer ??= clock.schedule(GATHER_MS, flush);
  }

  /** Names come again and again; each is sent once a batch. */
  function text(value: string): number {
    let index = indexOf.get(value);
    if (index === undefined) {
      index = texts.push(value) - 1;
      indexOf.set(value, index);
    }
    return index;
  }

  const observer: ProxyObserver = {
    accepted(frontend, count) {
      numbers.push(kinds.accepted, text(frontend), count);
      noted();
    },
    rejected(frontend, reason, { host, port }) {
      numbers.push(kinds.rejected, text(frontend), rejects.indexOf(reason), text(host), port);
      noted();
    },
    held(frontend) {
      numbers.push(kinds.held, text(frontend));
      noted();
    },
    holdEnded(frontend, backend, waitedMs, outcome) {
      numbers.push(kinds.holdEnded, text(frontend), text(backend), waitedMs, outcomes.indexOf(outcome));
      noted();
    },
    connectFailed(backend, server, error, detail) {
      numbers.push(kinds.connectFailed, text(backend), text(server), errors.indexOf(error), text(detail));
      noted();
    },
    connected(backend, server, connectMs) {
      numbers.push(kinds.connected, text(backend), text(server), connectMs);
      noted();
    },
    sessionEnded(end) {
      const { client } = end;
      numbers.push(kinds.sessionEnded, text(end.frontend), text(end.backend), text(end.server));
      numbers.push(text(client.host), client.port, closes.indexOf(end.reason));
      numbers.push(end.bytesUp, end.bytesDown, end.totalMs, end.heldMs, end.connectMs);
      noted();
    },
    sessionsClosed(backend, server, reason, count) {
      numbers.push(kinds.sessionsClosed, text(backend), text(server), closes.indexOf(reason), count);
      noted();
    },
    acceptError(frontend, code, detail) {
      numbers.push(kinds.acceptError, text(frontend), text(code), text(detail));
      noted();
    },
  };
  return { observer, flush };
}

/** Plays a batch to the observer, in the order of happening. */
export function play({ numbers, texts }: NoticeBatch, observer: ProxyObserver): void {
  let at = 0;
  const number = (): number => numbers[at++] ?? 0;
  const text = (): string => texts[number()] ?? '';
  const of = <T>(values: readonly T[], fallback: T): T => values[number()] ?? fallback;
  const address = (): Address => ({ host: text(), port: number() });
  const reject = (): RejectReason => of(rejects, 'shutdown');
  const close = (): CloseReason => of(closes, 'shutdown');
  while (at < numbers.length) {
    switch (number()) {
      case kinds.accepted:
        observer.accepted(text(), number());
        break;
      case kinds.rejected:
        observer.rejected(text(), reject(), address());
        break;
      case kinds.held:
        observer.held(text());
        break;
      case kinds.holdEnded:
        observer.holdEnded(text(), text(), number(), of(outcomes, 'closed'));
        break;
      case kinds.connectFailed:
        observer.connectFailed(text(), text(), of(errors, 'other'), text());
        break;
      case kinds.connected:
        observer.connected(text(), text(), number());
        break;
      case kinds.sessionEnded:
        observer.sessionEnded({
          frontend: text(),
          backend: text(),
          server: text(),
          client: address(),
          reason: close(),
          bytesUp: number(),
          bytesDown: number(),
          totalMs: number(),
          heldMs: number(),
          connectMs: number(),
        });
        break;
      case kinds.sessionsClosed:
        observer.sessionsClosed(text(), text(), close(), number());
        break;
      case kinds.acceptError:
        observer.acceptError(text(), text(), text());
        break;
    }
  }
}
