// Names for servers that are learned and not configured: a fixed set, so that metrics, workers and people know them all
// beforehand. Pure. Used by app/orchestrators.ts and, for the set, by app/monitors.ts.

import { formatAddress, type Address } from '../../core/address.ts';

/** Of every learned server: there is nothing to tell them apart by. */
export const LEARNED_WEIGHT = 100;

/** `postgres-1`, `postgres-2` …: there are `max` of them, for good. */
export function slotNames(protocol: string, max: number): readonly string[] {
  return Array.from({ length: max }, (_, index) => `${protocol}-${index + 1}`);
}

export interface Slots {
  readonly taken: ReadonlyMap<string, Address>;
  /** For these there was no slot. */
  readonly left: readonly Address[];
}

/** An address keeps its slot while it is listed; the others take the free ones, in order. */
export function assignSlots(
  before: ReadonlyMap<string, Address>,
  listed: readonly Address[],
  names: readonly string[],
): Slots {
  const wanted = new Map(listed.map(address => [formatAddress(address), address]));
  const taken = new Map<string, Address>();
  for (const name of names) {
    const address = before.get(name);
    if (address !== undefined && wanted.delete(formatAddress(address))) taken.set(name, address);
  }
  const newcomers = [...wanted.values()];
  for (const name of names) {
    if (taken.has(name)) continue;
    const address = newcomers.shift();
    if (address !== undefined) taken.set(name, address);
  }
  const inOrder = names.flatMap(name => {
    const address = taken.get(name);
    return address === undefined ? [] : [[name, address] as const];
  });
  return { taken: new Map(inOrder), left: newcomers };
}
