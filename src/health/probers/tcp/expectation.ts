// Looks for the expected bytes in what a server says, piece by piece, without keeping what was looked through.
// Pure. Used by the TCP prober. Its words never quote the server, which may repeat what was sent to it, passwords too.

import { TCP_ANSWER_MAX_BYTES } from '../../../core/limits.ts';
import { failure, type Failure } from '../failures.ts';

export class Expectation {
  readonly #wanted: Buffer;
  /** The end of what came, as long as a beginning of the wanted bytes can be. */
  #tail: Buffer = Buffer.alloc(0);
  #bytes = 0;

  constructor(wanted: string) {
    this.#wanted = Buffer.from(wanted, 'utf8');
  }

  /** `too-much`: TCP_ANSWER_MAX_BYTES came, and the expected ones were not among them. */
  push(chunk: Uint8Array): 'met' | 'more' | 'too-much' {
    const seen = Buffer.concat([this.#tail, chunk.subarray(0, TCP_ANSWER_MAX_BYTES - this.#bytes)]);
    this.#bytes += chunk.length;
    if (seen.includes(this.#wanted)) return 'met';
    this.#tail = seen.subarray(Math.max(0, seen.length - this.#wanted.length + 1));
    return this.#bytes >= TCP_ANSWER_MAX_BYTES ? 'too-much' : 'more';
  }

  tooMuch(): Failure {
    return failure('L7RSP', `${TCP_ANSWER_MAX_BYTES} bytes came, and not what is expected`);
  }

  late(timeoutMs: number): Failure {
    return failure('L7TOUT', `not the expected answer within ${timeoutMs} ms (${this.#told()})`);
  }

  hungUp(): Failure {
    return failure('L4LOST', `the server closed the connection before the expected answer (${this.#told()})`);
  }

  #told(): string {
    if (this.#bytes === 0) return 'not a byte came';
    return this.#bytes === 1 ? '1 byte came' : `${this.#bytes} bytes came`;
  }
}
