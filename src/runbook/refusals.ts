// Why an operator's word can't begin a book now, as a sentence; `null` where it can. Pure.
// Asked by runner.ts. What may begin by itself: guard.ts.

import { type RunbookConfig } from '../config/schema.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { acceptsWrites } from '../topology/eligibility.ts';
import { type BackendView } from '../topology/model.ts';
import { type BookName, type Kept } from './model.ts';
import { planOf } from './plan.ts';

/** Who gets the role by a book, where neither the command nor the configuration leaves that open. */
export function targetOf(book: BookName, to: string | null, config: RunbookConfig): string | null {
  switch (book) {
    case 'on_primary_lost':
      return config.onPrimaryLost?.activate ?? null;
    case 'failback':
      return config.failback?.activate ?? null;
    case 'switchover':
      return to ?? config.switchover?.activate ?? null;
    case 'on_promoted':
    case 'on_primary_returned':
      return null;
  }
}

export function refusalToBegin(
  book: BookName,
  to: string | null,
  view: BackendView,
  config: RunbookConfig | null,
  kept: Pick<Kept, 'barred' | 'lastPrimary'>,
  now: MonotonicMs,
): string | null {
  if (config === null || planOf(book, config) === null) {
    return `${view.name} has no book ${book}: it is to be written in runbooks.${view.name}`;
  }
  const target = targetOf(book, to, config);
  const unfit = target === null ? null : unfitTarget(target, view);
  if (unfit !== null) return unfit;
  if (book === 'on_primary_lost') {
    if (view.primary !== null) return `${view.primary} is the primary: pointsman switchover moves it`;
    if (kept.lastPrimary === null) return 'nobody has been the primary yet';
    return kept.lastPrimary === target ? `${target} is the one that was lost` : null;
  }
  if (view.primary === null) return 'there is no primary now';
  if (view.primary === target) return `${target} is the primary already`;
  if (acceptsWrites(view, now) === null)
    return `${view.primary} is in doubt now: it is not seen to take writes`;
  if (book !== 'switchover' || target === null) return null;
  if (kept.barred.includes(target)) {
    return `${target} gave its role away by a runbook: pointsman failback gives it back`;
  }
  const health = view.servers.find(({ name }) => name === target)?.health.kind;
  return health === 'up' ? null : `${target} is ${health ?? 'unknown'}`;
}

function unfitTarget(target: string, { servers, name }: BackendView): string | null {
  const server = servers.find(each => each.name === target);
  if (server === undefined) return `there is no server ${JSON.stringify(target)} in ${name}`;
  return server.admin === 'ready' ? null : `${target} is in ${server.admin}`;
}
