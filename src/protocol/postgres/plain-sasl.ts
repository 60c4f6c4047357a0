// Takes SCRAM-SHA-256-PLUS out of what a server offers, for a client without TLS before a server with it: the server offers
// to bind the login to its TLS, and libpq breaks off when a plain connection is offered that. Sound, since such a client says
// that it can't bind, and a server takes that word ("n" in RFC 5802, section 6), which it wouldn't take of one with TLS.
// Bounded; nothing else is changed. Formats: PostgreSQL documentation, page 55.7 (AuthenticationSASL).

import { PROBE_FRAME_MAX_BYTES } from '../../core/limits.ts';

const HEADER_BYTES = 5;
const SASL = 10;
const AUTHENTICATION = 0x52;
/** What may come before it: NegotiateProtocolVersion, NoticeResponse. */
const before: ReadonlySet<number> = new Set([0x76, 0x4e]);
const WITH_BINDING = 'SCRAM-SHA-256-PLUS';

export class PlainSasl {
  #held = Buffer.alloc(0);
  #done = false;

  /** Nothing more is changed: `push` is needed no longer. */
  get done(): boolean {
    return this.#done;
  }

  /** What the client gets of the server's next bytes. */
  push(chunk: Uint8Array): Uint8Array {
    if (this.#done) return chunk;
    this.#held = Buffer.concat([this.#held, chunk]);
    const passed: Uint8Array[] = [];
    while (!this.#done && this.#held.length >= HEADER_BYTES) {
      const end = 1 + this.#held.readUInt32BE(1);
      const [type = 0] = this.#held;
      if ((type !== AUTHENTICATION && !before.has(type)) || end > PROBE_FRAME_MAX_BYTES) break;
      if (this.#held.length < end) return Buffer.concat(passed);
      const message = this.#held.subarray(0, end);
      this.#held = this.#held.subarray(end);
      this.#done = type === AUTHENTICATION;
      passed.push(this.#done ? withoutBinding(message) : message);
    }
    if (!this.#done && this.#held.length < HEADER_BYTES) return Buffer.concat(passed);
    this.#done = true;
    passed.push(this.#held);
    this.#held = Buffer.alloc(0);
    return Buffer.concat(passed);
  }
}

function withoutBinding(message: Buffer): Buffer {
  if (message.length < HEADER_BYTES + 4 || message.readUInt32BE(HEADER_BYTES) !== SASL) return message;
  const offered = message.toString('latin1', HEADER_BYTES + 4).split('\0');
  const kept = Buffer.from(offered.filter(mechanism => mechanism !== WITH_BINDING).join('\0'), 'latin1');
  const head = Buffer.from(message.subarray(0, HEADER_BYTES + 4));
  head.writeUInt32BE(8 + kept.length, 1);
  return Buffer.concat([head, kept]);
}
