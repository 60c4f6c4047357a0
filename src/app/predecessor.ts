// The process that this one succeeds, as seen from here: gives the state, and hears when all is ready, or that it won't be.
// The other side is handover.ts. Made by cli/run.ts.

import { readState, type SavedState } from '../topology/saved.ts';
import { HANDOVER_ENV } from './inherited.ts';

export type FromSuccessor =
  /** The configuration is valid: it wants what one process only may have. */
  | { readonly kind: 'claim' }
  /** It accepts clients. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly why: string };

export interface ToSuccessor {
  readonly kind: 'state';
  /** As topology/saved.ts writes it. */
  readonly state: string;
}

export interface Predecessor {
  /** Resolves to what it knows, when it has let go of the state file. Once. */
  claim(): Promise<SavedState>;
  /** Resolves when it knows: it accepts nobody any more. */
  ready(): Promise<void>;
  /** Resolves when it is told. */
  failed(why: string): Promise<void>;
}

/** `null`: this process succeeds nobody. Asked before the variables are taken out of the environment. */
export function findPredecessor(): Predecessor | null {
  if (process.env[HANDOVER_ENV] === undefined || process.send === undefined) return null;
  /** It may be gone by now: then nobody has to hear it. */
  const tell = (message: FromSuccessor): Promise<void> =>
    new Promise(resolve => {
      if (process.connected) process.send?.(message, undefined, undefined, () => resolve());
      else resolve();
    });
  return {
    claim: () =>
      new Promise((resolve, reject) => {
        const gone = (): void => reject(new Error('the process before ended without a word'));
        process.once('disconnect', gone);
        process.once('message', ({ state }: ToSuccessor) => {
          process.off('disconnect', gone);
          const read = readState(state);
          // Of a version that says more than we know: as at a start without a file (decision 10).
          resolve(read.ok ? read.state : new Map());
        });
        void tell({ kind: 'claim' });
      }),
    ready: () =>
      new Promise(resolve => {
        if (!process.connected) return resolve();
        process.once('disconnect', resolve);
        void tell({ kind: 'ready' });
      }),
    failed: why => tell({ kind: 'failed', why }),
  };
}
