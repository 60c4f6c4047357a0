// mysql2 behind a stream of ours that carries only what the session has checked: it signs the login and reads the rows.
// It never sees a socket, and nothing it throws leaves this file. One per session.

import { EventEmitter } from 'node:events';
import { authPlugins, createConnection, type AuthPlugin, type Connection } from 'mysql2';
import { describeError } from '../../../core/errors.ts';
import { signScramble } from '../../../protocol/mysql/ed25519.ts';

/** Bytes that mysql2 signs with them; of the server's greeting a plugin gets no more. */
const ED25519_SCRAMBLE_BYTES = 32;

export interface DriverOptions {
  readonly user: string;
  readonly password: string | null;
  readonly database: string | null;
  /** The login goes through TLS: the password itself may be sent where a plugin asks for it. */
  readonly secure: boolean;
}

export interface DriverHandlers {
  /** A whole packet to send, with the number that mysql2 thinks it has. */
  send(packet: Uint8Array): void;
  /** It gave up: a plugin it doesn't have, or an answer that it couldn't read. */
  failed(words: string): void;
}

/** Texts, whatever the columns' types; `null` is SQL's. */
export interface Rows {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (Buffer | null)[])[];
}

/** Plugins that a login can answer; for another one the session lets the server refuse it. */
export const answerablePlugins: ReadonlySet<string> = new Set([
  'mysql_native_password',
  'caching_sha2_password',
  'sha256_password',
  'client_ed25519',
]);

/** What mysql2 takes for its socket. Delivery is a plain call, so that what its readers throw can be caught. */
class Pipe extends EventEmitter {
  readonly destroyed = false;
  readonly #send: (packet: Uint8Array) => void;

  constructor(send: (packet: Uint8Array) => void) {
    super();
    this.#send = send;
  }

  write(packet: Uint8Array): boolean {
    this.#send(packet);
    return true;
  }

  /** The session ends its connection itself. */
  end(): void {
    this.emit('closing');
  }

  destroy(): void {
    this.emit('closing');
  }
}

export class Driver {
  readonly #pipe: Pipe;
  readonly #connection: Connection;
  readonly #handlers: DriverHandlers;
  #ended = false;

  constructor(options: DriverOptions, handlers: DriverHandlers) {
    this.#handlers = handlers;
    this.#pipe = new Pipe(packet => {
      if (!this.#ended) handlers.send(packet);
    });
    const { user, password, database, secure } = options;
    this.#connection = createConnection({
      stream: this.#pipe,
      user,
      ...(password === null ? {} : { password }),
      ...(database === null ? {} : { database }),
      connectTimeout: 0,
      disableEval: true,
      // Nothing that needs more of the readers, and names of functions stay names of columns too, as for other clients.
      flags: [...(secure ? ['SSL'] : []), '-LOCAL_FILES', '-SESSION_TRACK', '-IGNORE_SPACE'],
      connectAttributes: { program_name: 'pointsman' },
      authPlugins: {
        client_ed25519: ed25519(password ?? ''),
        ...(secure
          ? { caching_sha2_password: authPlugins.caching_sha2_password({ overrideIsSecure: true }) }
          : {}),
      },
    });
    this.#connection.on('error', error => this.#fail(error));
  }

  /** Hands a checked packet on. `number` must be the one that mysql2 waits for. */
  deliver(packet: Uint8Array): void {
    if (this.#ended) return;
    try {
      this.#pipe.emit('data', packet);
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  /** The first result that has columns; `null` where there is none. Never called back after `end` or `failed`. */
  query(sql: string, done: (error: Error | null, rows: Rows | null) => void): void {
    try {
      this.#connection.query({ sql, rowsAsArray: true, typeCast: false }, (error, results, fields) => {
        if (this.#ended) return;
        if (error === null) done(null, firstResult(results, fields));
        else done(error, null);
      });
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  end(): void {
    this.#ended = true;
  }

  #fail(thrown: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#handlers.failed(describeError(thrown).message);
  }
}

function ed25519(password: string): AuthPlugin {
  return () => scramble => signScramble(password, scramble.subarray(0, ED25519_SCRAMBLE_BYTES));
}

/** A stored procedure answers with several results, the last of them without columns: mysql2 then gives lists of both. */
function firstResult(results: unknown, fields: unknown): Rows | null {
  if (!Array.isArray(fields) || !Array.isArray(results)) return null;
  const several = fields.some(field => Array.isArray(field) || field === undefined);
  const at = several ? fields.findIndex(field => Array.isArray(field)) : -1;
  if (several && at < 0) return null;
  const columns = (several ? fields[at] : fields) as readonly { readonly name: string }[];
  const rows = (several ? results[at] : results) as Rows['rows'];
  return { columns: columns.map(column => column.name), rows };
}
