// The prober of plain TCP servers: each probe is a connection of its own. It shows that somebody accepts (HAProxy's L4
// check) and, where the check says so, that the server answers some bytes with others; no role, no writability.
// Not the schedule and not health: the monitor calls it. Owns its sockets and its timers.

import { connect, isIP, type Socket } from 'node:net';
import { type Address } from '../../../core/address.ts';
import { type CheckConfig } from '../../../config/schema.ts';
import { type Clock } from '../../../core/clock.ts';
import { describeError } from '../../../core/errors.ts';
import { type ProbeAnswer, type Prober, type ProberFactory } from '../../prober.ts';
import { hasPassed, nothingTold } from '../../result.ts';
import { connectFailure, connectTimeout, failure, type ConnectPhase } from '../failures.ts';
import { isSelfConnected, selfConnection } from '../self-connection.ts';
import { Expectation } from './expectation.ts';

/** How long a connection that was talked over may take to close; a frozen server never answers. */
const GOODBYE_MAX_MS = 1000;

export interface TcpProberOptions {
  readonly address: Address;
  /** A PROXY header, sent before all else; `null` or left out: none. */
  readonly header?: Uint8Array | null;
  readonly check: Pick<CheckConfig<'tcp'>, 'timeoutMs' | 'send' | 'expect'>;
  readonly clock: Clock;
}

/** Nothing is opened before the first `probe()`. Never throws, and never reports a loss: it keeps no session. */
export function createTcpProber(options: TcpProberOptions): ProberFactory {
  return () => new TcpProber(options);
}

const accepted: ProbeAnswer = { code: 'L4OK', detail: 'accepts connections', facts: nothingTold };
const resetAtOnce: ProbeAnswer = { ...accepted, detail: 'accepts connections, and resets them at once' };
const answered: ProbeAnswer = { code: 'L7OK', detail: 'answers as expected', facts: nothingTold };
const ended = failure('L4LOST', 'the probe was ended');

class TcpProber implements Prober {
  readonly #options: TcpProberOptions;
  /** Ends the probe under way. */
  #abandon: () => void = () => undefined;
  /** Connections that were ended and aren't closed yet. */
  readonly #leaving = new Set<() => void>();
  #closed = false;

  constructor(options: TcpProberOptions) {
    this.#options = options;
  }

  probe(): Promise<ProbeAnswer> {
    if (this.#closed) return Promise.resolve(ended);
    const { address, header = null, check, clock } = this.#options;
    return new Promise(resolve => {
      let phase: ConnectPhase | 'connected' = isIP(address.host) === 0 ? 'resolving' : 'connecting';
      const socket = connect({ host: address.host, port: address.port });
      let settled = false;
      const settle = (answer: ProbeAnswer): void => {
        if (settled) return; // a destroyed socket may still report an error
        settled = true;
        timer.cancel();
        this.#abandon = () => undefined;
        this.#leave(socket, hasPassed(answer));
        resolve(answer);
      };
      const talk = check.send === null && check.expect === null ? null : new Talk(check, socket, settle);
      const expire = (): void => {
        if (phase !== 'connected') settle(connectTimeout(phase, check.timeoutMs));
        else talk?.expire(check.timeoutMs);
      };
      let timer = clock.schedule(check.timeoutMs, () => {
        // What came while the event loop stood still is read first: our own delay isn't the server's silence.
        timer = clock.afterInput(expire);
      });
      this.#abandon = () => settle(ended);
      socket.on('lookup', error => {
        if (!error) phase = 'connecting';
      });
      socket.on('connect', () => {
        phase = 'connected';
        if (isSelfConnected(socket)) settle(selfConnection);
        else {
          if (header !== null) socket.write(header);
          if (talk === null) settle(accepted);
          else talk.begin();
        }
      });
      socket.on('error', thrown => {
        if (talk !== null && (phase === 'connected' || isReset(thrown))) talk.hungUp();
        else settle(isReset(thrown) ? resetAtOnce : connectFailure(thrown));
      });
    });
  }

  close(): void {
    this.#closed = true;
    this.#abandon();
    for (const end of [...this.#leaving]) end();
  }

  /**
   * A connection without a word is reset: neither side is left with one to wait out (TIME_WAIT), however often we ask,
   * and servers count it as nothing. One that was talked over is ended with FIN and read to its end, as a client's
   * would be: a reset amid a talk is an error in many a server's log.
   */
  #leave(socket: Socket, passed: boolean): void {
    const { send, expect } = this.#options.check;
    // While it still connects, `resetAndDestroy` would wait for that.
    if (socket.connecting) socket.destroy();
    else if (send === null && expect === null) socket.resetAndDestroy();
    else if (passed) this.#sayGoodbye(socket);
    else socket.destroy();
  }

  #sayGoodbye(socket: Socket): void {
    const end = (): void => {
      limit.cancel();
      this.#leaving.delete(end);
      socket.destroy();
    };
    const limit = this.#options.clock.schedule(GOODBYE_MAX_MS, end);
    this.#leaving.add(end);
    socket.once('close', end);
    socket.end();
    socket.resume();
  }
}

/** What is said over a connection that is made, until `settle` has been called. */
class Talk {
  readonly #send: string | null;
  readonly #expectation: Expectation | null;
  readonly #socket: Socket;
  readonly #settle: (answer: ProbeAnswer) => void;

  constructor(
    { send, expect }: TcpProberOptions['check'],
    socket: Socket,
    settle: (answer: ProbeAnswer) => void,
  ) {
    this.#send = send;
    this.#expectation = expect === null ? null : new Expectation(expect);
    this.#socket = socket;
    this.#settle = settle;
  }

  begin(): void {
    const expectation = this.#expectation;
    if (this.#send !== null) this.#socket.write(this.#send);
    if (expectation === null) return this.#settle(accepted);
    this.#socket.on('data', chunk => {
      const found = expectation.push(chunk);
      if (found === 'met') this.#settle(answered);
      if (found === 'too-much') this.#settle(expectation.tooMuch());
    });
    this.#socket.on('end', () => this.hungUp());
  }

  expire(timeoutMs: number): void {
    if (this.#expectation !== null) this.#settle(this.#expectation.late(timeoutMs));
  }

  /** Without an expectation it has accepted, and that is all that was asked. */
  hungUp(): void {
    this.#settle(this.#expectation?.hungUp() ?? resetAtOnce);
  }
}

/**
 * A refusal is ECONNREFUSED (connect(2)). A reset can only follow the handshake, and whether it is seen during `connect` or
 * after it is a matter of microseconds: health must not hang on that.
 */
function isReset(thrown: Error): boolean {
  return describeError(thrown).code === 'ECONNRESET';
}
