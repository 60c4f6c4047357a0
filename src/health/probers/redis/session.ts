// One authenticated connection to a Redis server or a Sentinel: opened, asked again and again, ended with a plain FIN.
// Not a client library (one question of several commands at a time) and without a timeout of its own. Owned by the prober
// beside it, and by the Sentinel client.

import { type Socket } from 'node:net';
import { type Address } from '../../../core/address.ts';
import { type WholeTlsConfig } from '../../../config/schema.ts';
import { type Clock } from '../../../core/clock.ts';
import { encodeCommands, type Command } from '../../../protocol/redis/command.ts';
import { decodeReply, type Reply } from '../../../protocol/redis/reply.ts';
import { Framer } from '../../../protocol/framer.ts';
import { failure, type Failure, socketFailure } from '../failures.ts';
import { isSelfConnected, selfConnection } from '../self-connection.ts';
import { replyFailure, type Phase } from './failures.ts';
import { openTransport } from './transport.ts';

/** How long an ended session may take to close; a frozen server never answers. */
const GOODBYE_MAX_MS = 1000;

export interface SessionOptions {
  readonly address: Address;
  readonly user: string | null;
  readonly password: string | null;
  readonly tls: WholeTlsConfig;
  readonly clock: Clock;
}

export interface SessionEvents {
  /** The server ended the session while nothing was asked, or said what it wasn't asked for. */
  lost(detail: string): void;
  /** Left out: RESP3 where the server has it. Else RESP2, and what comes while nothing is asked, as after PSUBSCRIBE. */
  message?(reply: Reply): void;
}

export type Asked =
  /** One reply for each command, errors among them. */
  | { readonly kind: 'replies'; readonly replies: readonly Reply[] }
  | { readonly kind: 'failed'; readonly failure: Failure };

export class Session {
  readonly #options: SessionOptions;
  readonly #events: SessionEvents;
  readonly #framer = new Framer(decodeReply);
  readonly #socket: Socket | null;
  readonly #opened: Promise<Failure | null>;
  #phase: Phase = 'connecting';
  #connected: (outcome: Failure | null) => void = () => undefined;
  #question: {
    readonly count: number;
    readonly replies: Reply[];
    readonly settle: (asked: Asked) => void;
  } | null = null;

  /** Starts to connect at once. */
  constructor(options: SessionOptions, events: SessionEvents) {
    this.#options = options;
    this.#events = events;
    const connected = new Promise<Failure | null>(resolve => {
      this.#connected = resolve;
    });
    const socket = openTransport(
      options.address,
      options.tls,
      phase => {
        if (this.#phase !== 'ended') this.#phase = phase;
      },
      socket => {
        if (isSelfConnected(socket)) return this.#fail(selfConnection);
        this.#phase = 'login';
        this.#connected(null);
      },
    );
    this.#opened = connected.then(async refused => refused ?? (await this.#logIn()));
    if ('code' in socket) {
      this.#socket = null;
      this.#fail(socket);
      return;
    }
    this.#socket = socket;
    socket.on('data', chunk => this.#receive(chunk));
    socket.on('error', error => this.#fail(socketFailure(this.#phase, error)));
    socket.on('end', () =>
      this.#fail(failure('L4LOST', `the server closed the connection (${this.#phase})`)),
    );
    socket.on('close', () => this.#fail(failure('L4LOST', `the connection was closed (${this.#phase})`)));
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Settles when the login is done: `null`, or why it isn't. */
  opened(): Promise<Failure | null> {
    return this.#opened;
  }

  /** Only when `phase` is `idle`. After a failure the session has ended; error replies are replies. */
  async ask(...commands: readonly Command[]): Promise<Asked> {
    if (this.#phase !== 'idle')
      return { kind: 'failed', failure: failure('L4LOST', 'the session has ended') };
    this.#phase = 'asking';
    const asked = await this.#send(commands);
    return asked;
  }

  /** Ends the session for good; what is under way fails with `reason`. Harmless when it has ended. */
  end(reason: Failure): void {
    if (this.#phase === 'ended') return;
    const loggedIn = this.#phase === 'idle' || this.#phase === 'asking';
    this.#phase = 'ended';
    if (loggedIn) this.#sayGoodbye();
    else this.#socket?.destroy();
    this.#finish(reason);
  }

  /** A FIN is all that Redis needs: unlike QUIT it asks for no answer. What it still sends is read, not reset. */
  #sayGoodbye(): void {
    const socket = this.#socket;
    if (socket === null) return;
    const limit = this.#options.clock.schedule(GOODBYE_MAX_MS, () => socket.destroy());
    socket.once('close', () => limit.cancel());
    socket.end();
  }

  #fail(reason: Failure): void {
    if (this.#phase === 'ended') return;
    const wasIdle = this.#phase === 'idle';
    this.#phase = 'ended';
    this.#socket?.destroy();
    this.#finish(reason);
    if (wasIdle) this.#events.lost(reason.detail);
  }

  #finish(reason: Failure): void {
    const question = this.#question;
    this.#question = null;
    // Words that the server said before it hung up explain more than the hanging up.
    const said = question?.replies.find(reply => reply.kind === 'error');
    question?.settle({
      kind: 'failed',
      failure: said?.kind === 'error' && reason.code === 'L4LOST' ? replyFailure(said.text) : reason,
    });
    this.#connected(reason);
  }

  #send(commands: readonly Command[]): Promise<Asked> {
    return new Promise(settle => {
      this.#question = { count: commands.length, replies: [], settle };
      this.#socket?.write(encodeCommands(commands));
    });
  }

  async #logIn(): Promise<Failure | null> {
    const refused = await this.#introduce();
    // A server that hung up after its last word has ended the session already.
    if (refused === null && this.#phase === 'login') this.#phase = 'idle';
    else if (refused !== null) this.#fail(refused);
    return refused;
  }

  async #introduce(): Promise<Failure | null> {
    const { user, password } = this.#options;
    if (this.#events.message === undefined) {
      const login = password === null ? [] : ['AUTH', user ?? 'default', password];
      const refused = await this.#say(['HELLO', '3', ...login]);
      if (refused === null || !isUnknown(refused)) return refused === null ? null : refused.failure;
    }
    if (password === null) return null;
    const refused = await this.#say(user === null ? ['AUTH', password] : ['AUTH', user, password]);
    return refused === null ? null : refused.failure;
  }

  /** A step of the login: `null` when it went well. */
  async #say(command: Command): Promise<{ failure: Failure; text: string } | null> {
    const asked = await this.#send([command]);
    if (asked.kind === 'failed') return { failure: asked.failure, text: '' };
    const [reply] = asked.replies;
    return reply?.kind === 'error' ? { failure: replyFailure(reply.text), text: reply.text } : null;
  }

  #receive(chunk: Uint8Array): void {
    if (this.#phase === 'ended') return;
    this.#framer.push(chunk);
    for (;;) {
      const decoded = this.#framer.next();
      if (decoded.kind === 'need') return;
      if (decoded.kind === 'bad') return this.#fail(failure('L7RSP', `not Redis: ${decoded.detail}`));
      this.#handle(decoded.value);
      if (this.phase === 'ended') return;
    }
  }

  #handle(reply: Reply): void {
    if (reply.kind === 'push') return;
    const question = this.#question;
    if (question === null) {
      if (this.#events.message !== undefined) this.#events.message(reply);
      else if (reply.kind === 'error') this.#fail(replyFailure(reply.text));
      else this.#fail(failure('L7RSP', `an answer that nothing was asked for (${this.#phase})`));
      return;
    }
    question.replies.push(reply);
    if (question.replies.length < question.count) return;
    this.#question = null;
    if (this.#phase === 'asking') this.#phase = 'idle';
    question.settle({ kind: 'replies', replies: question.replies });
  }
}

/** A server that doesn't know HELLO (before Redis 6), or not RESP3. */
const isUnknown = ({ text }: { readonly text: string }): boolean =>
  /^NOPROTO|^ERR unknown command/i.test(text);
