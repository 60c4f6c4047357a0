// Keeps a connection to an HTTP server between questions, renews it now and then, and knows what its loss means: servers
// close idle connections as they like, and the kernel closes a killed server's in the same way. So another one is tried at
// once. If it is made, nothing is reported; if it is refused, or closed as soon as it is made (a port forwarder before a
// dead server), that is the crash signal: an idle timeout costs one connection, a crash is known a round trip later.
// Not a judge of answers. Owned by the HTTP prober, and by what asks a REST API beside a server.

import { type Timer } from '../../../core/clock.ts';
import { failure, type Failure } from '../failures.ts';
import { HttpConnection, timeoutFailure, type Asked, type ConnectionOptions } from './connection.ts';

/** So often a fresh connection takes the place of the open one: that alone would not show a server that accepts no others. */
const RENEW_AFTER_MS = 10_000;
/** A new connection that is closed sooner was not meant to be served. */
const CLOSED_AT_ONCE_MS = 1000;
/** A server says so of a connection that was idle for too long; the question is as good as not asked (RFC 9110, 15.5.9). */
const REQUEST_TIMEOUT = 408;

export interface LinkOptions extends ConnectionOptions {
  readonly timeoutMs: number;
}

/** One question under way. */
interface Run {
  readonly resolve: (asked: Asked) => void;
  timer: Timer;
}

const closing = failure('L4LOST', 'the probe was ended');
const renewing = failure('L4LOST', 'the connection is renewed');

export class HttpLink {
  readonly #options: LinkOptions;
  readonly #onLost: ((detail: string) => void) | null;
  #connection: HttpConnection | null = null;
  #run: Run | null = null;
  /** Why the open connection was opened without a question, and how long that may take. */
  #trial: { readonly loss: string; timer: Timer } | null = null;
  #closed = false;

  /** `onLost`: the server is gone, as seen while nothing was asked; `null`: nobody wants to know before asking. */
  constructor(options: LinkOptions, onLost: ((detail: string) => void) | null) {
    this.#options = options;
    this.#onLost = onLost;
  }

  /** One at a time. Settles within `timeoutMs`, by default that of the options; never rejects. */
  ask(question: Uint8Array, timeoutMs: number = this.#options.timeoutMs): Promise<Asked> {
    const { clock } = this.#options;
    return new Promise(resolve => {
      if (this.#closed) return resolve({ kind: 'failed', failure: closing, silent: true });
      this.#endTrial();
      const run: Run = {
        resolve,
        timer: clock.schedule(timeoutMs, () => {
          // What came while the event loop stood still is read first: our own delay isn't the server's silence.
          run.timer = clock.afterInput(() => this.#expire(run, timeoutMs));
        }),
      };
      this.#run = run;
      void this.#follow(run, question);
    });
  }

  close(): void {
    this.#closed = true;
    this.#endTrial();
    const run = this.#run;
    this.#drop(closing);
    if (run !== null) this.#settle(run, { kind: 'failed', failure: closing, silent: true });
  }

  async #follow(run: Run, question: Uint8Array): Promise<void> {
    const open = this.#connection;
    if (open !== null && (open.openForMs ?? 0) >= RENEW_AFTER_MS) this.#drop(renewing);
    const first = this.#connection ?? this.#open();
    const mayBeStale = first.answers > 0;
    let asked = await first.ask(question);
    if (this.#run === run && mayBeStale && isStale(asked)) {
      // It was closed while the question was on its way; a GET may be asked again (RFC 9112, 9.3.1).
      this.#drop(renewing);
      asked = await this.#open().ask(question);
    }
    if (this.#run === run) this.#settle(run, asked);
  }

  #open(): HttpConnection {
    const connection: HttpConnection = new HttpConnection(this.#options, reason =>
      this.#lost(connection, reason),
    );
    this.#connection = connection;
    return connection;
  }

  /** Ends the connection, if there is one. */
  #drop(reason: Failure): void {
    const connection = this.#connection;
    this.#connection = null;
    connection?.end(reason);
  }

  #expire(run: Run, timeoutMs: number): void {
    if (this.#run !== run) return;
    const phase = this.#connection?.phase ?? 'connecting';
    const reason = timeoutFailure(phase, timeoutMs);
    this.#settle(run, { kind: 'failed', failure: reason, silent: phase !== 'answering' });
    this.#drop(reason);
  }

  #settle(run: Run, asked: Asked): void {
    run.timer.cancel();
    this.#run = null;
    if (this.#connection?.phase === 'ended') this.#connection = null;
    run.resolve(asked);
  }

  #lost(connection: HttpConnection, reason: Failure): void {
    if (this.#connection !== connection) return;
    this.#connection = null;
    const trial = this.#trial;
    this.#endTrial();
    if (this.#onLost === null || this.#closed) return;
    if (trial === null) this.#tryAnother(reason.detail);
    else this.#tried(trial.loss, connection, reason);
  }

  #tryAnother(loss: string): void {
    const { clock, timeoutMs } = this.#options;
    const connection = this.#open();
    const trial = {
      loss,
      timer: clock.schedule(timeoutMs, () => {
        trial.timer = clock.afterInput(() => {
          if (this.#trial !== trial || connection.openForMs !== null) return;
          const reason = timeoutFailure(connection.phase, timeoutMs);
          this.#trial = null;
          this.#drop(reason);
          this.#tried(loss, connection, reason);
        });
      }),
    };
    this.#trial = trial;
  }

  #tried(loss: string, { openForMs }: HttpConnection, reason: Failure): void {
    // A machine of ours that can open no socket says nothing of the server; the next probe says that.
    if (reason.code === 'L4SYS') return;
    // One that was open for a while has merely been closed for being idle.
    if (openForMs !== null && openForMs >= CLOSED_AT_ONCE_MS) return;
    this.#onLost?.(`${loss}; and of a new one: ${reason.detail}`);
  }

  #endTrial(): void {
    this.#trial?.timer.cancel();
    this.#trial = null;
  }
}

/** Whether an answer over a connection that had answered before tells of the connection only. */
function isStale(asked: Asked): boolean {
  return asked.kind === 'failed'
    ? asked.silent && asked.failure.code === 'L4LOST'
    : asked.response.status === REQUEST_TIMEOUT;
}
