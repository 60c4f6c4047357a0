// What a source outside the servers tells of a backend: an orchestrator's opinion, its members, and what is odd about it.
// Shapes only. One source a file beside this (sentinel.ts …); joined to the topology by app/orchestrators.ts.

import { type Address } from '../../core/address.ts';
import { type Opinion } from '../model.ts';

export interface Member {
  readonly address: Address;
  /** The source's own name for it; `null` where it gives none. */
  readonly name: string | null;
  /** The name whose address it is, where `address` holds an IP address that a name stands for. */
  readonly host?: string;
}

export interface Counsel {
  /** `null`: silent, or no orchestrator. */
  readonly opinion: Opinion | null;
  /** What somebody should look at, in sentences that stay the same while it does. */
  readonly notes: readonly string[];
  /** `null`: it can't tell now, and the members stay as they are. */
  readonly members: readonly Member[] | null;
}
