// What the main thread and a worker tell each other. Shapes only; nothing here is sent per packet, and of connections
// only notices in batches (notices.ts).

import { type Config } from '../../../config/schema.ts';
import { type BackendView } from '../../../topology/model.ts';
import { type Waiting } from '../../driver.ts';
import { type CloseReason } from '../../events.ts';
import { type Rested, type SessionFilter, type SessionList } from '../../sessions.ts';
import { type NoticeBatch } from './notices.ts';
import { type OpenListener } from './listener.ts';
import { type TallyPlan } from './tally-plan.ts';

/** What one worker accepts from, by frontend. */
export type WorkerListeners = ReadonlyMap<string, readonly OpenListener[]>;

/** What a worker is born with. */
export interface WorkerStart {
  readonly frontends: Config['frontends'];
  readonly views: readonly VersionedView[];
  readonly worker: number;
  /** How many share the frontends. */
  readonly workers: number;
  readonly listeners: WorkerListeners;
  readonly plan: TallyPlan;
  /** One byte per descriptor: 1 while the worker has it open. */
  readonly open: SharedArrayBuffer;
  /** Address and size of each memory mapping, zeros behind them. */
  readonly mappings: SharedArrayBuffer;
  /** Whether to try an io_uring. */
  readonly uring: boolean;
  /** An eventfd of the main thread's: written to after each message. */
  readonly wake: number;
  /** The main thread's clock at its own `hrtime`, in milliseconds: results in views carry its times. */
  readonly clockOffsetMs: number;
}

/** What only the workers know, of their own sessions each. */
export type Question =
  | { readonly kind: 'sessions'; readonly filter: SessionFilter }
  | {
      readonly kind: 'close-sessions';
      readonly ids: readonly string[];
      readonly reason: CloseReason;
      readonly rested: Rested | undefined;
    }
  | { readonly kind: 'pause-sessions'; readonly ids: readonly string[]; readonly forMs: number };

/** To the first the sessions that match, to the others how many are closed or paused. */
export type Answer = Pick<SessionList, 'sessions' | 'matched'>;

/** One worker asks the others: whose is this cancel key? */
export interface KeyQuestion {
  readonly request: number;
  readonly backend: string;
  readonly key: string;
}

export interface VersionedView {
  readonly version: number;
  readonly view: BackendView;
}

/** Another configuration, in force at once. */
export interface Reconfiguration {
  readonly version: number;
  readonly frontends: Config['frontends'];
  /** Of backends that are new to the workers. */
  readonly views: readonly VersionedView[];
  /** This worker's, of the ports that were opened for it; by frontend. */
  readonly listeners: WorkerListeners;
  readonly plan: TallyPlan;
}

export type ToWorker =
  | ({ readonly kind: 'view' } & VersionedView)
  | ({ readonly kind: 'reconfigure' } & Reconfiguration)
  /** There is no such backend any more. */
  | { readonly kind: 'removed'; readonly backend: string }
  /** Stop accepting, say `released`, let sessions end until the deadline, close the rest, and say `closed`. */
  | { readonly kind: 'drain'; readonly deadlineMs: number; readonly waiting: Waiting }
  | { readonly kind: 'close' }
  | { readonly kind: 'ask'; readonly request: number; readonly question: Question }
  | ({ readonly kind: 'whose-key'; readonly from: number } & KeyQuestion)
  | { readonly kind: 'key-owner'; readonly request: number; readonly server: string | null };

export type FromWorker =
  /** `without`: why there is no io_uring, though one was wanted. */
  | { readonly kind: 'ready'; readonly without: string | null }
  /** That view is in force: what it forbids is closed. */
  | { readonly kind: 'applied'; readonly version: number }
  /** That configuration is in force. */
  | { readonly kind: 'reconfigured'; readonly version: number }
  | { readonly kind: 'answer'; readonly request: number; readonly answer: Answer }
  | { readonly kind: 'notices'; readonly batch: NoticeBatch }
  /** It has nothing to do with its listening sockets any more: they may be closed. */
  | { readonly kind: 'released' }
  | { readonly kind: 'closed' }
  /** To be asked of the others, and what one of them answers to the worker `to`. */
  | ({ readonly kind: 'whose-key' } & KeyQuestion)
  | {
      readonly kind: 'key-owner';
      readonly to: number;
      readonly request: number;
      readonly server: string | null;
    };
