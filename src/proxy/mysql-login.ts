// The login of a MySQL or MariaDB client while TLS ends or begins at Pointsman: the greeting offers what we offer, the
// client's and the server's TLS begin, and packet numbers are shifted where only one side has TLS. After the login nothing
// more is changed. Pure: bytes in, actions out; bounded. Carried out by drivers/net/login.ts.
// Format: MySQL Source Documentation, "Connection Phase".

import { MYSQL_LOGIN_MAX_BYTES } from '../core/limits.ts';
import { type Decode } from '../protocol/decode.ts';
import { Framer } from '../protocol/framer.ts';
import { errPacket } from '../protocol/mysql/err-packet.ts';
import {
  capabilities,
  encodePacket,
  loginOfNobody,
  markers,
  requestedPlugin,
  sslRequestOf,
  type Packet,
} from '../protocol/mysql/packets.ts';

export interface LoginRules {
  /** As of SessionRules. */
  readonly client: 'require' | 'allow' | 'refuse';
  readonly server: boolean;
}

export type LoginAction =
  | { readonly kind: 'to-client' | 'to-server'; readonly bytes: Uint8Array }
  /** Make the handshake; nothing more is to be read before `encrypted` is told. `heard`: its beginning, where it has come. */
  | { readonly kind: 'encrypt'; readonly side: 'client' | 'server'; readonly heard: Uint8Array }
  /** Over, and the client knows why: let both go. */
  | { readonly kind: 'refused' }
  /** Not the protocol: close. */
  | { readonly kind: 'broken' }
  /** From here on bytes pass as they are. */
  | { readonly kind: 'done' };

type State = 'greeting' | 'opening' | 'client-tls' | 'login' | 'server-tls' | 'answers' | 'done' | 'over';

const HEADER_BYTES = 4;
const SSL_REQUEST_BYTES = 32;
const FULL_AUTHENTICATION = 0x04;

/** Unlike on a probe session, a packet may be empty: the answer of an account without a password is. */
function decodeLoginPacket(bytes: Uint8Array): Decode<Packet> {
  if (bytes.length < HEADER_BYTES) return { kind: 'need', bytes: HEADER_BYTES - bytes.length };
  const [low = 0, middle = 0, high = 0, sequence = 0] = bytes;
  const end = HEADER_BYTES + (low | (middle << 8) | (high << 16));
  if (end > MYSQL_LOGIN_MAX_BYTES) {
    return { kind: 'bad', code: 'WIRE_TOO_LARGE', detail: `a packet of ${end} bytes amid a login` };
  }
  if (bytes.length < end) return { kind: 'need', bytes: end - bytes.length };
  return { kind: 'ok', value: { sequence, payload: bytes.slice(HEADER_BYTES, end) }, consumed: end };
}

export class MysqlLogin {
  readonly #rules: LoginRules;
  readonly #fromServer = new Framer(decodeLoginPacket);
  readonly #fromClient = new Framer(decodeLoginPacket);
  #state: State = 'greeting';
  #clientSecured = false;
  #clientTrusted = true;
  #login: Packet = { sequence: 1, payload: new Uint8Array(0) };

  constructor(rules: LoginRules) {
    this.#rules = rules;
  }

  receive(side: 'client' | 'server', bytes: Uint8Array): readonly LoginAction[] {
    const framer = side === 'client' ? this.#fromClient : this.#fromServer;
    framer.push(Uint8Array.from(bytes));
    const actions: LoginAction[] = [];
    while (this.#state !== 'over' && this.#state !== 'done') {
      const decoded = framer.next();
      if (decoded.kind === 'need') break;
      if (decoded.kind === 'bad') return [...actions, this.#end('broken')];
      actions.push(...(side === 'client' ? this.#client(decoded.value) : this.#server(decoded.value)));
    }
    return this.#state === 'done' ? [...actions, ...this.#rest()] : actions;
  }

  encrypted(side: 'client' | 'server', trusted = true): readonly LoginAction[] {
    if (side === 'server') return this.#sendLogin();
    this.#clientSecured = true;
    this.#clientTrusted = trusted;
    this.#state = 'login';
    return [];
  }

  /** The server's handshake failed; the client is told so. */
  serverFailed(): readonly LoginAction[] {
    return this.#refuse({
      errno: 2026,
      message: 'TLS with the server failed: see the log of Pointsman',
      toServer: false,
    });
  }

  #client(packet: Packet): readonly LoginAction[] {
    const { sequence, payload } = packet;
    switch (this.#state) {
      case 'opening': {
        const asks = payload.length === SSL_REQUEST_BYTES && (flagsOf(payload) & capabilities.SSL) !== 0;
        if (!asks) return this.#loggingIn(packet);
        if (this.#rules.client === 'refuse') return [this.#end('broken')];
        this.#state = 'client-tls';
        // It doesn't wait for an answer: its handshake may stand right behind the request.
        return [{ kind: 'encrypt', side: 'client', heard: this.#fromClient.rest() }];
      }
      case 'login':
        return this.#loggingIn(packet);
      case 'answers':
        return [{ kind: 'to-server', bytes: encodePacket(sequence + this.#shift, payload) }];
      default:
        // Before the greeting, or while the server's handshake is under way, a client has nothing to say.
        return [this.#end('broken')];
    }
  }

  #loggingIn(packet: Packet): readonly LoginAction[] {
    this.#login = packet;
    if (packet.payload.length < SSL_REQUEST_BYTES) return [this.#end('broken')];
    if (!this.#clientSecured && this.#rules.client === 'require') {
      return this.#refuse({
        errno: 3159,
        message: 'this frontend serves clients in TLS only',
        toServer: true,
      });
    }
    if (!this.#clientTrusted) {
      return this.#refuse({
        errno: 1045,
        message: 'the client showed no certificate that is good here',
        toServer: true,
      });
    }
    if (!this.#rules.server) return this.#sendLogin();
    this.#state = 'server-tls';
    // Unasked, and in the clear: it must not pass for what comes encrypted.
    if (this.#fromServer.held > 0) return [this.#end('broken')];
    const request = sslRequestOf(withSsl(packet.payload, true));
    return [
      { kind: 'to-server', bytes: encodePacket(1, request) },
      { kind: 'encrypt', side: 'server', heard: new Uint8Array(0) },
    ];
  }

  #sendLogin(): readonly LoginAction[] {
    const { payload } = this.#login;
    const login = encodePacket(this.#rules.server ? 2 : 1, withSsl(payload, this.#rules.server));
    this.#state = 'answers';
    return [{ kind: 'to-server', bytes: login }];
  }

  /** What is added to the number of a client's packet for the server. */
  get #shift(): number {
    return (this.#rules.server ? 2 : 1) - this.#login.sequence;
  }

  #server({ sequence, payload }: Packet): readonly LoginAction[] {
    if (this.#state === 'greeting') return this.#greeting(sequence, payload);
    const [first, second] = payload;
    const pass: LoginAction = { kind: 'to-client', bytes: encodePacket(sequence - this.#shift, payload) };
    if (first === markers.ERR || (first === markers.OK && this.#state === 'answers')) {
      return [pass, this.#end('done')];
    }
    if (this.#state !== 'answers') return [this.#end('broken')];
    const wantsSecrecy =
      (first === markers.MORE_DATA && second === FULL_AUTHENTICATION && payload.length === 2) ||
      requestedPlugin(payload) === 'sha256_password';
    if (wantsSecrecy && this.#clientSecured && !this.#rules.server) {
      // The client would send its password as TLS lets it; the server, without TLS, waits for one in RSA.
      return this.#refuse({
        errno: 1045,
        message:
          'this login needs TLS to the server too (caching_sha2_password, sha256_password): set tls of the backend',
        toServer: false,
      });
    }
    return [pass];
  }

  #greeting(sequence: number, payload: Uint8Array): readonly LoginAction[] {
    const versionEnd = payload.indexOf(0, 1);
    const at = versionEnd + 1 + 13; // connection id 4, scramble 8, filler 1; then the lower half of the capabilities
    const isGreeting = payload[0] === 10 && versionEnd > 0 && payload.length >= at + 2;
    if (!isGreeting)
      return [{ kind: 'to-client', bytes: encodePacket(sequence, payload) }, this.#end('done')];
    const { client, server } = this.#rules;
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    const offered = view.getUint16(at, true);
    if (server && (offered & capabilities.SSL) === 0) {
      return [
        {
          kind: 'to-client',
          bytes: refusal(0, 2026, 'the server speaks no TLS, which the backend asks for'),
        },
        { kind: 'to-server', bytes: encodePacket(1, loginOfNobody(null)) },
        this.#end('refused'),
      ];
    }
    const offers = client === 'refuse' ? offered & ~capabilities.SSL : offered | capabilities.SSL;
    view.setUint16(at, offers, true);
    this.#state = 'opening';
    return [{ kind: 'to-client', bytes: encodePacket(sequence, payload) }];
  }

  /** `toServer`: it still waits for a login, and gets one of nobody: one that breaks off would count as this host's error. */
  #refuse({
    errno,
    message,
    toServer,
  }: {
    errno: number;
    message: string;
    toServer: boolean;
  }): readonly LoginAction[] {
    const told: LoginAction = { kind: 'to-client', bytes: refusal(this.#login.sequence + 1, errno, message) };
    const nobody: LoginAction = { kind: 'to-server', bytes: encodePacket(1, loginOfNobody(null)) };
    return toServer ? [told, nobody, this.#end('refused')] : [told, this.#end('refused')];
  }

  #end(kind: 'broken' | 'refused' | 'done'): LoginAction {
    this.#state = kind === 'done' ? 'done' : 'over';
    return { kind };
  }

  /** What came behind the login, on either side. */
  #rest(): readonly LoginAction[] {
    const pairs = [
      ['to-server', this.#fromClient.rest()],
      ['to-client', this.#fromServer.rest()],
    ] as const;
    return pairs.flatMap(([kind, bytes]) => (bytes.length === 0 ? [] : [{ kind, bytes }]));
  }
}

const flagsOf = (payload: Uint8Array): number =>
  new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getUint32(0, true);

function withSsl(payload: Uint8Array, ssl: boolean): Uint8Array {
  const login = Uint8Array.from(payload);
  const flags = flagsOf(payload);
  new DataView(login.buffer).setUint32(0, ssl ? flags | capabilities.SSL : flags & ~capabilities.SSL, true);
  return login;
}

const refusal = (sequence: number, errno: number, message: string): Uint8Array =>
  errPacket(
    { errno, sqlstate: errno === 1045 ? '28000' : 'HY000', message: `pointsman: ${message}` },
    sequence,
  );
