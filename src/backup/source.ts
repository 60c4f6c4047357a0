// Which server a backup is taken from now, by what the topology knows: the proven primary, or a replica that is not too far
// behind. None is better than a wrong one: then it says why. Pure; called by run.ts.

import { type MonotonicMs } from '../core/clock.ts';
import { factsOf } from '../health/result.ts';
import { acceptsWrites, eligible, type Eligibility } from '../topology/eligibility.ts';
import { type BackendView, type ServerView } from '../topology/model.ts';
import { formatAge } from './words.ts';

export interface SourceWish {
  /** `primary`, `replica`, `replica-or-primary`, or the name of a server. */
  readonly server: string;
  /** A replica further behind, or of unknown lag, is no source. */
  readonly maxLagMs: number;
}

export type Source =
  | { readonly server: ServerView; readonly lagMs: number; readonly position: string | null }
  | { readonly refused: string };

export function chooseSource(view: BackendView, wish: SourceWish, now: MonotonicMs): Source {
  const primary = acceptsWrites(view, now);
  const replicas = leastLag(
    eligible(view, now, replicaRoute).filter(server => isNear(server, wish.maxLagMs)),
  );
  const within = `within ${formatAge(wish.maxLagMs)} of its primary`;
  switch (wish.server) {
    case 'primary':
      return primary === null
        ? { refused: `${view.name} has no primary that takes writes now` }
        : from(primary);
    case 'replica':
      return replicas === null ? { refused: `${view.name} has no replica ${within} now` } : from(replicas);
    case 'replica-or-primary': {
      const source = replicas ?? primary;
      return source === null
        ? { refused: `${view.name} has neither a primary that takes writes nor a replica ${within} now` }
        : from(source);
    }
    default:
      return fromNamed(view, wish, now);
  }
}

function fromNamed(view: BackendView, { server: name, maxLagMs }: SourceWish, now: MonotonicMs): Source {
  const server = eligible(view, now, anyRoute).find(one => one.name === name);
  if (server === undefined) return { refused: `${view.name}/${name} serves nobody now` };
  if (factsOf(server.result)?.role !== 'replica') return from(server);
  return isNear(server, maxLagMs)
    ? from(server)
    : { refused: `${view.name}/${name} is further behind than ${formatAge(maxLagMs)}` };
}

const replicaRoute: Eligibility = { route: 'replica', limits: [], synchronousOnly: false };
const anyRoute: Eligibility = { ...replicaRoute, route: 'any' };

/** Of a replica: it replicates, and is known to be no further behind. */
function isNear({ result }: ServerView, maxLagMs: number): boolean {
  const facts = factsOf(result);
  return facts?.replicating === true && facts.lagSeconds !== null && facts.lagSeconds * 1000 <= maxLagMs;
}

function from(server: ServerView): Source {
  const facts = factsOf(server.result);
  const lagMs = facts?.role === 'replica' ? (facts.lagSeconds ?? 0) * 1000 : 0;
  return { server, lagMs, position: facts?.position ?? null };
}

function leastLag(servers: readonly ServerView[]): ServerView | null {
  const lag = ({ result }: ServerView): number => factsOf(result)?.lagSeconds ?? Infinity;
  return servers.toSorted((one, other) => lag(one) - lag(other))[0] ?? null;
}
