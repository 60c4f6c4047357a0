// Which shared memory holds which tallies: a piece for each frontend, and pieces for the servers that came together. Another
// configuration gets another plan with the same pieces for what stays, so that running numbers go on. Made by pool.ts.

import { type Random } from '../../../core/random.ts';
import { allocateTable, type AddressTableMemory } from '../../limits/address-table.ts';

export const FRONTEND_CELLS = 6;
export const SERVER_CELLS = 4;
const CELL_BYTES = Float64Array.BYTES_PER_ELEMENT;

/** Of one frontend to servers of one backend, in order. */
interface TallyBlock {
  readonly backend: string;
  readonly servers: readonly string[];
  readonly memory: SharedArrayBuffer;
}

export interface TallyPlan {
  readonly workers: number;
  readonly frontends: readonly {
    readonly name: string;
    readonly memory: SharedArrayBuffer;
    readonly blocks: readonly TallyBlock[];
    /** Where client addresses are counted; null where nothing limits them. */
    readonly addresses: AddressTableMemory | null;
  }[];
}

/** A frontend, and the names of its backend's servers, those that may come later among them. */
export interface TallyWish {
  readonly name: string;
  readonly backend: string;
  readonly servers: readonly string[];
  /** How many clients it may have at once, if their addresses are limited; left out or null: they aren't. */
  readonly limitedClients?: number | null;
}

/**
 * `before`: the plan that is in force; left out: none. `exists`: whether there still is such a backend. What a frontend has
 * under way to a backend that it leads to no more is counted on.
 */
export function planTallies(
  wishes: readonly TallyWish[],
  workers: number,
  before: TallyPlan = { workers, frontends: [] },
  exists: (backend: string) => boolean = () => true,
  random: Random = () => 0.5,
): TallyPlan {
  const known = new Map(before.frontends.map(frontend => [frontend.name, frontend]));
  return {
    workers,
    frontends: wishes.map(({ name, backend, servers, limitedClients = null }) => {
      const frontend = known.get(name);
      const isWanted = (block: TallyBlock): boolean => {
        if (block.backend !== backend) return exists(block.backend);
        return !isEmpty(block) || block.servers.some(server => servers.includes(server));
      };
      const blocks = frontend?.blocks.filter(isWanted) ?? [];
      const counted = new Set(blocks.flatMap(block => (block.backend === backend ? block.servers : [])));
      const missing = servers.filter(server => !counted.has(server));
      const more = { backend, servers: missing, memory: cells(workers * SERVER_CELLS * missing.length) };
      return {
        name,
        memory: frontend?.memory ?? cells(workers * FRONTEND_CELLS),
        blocks: missing.length === 0 ? blocks : [...blocks, more],
        addresses:
          frontend?.addresses ??
          (limitedClients === null ? null : allocateTable(limitedClients, workers, random())),
      };
    }),
  };
}

const cells = (count: number): SharedArrayBuffer => new SharedArrayBuffer(count * CELL_BYTES);

const isEmpty = ({ memory }: TallyBlock): boolean => new Float64Array(memory).every(count => count === 0);
