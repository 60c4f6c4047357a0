// What a client connection needs of its frontend: what its clients share, and what no single one can decide. Types only.
// Implemented by frontend.ts for connection.ts; its parts for attempt.ts and joining.ts.

import { type Address } from '../core/address.ts';
import { type Clock, type MonotonicMs } from '../core/clock.ts';
import { type Random } from '../core/random.ts';
import { type BackendView } from '../topology/model.ts';
import { type Admission } from './admission.ts';
import { type Driver, type SecureDial, type TcpOptions } from './driver.ts';
import { type HoldOutcome, type ProxyObserver, type RejectReason } from './events.ts';
import { type Breakers } from './limits/breakers.ts';
import { type SessionRegistry } from './registry.ts';
import { type LoginRules } from './mysql-login.ts';
import { type RouteDecision } from './router.ts';
import { type SessionRules, type Target } from './session-model.ts';
import { type Suspects } from './suspects.ts';
import { type FrontendTally } from './tallies.ts';

/** `Client`: the connection, by which its frontend knows it. */
export interface ConnectionHost<Client> {
  readonly frontend: string;
  readonly backend: string;
  readonly rules: SessionRules;
  readonly idleTimeoutMs: number;
  /** 0: sessions may get as old as they like. */
  readonly maxSessionAgeMs: number;
  readonly random: Random;
  readonly tcp: TcpOptions;
  readonly driver: Driver;
  /** How the servers are spoken to in TLS from the dial on; `null`: not, or amid the login. */
  readonly secure: SecureDial['how'] | null;
  /** Set where TLS ends or begins amid the login. */
  readonly login: LoginRules | null;
  readonly clock: Clock;
  readonly registry: SessionRegistry;
  readonly observer: ProxyObserver;
  readonly tally: FrontendTally;
  readonly suspects: Suspects;
  readonly breakers: Breakers;
  view(): BackendView;
  /** The frontend's newest host: its terms may have changed while a session lived on under the old ones. */
  newest(): ConnectionHost<Client>;
  /** Whether the client may come in that a proxy has announced. */
  admit(client: Client): Admission;
  decide(client: Address, waited: boolean, at: MonotonicMs): RouteDecision;
  /** Whether the server has room for the attempt that has just been put on the books. */
  fits(server: string): boolean;
  /** False when there is no room. */
  hold(client: Client, again: boolean, pause: boolean): boolean;
  unhold(client: Client, outcome: HoldOutcome, waitedMs: number): void;
  /** A dial begins (true) or is over. */
  dialing(client: Client, active: boolean): void;
  /** The server has let the client in, as far as that can be seen (protocols.ts). */
  loggedIn(client: Client): void;
  refusal(reason: RejectReason): Uint8Array;
  cancelTargets(pid: number, key: Uint8Array): readonly Target[] | Promise<readonly Target[]>;
  /** The connection has done its work; its sockets may linger a while. */
  closed(client: Client): void;
  /** Its last socket is gone. */
  gone(client: Client): void;
}
