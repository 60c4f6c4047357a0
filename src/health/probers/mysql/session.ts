// One authenticated connection to a server: opened, asked again and again, ended politely.
// It stands between the socket and mysql2 and lets through only packets that are in their place and in their form.
// One question at a time, and no timeout of its own. Owned by the prober beside it.

import { type ConnectionOptions } from 'node:tls';
import { type Address } from '../../../core/address.ts';
import { type CheckConfig } from '../../../config/schema.ts';
import { type Clock, type Timer } from '../../../core/clock.ts';
import { describeError } from '../../../core/errors.ts';
import { AnswerCheck } from '../../../protocol/mysql/answer.ts';
import {
  capabilities,
  decodeError,
  decodeGreeting,
  encodeGreeting,
  encodePacket,
  loginOfNobody,
  markers,
  PLAIN_OK,
  QUIT,
  refusableAnswer,
  requestedPlugin,
  sslRequestOf,
  type Packet,
  type ServerError,
} from '../../../protocol/mysql/packets.ts';
import { failure, type Failure } from '../failures.ts';
import { tlsOptions } from '../tls.ts';
import { answerablePlugins, Driver, type Rows } from './driver.ts';
import { serverFailure, type Phase } from './failures.ts';
import { Wire } from './wire.ts';

/** How long an ended session may take to finish its login and close; a frozen server never does. */
const GOODBYE_MAX_MS = 1000;
/** Two plugins, each with its switch, data and key, are eight. */
const LOGIN_PACKETS_MAX = 16;

type SessionCheck = Pick<CheckConfig<'mysql'>, 'user' | 'password' | 'database' | 'tls'>;

export interface SessionOptions {
  readonly address: Address;
  /** A PROXY header, sent before all else; `null` or left out: none. */
  readonly header?: Uint8Array | null;
  readonly check: SessionCheck;
  readonly clock: Clock;
}

export type Asked =
  | { readonly kind: 'rows'; readonly answer: Rows | null }
  | { readonly kind: 'failed'; readonly failure: Failure; readonly errno: number | null };

export class Session {
  readonly #options: SessionOptions;
  readonly #onIdleLoss: (detail: string) => void;
  readonly #wire: Wire;
  #driver: Driver | null = null;
  #phase: Phase;
  #version = '';
  #serverFlags = 0;
  /** Number of the last packet either way; the login is numbered through, each query begins anew. */
  #sequence = -1;
  /** What mysql2 takes for that number: TLS takes a packet that it doesn't know of. */
  #driverSequence = 0;
  #loginPackets = 0;
  /** Why the login can't be finished as it should be; the server is to end it. */
  #givenUp: Failure | null = null;
  #answer = new AnswerCheck();
  #error: ServerError | null = null;
  #ended: Failure | null = null;
  #goodbye: Timer | null = null;
  #settle: ((outcome: Asked) => void) | null = null;
  readonly #opened: Promise<Asked>;

  /** Starts to connect at once. `onIdleLoss`: the server ended the session while nothing was asked. */
  constructor(options: SessionOptions, onIdleLoss: (detail: string) => void) {
    this.#options = options;
    this.#onIdleLoss = onIdleLoss;
    this.#opened = this.#expect();
    this.#phase = Wire.firstPhase(options.address);
    this.#wire = new Wire(options.address, options.header ?? null, {
      phase: () => this.#phase,
      reached: phase => {
        this.#phase = phase;
      },
      packet: packet => this.#receive(packet),
      lost: reason => this.#lost(reason),
    });
  }

  get phase(): Phase {
    return this.#ended === null ? this.#phase : 'ended';
  }

  /** Of the server, as its greeting says; empty before that. */
  get version(): string {
    return this.#version;
  }

  /** The server has taken the connection and owes us its part of the handshake: hanging up now counts as our error there. */
  get amidHandshake(): boolean {
    return this.phase === 'greeting' || this.phase === 'handshaking' || this.phase === 'login';
  }

  /** Settles when the login is done: `null`, or why it isn't. */
  async opened(): Promise<Failure | null> {
    const outcome = await this.#opened;
    return outcome.kind === 'failed' ? outcome.failure : null;
  }

  /** Only when `phase` is `idle`. After an SQL error the session goes on; after any other failure it has ended. */
  async ask(sql: string): Promise<Asked> {
    if (this.phase !== 'idle') return failed(failure('L4LOST', 'the session has ended'));
    this.#phase = 'asking';
    this.#answer = new AnswerCheck();
    this.#error = null;
    const outcome = this.#expect();
    this.#driver?.query(sql, (error, answer) => this.#answered(error, answer));
    return outcome;
  }

  /** Ends the session for good; what is under way fails with `reason`. Harmless when it has ended. */
  end(reason: Failure): void {
    if (this.#ended !== null) return;
    // A connection on its way may be in the server's queue already.
    const handshake = this.amidHandshake || this.#phase === 'connecting';
    const loggedIn = this.#phase === 'idle' || this.#phase === 'asking';
    this.#ended = reason;
    if (handshake || loggedIn) {
      this.#goodbye = this.#options.clock.schedule(GOODBYE_MAX_MS, () => this.#wire.destroy());
    }
    if (loggedIn) this.#sayGoodbye();
    else if (!handshake) this.#wire.destroy();
    this.#finish(failed(reason));
  }

  #expect(): Promise<Asked> {
    return new Promise(resolve => {
      this.#settle = resolve;
    });
  }

  #finish(outcome: Asked): void {
    const settle = this.#settle;
    this.#settle = null;
    settle?.(outcome);
  }

  #fail(reason: Failure): void {
    this.#wire.destroy();
    this.#lost(reason);
  }

  /** The connection is gone. Words that the server said before it hung up explain more than the hanging up. */
  #lost(reason: Failure): void {
    this.#goodbye?.cancel();
    this.#driver?.end();
    if (this.#ended !== null) return;
    const wasIdle = this.#phase === 'idle';
    this.#ended = this.#givenUp ?? reason;
    this.#finish(failed(this.#ended));
    if (wasIdle) this.#onIdleLoss(this.#ended.detail);
  }

  /** COM_QUIT and then FIN, so that the server logs nothing. */
  #sayGoodbye(): void {
    this.#driver?.end();
    this.#wire.finish(QUIT, () => this.#goodbye?.cancel());
  }

  #receive(packet: Packet): void {
    const { payload, sequence } = packet;
    if (this.#phase === 'idle') return this.#idleWords(payload);
    // Number 0 out of turn: MySQL 8 says why it ends a session whatever is under way.
    const error = decodeError(payload);
    if (error !== null && this.#phase !== 'asking') return this.#fail(serverFailure(error));
    this.#sequence = (this.#sequence + 1) & 0xff;
    if (sequence !== this.#sequence && error === null) {
      return this.#fail(failure('L7RSP', `not MySQL: packet ${sequence} instead of ${this.#sequence}`));
    }
    if (this.#phase === 'greeting') this.#greeted(payload);
    else if (this.#phase === 'login') this.#login(payload);
    else if (this.#phase === 'asking') this.#check(payload, error);
    else this.#fail(failure('L7RSP', `a packet out of turn (${this.#phase})`));
  }

  /** Nothing is asked, so it can only be the reason of an end. */
  #idleWords(payload: Uint8Array): void {
    const error = decodeError(payload);
    this.#fail(error === null ? failure('L7RSP', 'a packet that nothing asked for') : serverFailure(error));
  }

  #greeted(payload: Uint8Array): void {
    const greeting = decodeGreeting(payload);
    if (typeof greeting === 'string') return this.#fail(failure('L7RSP', `not MySQL: ${greeting}`));
    this.#version = greeting.version;
    this.#serverFlags = greeting.capabilities;
    this.#phase = 'login';
    const { tls, user, password, database } = this.#options.check;
    const offered = (this.#serverFlags & capabilities.SSL) !== 0;
    if (!offered && tls.mode !== 'disable' && tls.mode !== 'prefer') {
      return this.#giveUp(failure('L6RSP', `the server offers no TLS, and tls.mode is ${tls.mode}`));
    }
    this.#driver = new Driver(
      { user, password, database, secure: offered && tls.mode !== 'disable' },
      {
        send: bytes => this.#fromDriver(bytes),
        failed: words => this.#fail(this.#driverFailure(words)),
      },
    );
    this.#driver.deliver(encodePacket(0, encodeGreeting(greeting)));
  }

  #driverFailure(words: string): Failure {
    if (this.#phase === 'login') return failure('L7AUTH', `the login was given up: ${words}`);
    return failure('L7RSP', `an answer that could not be read: ${words}`);
  }

  /** mysql2 writes whole packets, each in one piece. */
  #fromDriver(bytes: Uint8Array): void {
    const payload = bytes.subarray(4);
    if (this.#phase === 'asking') {
      this.#sequence = bytes[3] ?? 0;
      this.#wire.write(bytes);
      return;
    }
    if (this.#phase !== 'login') return; // a plugin that answers after the end
    this.#driverSequence = bytes[3] ?? 0;
    const { tls } = this.#options.check;
    const first = this.#loginPackets === 0 && this.#sequence === 0;
    if (!first || tls.mode === 'disable' || (this.#serverFlags & capabilities.SSL) === 0) {
      return this.#write(payload);
    }
    let options: ConnectionOptions;
    try {
      options = tlsOptions(this.#options.address, tls);
    } catch (thrown) {
      return this.#giveUp(failure('L6RSP', `tls.ca_file: ${describeError(thrown).message}`));
    }
    this.#phase = 'handshaking';
    this.#sequence += 1;
    const request = sslRequestOf(payload);
    this.#wire.secure(encodePacket(this.#sequence, request), options, problem => {
      this.#phase = 'login';
      if (problem === null) this.#write(payload);
      else this.#giveUp(problem, request);
    });
  }

  /** Instead of the login: the server is to end it, and learns nothing of ours. */
  #giveUp(reason: Failure, sslRequest: Uint8Array | null = null): void {
    this.#givenUp = reason;
    this.#write(loginOfNobody(sslRequest));
  }

  #write(payload: Uint8Array): void {
    this.#sequence = (this.#sequence + 1) & 0xff;
    this.#wire.write(encodePacket(this.#sequence, payload));
  }

  #login(payload: Uint8Array): void {
    this.#loginPackets += 1;
    if (this.#loginPackets > LOGIN_PACKETS_MAX) return this.#fail(failure('L7RSP', 'a login without an end'));
    if (payload[0] === markers.OK) return this.#loggedIn();
    const plugin = requestedPlugin(payload);
    if (plugin === null && payload[0] !== markers.MORE_DATA) {
      return this.#fail(failure('L7RSP', 'not MySQL: an unknown answer to the login'));
    }
    if (plugin !== null && !answerablePlugins.has(plugin)) {
      const shown = plugin.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 64);
      this.#givenUp ??= failure('L7AUTH', `the account's authentication plugin is not supported: ${shown}`);
    }
    if (this.#givenUp !== null) return this.#write(refusableAnswer(plugin ?? ''));
    this.#deliverLogin(payload);
  }

  #deliverLogin(payload: Uint8Array): void {
    this.#driverSequence += 1;
    this.#driver?.deliver(encodePacket(this.#driverSequence, payload));
  }

  #loggedIn(): void {
    this.#deliverLogin(PLAIN_OK);
    if (this.#ended !== null) return this.#sayGoodbye();
    this.#phase = 'idle';
    if (this.#givenUp !== null) return this.end(this.#givenUp);
    this.#finish({ kind: 'rows', answer: null });
  }

  #check(payload: Uint8Array, error: ServerError | null): void {
    const checked = this.#answer.next(payload);
    if (checked.kind === 'bad') return this.#fail(failure('L7RSP', `not MySQL: ${checked.detail}`));
    if (error !== null) this.#error = error;
    this.#driver?.deliver(encodePacket(this.#sequence, checked.payload));
  }

  #answered(error: Error | null, answer: Rows | null): void {
    if (this.#phase !== 'asking' || this.#ended !== null) return;
    const told = this.#error;
    if (error === null) {
      this.#phase = 'idle';
      return this.#finish({ kind: 'rows', answer });
    }
    if (told === null) return this.#fail(this.#driverFailure(error.message));
    const reason = serverFailure(told);
    // These end the session, not the query.
    if (reason.code === 'L4LOST' || reason.code === 'L7START') return this.#fail(reason);
    this.#phase = 'idle';
    this.#finish({ kind: 'failed', failure: reason, errno: told.errno });
  }
}

function failed(reason: Failure): Asked {
  return { kind: 'failed', failure: reason, errno: null };
}
