// What a loss report is made from, and what each protocol finds in that. Shapes only: the protocols' rules stand beside this,
// the report itself is made in loss.ts, and watch.ts collects what was known.

import { type Protocol } from '../../config/schema.ts';
import { type PassedResult } from '../../health/result.ts';

/** What a server said at a moment. */
export interface Word {
  readonly server: string;
  readonly result: PassedResult;
}

export interface LossCase {
  readonly protocol: Protocol;
  /** The last word of the old primary as the primary. */
  readonly former: Word;
  /** The first of the new one, which may be the same server. */
  readonly present: Word;
  /** The last of the new one as a replica, if it has been up without a break since. */
  readonly promotedFrom: Word | null;
  /** The last of all others as replicas: they may have had more than the old primary had when it was asked last. */
  readonly witnesses: readonly Word[];
  /** Under which name the old primary knew the new one, when that was its standby. */
  readonly standbyName: string | null;
}

export type Finding =
  /** Nothing that was acknowledged is lost; `why` says by whose promise. */
  | { readonly kind: 'none'; readonly why: string }
  | MissingBytes
  | MissingTransactions
  | { readonly kind: 'unknown'; readonly why: string };

/** How much of what was seen is missing; 0: nothing of it. What nobody saw comes on top. */
export interface MissingBytes {
  readonly kind: 'bytes';
  readonly bytes: number;
  readonly of: 'WAL' | 'the replication stream';
  /** Even of what was seen more may be missing. */
  readonly atLeast: boolean;
  /** What can be said beside that, as a clause. */
  readonly remark: string | null;
}

/** Likewise. */
export interface MissingTransactions {
  readonly kind: 'transactions';
  readonly count: number;
  /** `3 transactions (0-2-5..7)`; empty for none. */
  readonly gtids: string;
}

/** Pure functions. */
export interface LossRules {
  find(lossCase: LossCase): Finding;
  /**
   * How much the old primary is now known to have had that the new one lacks, from the newest word of each; `null`: that
   * says nothing. Never less than was seen before. Of bytes, 0 proves that there is nothing; of transactions it doesn't:
   * a server that was made anew from a copy of the new primary has none of its own either.
   */
  findOnReturn(lossCase: LossCase, former: Word, present: Word): Finding | null;
}

/** `1,288 bytes of WAL` */
export const tellBytes = ({ bytes, of }: Pick<MissingBytes, 'bytes' | 'of'>): string =>
  `${bytes.toLocaleString('en')} byte${bytes === 1 ? '' : 's'} of ${of}`;

export const unknown = (why: string): Finding => ({ kind: 'unknown', why });
