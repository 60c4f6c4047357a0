// What the main thread and a worker tell each other. Shapes only; nothing here is sent per packet, and of connections
// only notices in batches (notices.ts).

import { type Config } from '../../../config/schema.ts';
import { type BackendView } from '../../../topology/model.ts';
import { type NoticeBatch } from './notices.ts';
import { type OpenListener } from './listener.ts';
import { type TallyPlan } from './shared.ts';

/** What a worker is born with. */
export interface WorkerStart {
  readonly frontends: Config['frontends'];
  readonly views: readonly VersionedView[];
  readonly worker: number;
  readonly listeners: ReadonlyMap<string, OpenListener>;
  readonly plan: TallyPlan;
  readonly tallies: SharedArrayBuffer;
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

export interface VersionedView {
  readonly version: number;
  readonly view: BackendView;
}

export type ToWorker =
  | ({ readonly kind: 'view' } & VersionedView)
  /** Stop accepting, let sessions end until the deadline, close the rest, and say `closed`. */
  | { readonly kind: 'drain'; readonly deadlineMs: number }
  | { readonly kind: 'close' };

export type FromWorker =
  /** `without`: why there is no io_uring, though one was wanted. */
  | { readonly kind: 'ready'; readonly without: string | null }
  /** That view is in force: what it forbids is closed. */
  | { readonly kind: 'applied'; readonly version: number }
  | { readonly kind: 'notices'; readonly batch: NoticeBatch }
  | { readonly kind: 'closed' };
