// Which sessions a change of the topology ends: the rule alone, from two views to routes and a reason. Pure.
// Carried out by proxy/failover.ts; explain.ts tells by it what would happen. Members that left are not its business:
// they are in no view any more.

import { type Route } from '../config/schema.ts';
import { type BackendView, type ServerView } from './model.ts';

/** Sessions to one server, of these routes (`null`: of all), end for this reason. */
export interface Closing {
  readonly reason: 'server-down' | 'maintenance' | 'promotion' | 'demotion';
  readonly routes: readonly Route[] | null;
}

const serverDown: readonly Closing[] = [{ reason: 'server-down', routes: null }];
const maintenance: readonly Closing[] = [{ reason: 'maintenance', routes: null }];
const promotion: readonly Closing[] = [{ reason: 'promotion', routes: ['replica'] }];
const demotion: readonly Closing[] = [{ reason: 'demotion', routes: null }];
/** Of whoever isn't the primary: nobody who came for the primary may be there. */
const misled: readonly Closing[] = [{ reason: 'demotion', routes: ['primary'] }];

/**
 * An old primary loses all sessions, whatever route they came by: one that goes on writing must not be written to through an
 * `any` port either.
 */
export function closingsAt(
  { name, health, admin }: ServerView,
  before: Pick<BackendView, 'primary'>,
  after: Pick<BackendView, 'primary'>,
): readonly Closing[] {
  if (health.kind === 'down') return serverDown;
  if (admin === 'maintenance') return maintenance;
  if (name === after.primary) return promotion;
  return name === before.primary ? demotion : misled;
}
