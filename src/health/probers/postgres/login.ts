// The login of a probe session as a machine without a socket: server messages in, bytes to send or an ending out.
// Trust, clear text, md5 and SCRAM-SHA-256. Not TLS, which is done before. Used by the session beside it.

import { serialize } from 'pg-protocol';
import { type CheckConfig } from '../../../config/schema.ts';
import { type AuthRequest, type ServerMessage } from '../../../protocol/postgres/frames.ts';
import {
  continueScram,
  md5Response,
  SCRAM_SHA_256,
  startScram,
  verifyScram,
  type ScramStart,
} from '../../../protocol/postgres/scram.ts';
import { failure, type Failure } from '../failures.ts';
import { serverFailure } from './failures.ts';

export type LoginStep =
  | { readonly kind: 'wait' }
  | { readonly kind: 'send'; readonly bytes: Uint8Array }
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly failure: Failure };

export type LoginCheck = Pick<CheckConfig<'postgres'>, 'user' | 'password' | 'database' | 'timeoutMs'>;

type ScramState =
  | { readonly kind: 'none' | 'computing' | 'proven' }
  | { readonly kind: 'started'; readonly start: ScramStart }
  | { readonly kind: 'answered'; readonly serverSignature: Buffer };

const waiting: LoginStep = { kind: 'wait' };
const failed = (reason: Failure): LoginStep => ({ kind: 'failed', failure: reason });
const malformed = (detail: string): LoginStep => failed(failure('L7RSP', detail));

export class Login {
  readonly #check: LoginCheck;
  readonly #nonce: string;
  #scram: ScramState = { kind: 'none' };
  #welcome = false;
  #version: string | null = null;

  /** `nonce`: for SCRAM; fresh random bytes in base64 for every login. */
  constructor(check: LoginCheck, nonce: string) {
    this.#check = check;
    this.#nonce = nonce;
  }

  /** Server version without its packaging notes; `null` before the server told it. */
  get version(): string | null {
    return this.#version;
  }

  /** StartupMessage. The statement timeout ends on the server what a timed-out probe leaves behind. */
  start(): LoginStep {
    const { user, database, password, timeoutMs } = this.#check;
    // A NUL would end the text and turn the rest of it into parameters of its own.
    if (`${user}${database}${password ?? ''}`.includes('\0')) {
      return failed(failure('L7AUTH', 'user, password or database contains a NUL character'));
    }
    const bytes = serialize.startup({
      user,
      database,
      application_name: 'pointsman',
      statement_timeout: String(Math.ceil(timeoutMs)),
    });
    return { kind: 'send', bytes };
  }

  /** A promise only while SCRAM computes; a server that sends more meanwhile breaks the protocol. */
  step(message: ServerMessage): LoginStep | Promise<LoginStep> {
    switch (message.kind) {
      case 'error':
        return failed(serverFailure(message.error));
      case 'auth':
        return this.#authenticate(message.request);
      case 'parameter':
        if (message.name === 'server_version') this.#version = message.value.split(' ')[0] ?? null;
        return waiting;
      case 'ready':
        return this.#welcome ? { kind: 'ready' } : malformed('ReadyForQuery before the login was accepted');
      case 'row':
        return malformed('a row before any question');
      case 'notice':
      case 'notification':
      case 'other':
        return waiting;
    }
  }

  #authenticate(request: AuthRequest): LoginStep | Promise<LoginStep> {
    const { user, password } = this.#check;
    if (request.method === 'ok') return this.#accept();
    if (request.method === 'unsupported') {
      return failed(
        failure('L7AUTH', `the server asks for authentication type ${request.type}, which probes don't have`),
      );
    }
    if (password === null)
      return failed(failure('L7AUTH', 'the server asks for a password, and none is configured'));
    switch (request.method) {
      case 'cleartext':
        return { kind: 'send', bytes: serialize.password(password) };
      case 'md5':
        return { kind: 'send', bytes: serialize.password(md5Response(user, password, request.salt)) };
      case 'sasl':
        return this.#startScram(request.mechanisms);
      case 'sasl-continue':
        return this.#continueScram(request.data, password);
      case 'sasl-final':
        return this.#finishScram(request.data);
    }
  }

  #accept(): LoginStep {
    // A server that skips its proof may be an impostor.
    if (this.#scram.kind !== 'none' && this.#scram.kind !== 'proven') {
      return failed(failure('L7AUTH', 'the server did not prove that it knows the password (SCRAM)'));
    }
    this.#welcome = true;
    return waiting;
  }

  #startScram(mechanisms: readonly string[]): LoginStep {
    if (!mechanisms.includes(SCRAM_SHA_256)) {
      return failed(
        failure('L7AUTH', `the server offers ${mechanisms.join(', ')}, and probes have ${SCRAM_SHA_256}`),
      );
    }
    if (this.#scram.kind !== 'none') return malformed('a second SASL exchange');
    const start = startScram(this.#nonce);
    this.#scram = { kind: 'started', start };
    return { kind: 'send', bytes: serialize.sendSASLInitialResponseMessage(SCRAM_SHA_256, start.message) };
  }

  async #continueScram(serverFirst: string, password: string): Promise<LoginStep> {
    if (this.#scram.kind !== 'started') return malformed('a SASL message out of turn');
    const { start } = this.#scram;
    this.#scram = { kind: 'computing' };
    const reply = await continueScram(start, serverFirst, password);
    if (!reply.ok) return malformed(reply.reason);
    this.#scram = { kind: 'answered', serverSignature: reply.serverSignature };
    return { kind: 'send', bytes: serialize.sendSCRAMClientFinalMessage(reply.message) };
  }

  #finishScram(serverFinal: string): LoginStep {
    if (this.#scram.kind !== 'answered') return malformed('a SASL message out of turn');
    if (!verifyScram(this.#scram.serverSignature, serverFinal)) {
      return failed(failure('L7AUTH', 'the server does not know the password itself (SCRAM signature)'));
    }
    this.#scram = { kind: 'proven' };
    return waiting;
  }
}
