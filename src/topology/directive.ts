// What a runbook says of who may be the primary, and what that means for a server. Pure.
// Set by runbook/ through the topology; asked by elect.ts. It can only forbid, but for one case: a book that has made
// another server the primary is proof that it is, also where its data are of another cluster than those of before.

export interface Directive {
  /** Who says what, as a clause: `the runbook on_primary_lost is at step 2 of 5, restore`. */
  readonly words: string;
  /** Nobody but these may be the primary; `null`: it says nothing about that. */
  readonly only: readonly string[] | null;
  /** They gave their role to another by a runbook: none is followed before a runbook, or a proven promotion, gives it back. */
  readonly barred: readonly string[];
  /** Made the primary by a book that succeeded: what was remembered of others doesn't speak against it. */
  readonly appointed: string | null;
}

/** Why a server may not be the primary; `null`: nothing against it. `isProven`: it was promoted since, by its own evidence. */
export function bannedBy(directive: Directive | null, name: string, isProven: () => boolean): string | null {
  if (directive === null) return null;
  const { only, barred, words } = directive;
  if (only !== null && !only.includes(name)) return `${name} says that it is the primary, but ${words}`;
  if (directive.appointed === name || !barred.includes(name) || isProven()) return null;
  return `${name} is refused: its role was given to another by a runbook; pointsman failback gives it back`;
}

/** Whether somebody who isn't seen well may keep the role. */
export function isExcluded(directive: Directive | null, name: string): boolean {
  return directive !== null && directive.only !== null && !directive.only.includes(name);
}

export const isAppointed = (directive: Directive | null, name: string): boolean =>
  directive !== null && directive.appointed === name;
