// What a frontend is given: whom it asks, what it shares with other frontends, and where it tells what happens.
// Types only. Filled in by proxy.ts for frontend.ts.

import { type Clock } from '../core/clock.ts';
import { type Random } from '../core/random.ts';
import { type BackendView } from '../topology/model.ts';
import { type KeyPeers } from './cancel.ts';
import { type Driver, type Inherited } from './driver.ts';
import { type ProxyObserver } from './events.ts';
import { type Breakers } from './limits/breakers.ts';
import { type Surge } from './limits/surge.ts';
import { type SessionRegistry } from './registry.ts';
import { type Suspects } from './suspects.ts';
import { type Tallies } from './tallies.ts';

export interface FrontendDeps {
  readonly name: string;
  readonly view: (backend: string) => BackendView;
  readonly driver: Driver;
  /** Left out: its port is opened anew. */
  readonly inherited?: Inherited;
  readonly registry: SessionRegistry;
  readonly tallies: Tallies;
  /** Shared by all frontends: what one finds out serves the others. */
  readonly suspects: Suspects;
  readonly breakers: Breakers;
  /** The pace of clients to a new primary, of every frontend of a backend. */
  readonly surgeOf: (backend: string) => Surge;
  readonly workers: number;
  /** Held clients that may be under way at once. */
  readonly releaseBurst: number;
  readonly clock: Clock;
  readonly random: Random;
  /** Left out: there are no other workers. */
  readonly peers?: KeyPeers | undefined;
  readonly observer: ProxyObserver;
}
