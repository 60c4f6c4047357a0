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
/** One that somebody acts on doesn't wait, but such notices come no closer together than this: a crowd may fail at once. */
const URGENT_MS = 5;
/** A batch that is this long goes at once. */
const GATHER_MAX_NUMBERS = 16 * 1024;
/** The longest record: there is always room for one more. */
const RECORD_MAX_NUMBERS = 12;

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
  circuit: 9,
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
  const numbers = new Float64Array(GATHER_MAX_NUMBERS + RECORD_MAX_NUMBERS);
  let length = 0;
  let texts: string[] = [];
  let indexOf = new Map<string, number>();
  let timer: Timer | null = null;
  let urgentAt = -Infinity;

  function flush(): void {
    timer?.cancel();
    timer = null;
    if (length === 0) return;
    send({ numbers: numbers.slice(0, length), texts });
    length = 0;
    texts = [];
    indexOf = new Map();
  }

  /** After each record. */
  function noted(): void {
    if (length >= GATHER_MAX_NUMBERS) flush();
    else timer ??= clock.schedule(GATHER_MS, flush);
  }

  /** After a record that a probe is to follow. */
  function urgent(): void {
    const now = clock.now();
    const dueAt = Math.max(now, urgentAt + URGENT_MS);
    if (dueAt === now) {
      urgentAt = now;
      flush();
      return;
    }
    timer?.cancel();
    timer = clock.schedule(dueAt - now, () => {
      urgentAt = clock.now();
      flush();
    });
  }

  function put(value: number): void {
    numbers[length] = value;
    length += 1;
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
      put(kinds.accepted);
      put(text(frontend));
      put(count);
      noted();
    },
    rejected(frontend, reason, { host, port }, count = 1) {
      put(kinds.rejected);
      put(text(frontend));
      put(rejects.indexOf(reason));
      put(text(host));
      put(port);
      put(count);
      noted();
    },
    held(frontend) {
      put(kinds.held);
      put(text(frontend));
      noted();
    },
    holdEnded(frontend, backend, waitedMs, outcome) {
      put(kinds.holdEnded);
      put(text(frontend));
      put(text(backend));
      put(waitedMs);
      put(outcomes.indexOf(outcome));
      noted();
    },
    connectFailed(backend, server, error, detail) {
      put(kinds.connectFailed);
      put(text(backend));
      put(text(server));
      put(errors.indexOf(error));
      put(text(detail));
      urgent();
    },
    connected(backend, server, connectMs) {
      put(kinds.connected);
      put(text(backend));
      put(text(server));
      put(connectMs);
      noted();
    },
    sessionEnded(end) {
      const { client } = end;
      put(kinds.sessionEnded);
      put(text(end.frontend));
      put(text(end.backend));
      put(text(end.server));
      put(text(client.host));
      put(client.port);
      put(closes.indexOf(end.reason));
      put(end.bytesUp);
      put(end.bytesDown);
      put(end.totalMs);
      put(end.heldMs);
      put(end.connectMs);
      noted();
    },
    sessionsClosed(backend, server, reason, count) {
      put(kinds.sessionsClosed);
      put(text(backend));
      put(text(server));
      put(closes.indexOf(reason));
      put(count);
      noted();
    },
    circuit(backend, server, isOpen) {
      put(kinds.circuit);
      put(text(backend));
      put(text(server));
      put(isOpen ? 1 : 0);
      noted();
    },
    acceptError(frontend, code, detail) {
      put(kinds.acceptError);
      put(text(frontend));
      put(text(code));
      put(text(detail));
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
        observer.rejected(text(), reject(), address(), number());
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
      case kinds.circuit:
        observer.circuit(text(), text(), number() === 1);
        break;
      case kinds.acceptError:
        observer.acceptError(text(), text(), text());
        break;
    }
  }
}
