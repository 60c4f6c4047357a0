// The prober of plain TCP servers: each probe is a connection of its own, made and reset at once. It shows that somebody
// accepts (HAProxy's L4 check), and nothing of what is said there: no role, no writability.
// Not the schedule and not health: the monitor calls it. Owns its one socket and its one timer.

import { connect, isIP, type Socket } from 'node:net';
import { type Address } from '../../../core/address.ts';
import { type TcpCheckConfig } from '../../../config/schema.ts';
import { type Clock } from '../../../core/clock.ts';
import { describeError } from '../../../core/errors.ts';
import { type ProbeAnswer, type Prober, type ProberFactory } from '../../prober.ts';
import { type ServerFacts } from '../../result.ts';
import { connectFailure, connectTimeout, failure, type ConnectPhase } from '../failures.ts';

export interface TcpProberOptions {
  readonly address: Address;
  readonly check: Pick<TcpCheckConfig, 'timeoutMs'>;
  readonly clock: Clock;
}

/** Nothing is opened before the first `probe()`. Never throws, and never reports a loss: it keeps no session. */
export function createTcpProber(options: TcpProberOptions): ProberFactory {
  return () => new TcpProber(options);
}

const NOTHING_TOLD: ServerFacts = Object.freeze({
  role: 'unknown',
  writable: false,
  version: null,
  systemId: null,
  timeline: null,
  position: null,
  lagSeconds: null,
  replicating: null,
  upstream: null,
});

const accepted: ProbeAnswer = { code: 'L4OK', detail: 'accepts connections', facts: NOTHING_TOLD };
const resetAtOnce: ProbeAnswer = { ...accepted, detail: 'accepts connections, and resets them at once' };
const ended = failure('L4LOST', 'the probe was ended');
const toItself = failure('L4CON', 'the connection met itself: nobody listens on this port');

class TcpProber implements Prober {
  readonly #options: TcpProberOptions;
  /** Ends the probe under way. */
  #abandon: () => void = () => undefined;
  #closed = false;

  constructor(options: TcpProberOptions) {
    this.#options = options;
  }

  probe(): Promise<ProbeAnswer> {
    if (this.#closed) return Promise.resolve(ended);
    const { address, check, clock } = this.#options;
    return new Promise(resolve => {
      let phase: ConnectPhase = isIP(address.host) === 0 ? 'resolving' : 'connecting';
      const socket = connect({ host: address.host, port: address.port });
      let settled = false;
      const settle = (answer: ProbeAnswer): void => {
        if (settled) return; // a destroyed socket may still report an error
        settled = true;
        timer.cancel();
        this.#abandon = () => undefined;
        // A reset and not an end: neither side is left with a connection to wait out (TIME_WAIT), however often we ask.
        // While it still connects, `resetAndDestroy` would wait for that.
        if (socket.connecting) socket.destroy();
        else socket.resetAndDestroy();
        resolve(answer);
      };
      let timer = clock.schedule(check.timeoutMs, () => {
        // What came while the event loop stood still is read first: our own delay isn't the server's silence.
        timer = clock.afterInput(() => settle(connectTimeout(phase, check.timeoutMs)));
      });
      this.#abandon = () => settle(ended);
      socket.on('lookup', error => {
        if (!error) phase = 'connecting';
      });
      socket.on('connect', () => settle(isSelfConnected(socket) ? toItself : accepted));
      socket.on('error', thrown => settle(isReset(thrown) ? resetAtOnce : connectFailure(thrown)));
    });
  }

  close(): void {
    this.#closed = true;
    this.#abandon();
  }
}

/**
 * A refusal is ECONNREFUSED (connect(2)). A reset can only follow the handshake, and whether it is seen during `connect` or
 * after it is a matter of microseconds: health must not hang on that.
 */
function isReset(thrown: Error): boolean {
  return describeError(thrown).code === 'ECONNRESET';
}

/**
 * Whether a connection's two ends are one. To a port of this machine where nobody listens, the system may choose that
 * very port as the source, and TCP's simultaneous open (RFC 9293, section 3.5) joins the socket with itself.
 */
export function isSelfConnected({
  localAddress,
  localPort,
  remoteAddress,
  remotePort,
}: Pick<Socket, 'localAddress' | 'localPort' | 'remoteAddress' | 'remotePort'>): boolean {
  return localPort !== undefined && localPort === remotePort && localAddress === remoteAddress;
}
