// One authenticated connection to a server: opened, asked again and again, ended politely.
// Not a client library (one question at a time) and without a timeout of its own. Owned by the prober beside it.

import { randomBytes } from 'node:crypto';
import { type Socket } from 'node:net';
import { serialize } from 'pg-protocol';
import { type Address } from '../../../core/address.ts';
import { type TlsConfig } from '../../../config/schema.ts';
import { type Clock } from '../../../core/clock.ts';
import { Framer } from '../../../protocol/framer.ts';
import { decodeServerMessage, type ServerMessage } from '../../../protocol/postgres/frames.ts';
import { failure, type Failure, socketFailure } from '../failures.ts';
import { serverFailure, type Phase } from './failures.ts';
import { Login, type LoginCheck, type LoginStep } from './login.ts';
import { openTransport } from './transport.ts';

/** How long an ended session may take to close; a frozen server never answers. */
const GOODBYE_MAX_MS = 1000;

export interface SessionOptions {
  readonly address: Address;
  readonly check: LoginCheck & { readonly tls: TlsConfig };
  readonly clock: Clock;
  /** Told of each notification, on a session that was made to LISTEN. */
  readonly onNotification?: () => void;
}

export type Row = readonly (string | null)[];

export type Asked =
  /** Of all rows of all statements the first, `null` for none, and how many there were. */
  | { readonly kind: 'rows'; readonly first: Row | null; readonly count: number }
  | { readonly kind: 'failed'; readonly failure: Failure };

type Outcome = { readonly kind: 'ready' } | Asked;

export class Session {
  readonly #clock: Clock;
  readonly #login: Login;
  readonly #onIdleLoss: (detail: string) => void;
  readonly #onNotification: (() => void) | undefined;
  readonly #framer = new Framer(decodeServerMessage);
  #phase: Phase = 'connecting';
  #socket: Socket;
  #settle: ((outcome: Outcome) => void) | null = null;
  readonly #opened: Promise<Outcome>;
  /** What the question under way brought so far. */
  #first: Row | null = null;
  #rows = 0;
  #error: Failure | null = null;
  #rollingBack = false;
  #computing = false;

  /** Starts to connect at once. `onIdleLoss`: the server ended the session while nothing was asked. */
  constructor(options: SessionOptions, onIdleLoss: (detail: string) => void) {
    this.#clock = options.clock;
    this.#onIdleLoss = onIdleLoss;
    this.#onNotification = options.onNotification;
    this.#login = new Login(options.check, randomBytes(18).toString('base64'));
    this.#opened = this.#expect();
    this.#socket = openTransport(options.address, options.check.tls, {
      phase: phase => {
        this.#phase = phase;
      },
      ready: (socket, early) => this.#logIn(socket, early),
      failed: reason => this.#fail(reason),
    });
  }

  get phase(): Phase {
    return this.#phase;
  }

  get version(): string | null {
    return this.#login.version;
  }

  /** Settles when the login is done: `null`, or why it isn't. */
  async opened(): Promise<Failure | null> {
    const outcome = await this.#opened;
    return outcome.kind === 'failed' ? outcome.failure : null;
  }

  /**
   * Only when `phase` is `idle`. After an SQL error the session goes on; after any other failure it has ended. A
   * transaction that the SQL left open is rolled back: the next question would see the past in it.
   */
  async ask(sql: string): Promise<Asked> {
    if (this.#phase !== 'idle')
      return { kind: 'failed', failure: failure('L4LOST', 'the session has ended') };
    this.#phase = 'asking';
    this.#first = null;
    this.#rows = 0;
    this.#error = null;
    this.#rollingBack = false;
    const answer = this.#expect();
    this.#socket.write(serialize.query(sql));
    const outcome = await answer;
    return outcome.kind === 'ready' ? { kind: 'rows', first: null, count: 0 } : outcome;
  }

  /** Ends the session for good; what is under way fails with `reason`. Harmless when it has ended. */
  end(reason: Failure): void {
    if (this.#phase === 'ended') return;
    const loggedIn = this.#phase === 'idle' || this.#phase === 'asking';
    this.#phase = 'ended';
    if (loggedIn) this.#sayGoodbye();
    else this.#socket.destroy();
    this.#finish({ kind: 'failed', failure: reason });
  }

  #expect(): Promise<Outcome> {
    return new Promise(resolve => {
      this.#settle = resolve;
    });
  }

  #finish(outcome: Outcome): void {
    const settle = this.#settle;
    this.#settle = null;
    settle?.(outcome);
  }

  #fail(reason: Failure): void {
    if (this.#phase === 'ended') return;
    const wasIdle = this.#phase === 'idle';
    this.#phase = 'ended';
    this.#socket.destroy();
    this.#finish({ kind: 'failed', failure: reason });
    if (wasIdle) this.#onIdleLoss(reason.detail);
  }

  /** Terminate and then FIN, so that the server logs nothing; what it still sends is read, for a reset would be logged. */
  #sayGoodbye(): void {
    const socket = this.#socket;
    const limit = this.#clock.schedule(GOODBYE_MAX_MS, () => socket.destroy());
    socket.once('close', () => limit.cancel());
    socket.end(serialize.end());
  }

  #logIn(socket: Socket, early: Uint8Array): void {
    this.#socket = socket;
    this.#phase = 'login';
    socket.on('data', chunk => this.#receive(chunk));
    socket.on('error', error => this.#lost(socketFailure(this.#phase, error)));
    socket.on('end', () =>
      this.#lost(failure('L4LOST', `the server closed the connection (${this.#phase})`)),
    );
    socket.on('close', () => this.#lost(failure('L4LOST', `the connection was closed (${this.#phase})`)));
    this.#follow(this.#login.start());
    this.#receive(early);
  }

  /** Words that the server said before it hung up explain more than the hanging up. */
  #lost(reason: Failure): void {
    this.#fail(this.#error === null ? reason : { code: 'L4LOST', detail: this.#error.detail });
  }

  #receive(chunk: Uint8Array): void {
    if (this.#phase === 'ended') return;
    this.#framer.push(chunk);
    for (;;) {
      const decoded = this.#framer.next();
      if (decoded.kind === 'need') return;
      if (decoded.kind === 'bad') return this.#fail(failure('L7RSP', `not PostgreSQL: ${decoded.detail}`));
      this.#handle(decoded.value);
      if (this.phase === 'ended') return;
    }
  }

  #handle(message: ServerMessage): void {
    if (this.#phase === 'login') return this.#handleLogin(message);
    if (message.kind === 'notice' || message.kind === 'parameter') return;
    if (message.kind === 'notification') return this.#onNotification?.();
    if (message.kind === 'error') {
      this.#error = serverFailure(message.error);
      return;
    }
    if (this.#phase !== 'asking' || message.kind === 'auth') {
      return this.#fail(failure('L7RSP', `an unexpected message (${message.kind}) while ${this.#phase}`));
    }
    if (message.kind === 'row') {
      this.#first ??= message.values;
      this.#rows += 1;
    }
    if (message.kind === 'ready') this.#answered(message.inTransaction);
  }

  #answered(inTransaction: boolean): void {
    if (inTransaction) {
      if (this.#rollingBack) return this.#fail(failure('L7RSP', 'a transaction that does not end'));
      this.#rollingBack = true;
      this.#socket.write(serialize.query('rollback'));
      return;
    }
    const error = this.#error;
    this.#error = null;
    this.#phase = 'idle';
    if (error !== null) this.#finish({ kind: 'failed', failure: error });
    else this.#finish({ kind: 'rows', first: this.#first, count: this.#rows });
  }

  #handleLogin(message: ServerMessage): void {
    if (this.#computing && message.kind !== 'error') {
      return this.#fail(failure('L7RSP', `a message (${message.kind}) out of turn during the login`));
    }
    const step = this.#login.step(message);
    if (!(step instanceof Promise)) return this.#follow(step);
    this.#computing = true;
    void step
      .then(
        computed => computed,
        (thrown: unknown): LoginStep => ({ kind: 'failed', failure: socketFailure('login', thrown) }),
      )
      .then(computed => {
        this.#computing = false;
        if (this.#phase === 'login') this.#follow(computed);
      });
  }

  #follow(step: LoginStep): void {
    switch (step.kind) {
      case 'wait':
        return;
      case 'send':
        this.#socket.write(step.bytes);
        return;
      case 'ready':
        this.#phase = 'idle';
        this.#finish({ kind: 'ready' });
        return;
      case 'failed':
        this.#fail(step.failure);
    }
  }
}
