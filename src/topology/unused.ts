// Why a server gets no readers of a frontend now, in words: the same rules as eligibility.ts, told one by one. Pure.
// Asked when somebody looks (API, console, metrics), never for a client.

import { type FrontendConfig } from '../config/schema.ts';
import { formatDuration, formatSize } from '../config/units.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { hasPassed, type ServerFacts } from '../health/result.ts';
import { eligible, eligibilityOf } from './eligibility.ts';
import { isFresh, type BackendView, type ServerView, type Standing } from './model.ts';
import { limitsOf, RETURN_SHARE } from './standing.ts';

export interface UnusedServer {
  readonly server: string;
  readonly why: string;
}

type Terms = Pick<FrontendConfig, 'route' | 'maxLagMs' | 'maxLagBytes' | 'synchronousOnly' | 'zone'>;

/** Of servers that readers could have, those that get none. A primary that merely stands in is no such server. */
export function unusedServers(terms: Terms, view: BackendView, now: MonotonicMs): readonly UnusedServer[] {
  if (terms.route === 'primary') return [];
  const used = eligible(view, now, eligibilityOf(terms));
  const isSpare = used.some(({ backup }) => !backup);
  const isNear = terms.zone !== null && used.some(({ zone, backup }) => zone === terms.zone && !backup);
  return view.servers.flatMap(server => {
    if (server.name === view.primary && terms.route !== 'any') return [];
    const why = used.includes(server)
      ? whyBehindOthers(server, isSpare, isNear ? terms.zone : null)
      : whyNot(server, terms, view, now);
    return why === null ? [] : [{ server: server.name, why }];
  });
}

/** `preferred`: the zone that has servers for everybody. */
function whyBehindOthers(
  { backup, zone }: ServerView,
  isSpare: boolean,
  preferred: string | null,
): string | null {
  if (backup) return isSpare ? 'a backup: used while no other is left' : null;
  if (preferred === null || zone === preferred) return null;
  return `in ${zone === null ? 'no zone' : `zone ${zone}`}: used while none of zone ${preferred} is left`;
}

function whyNot(server: ServerView, terms: Terms, view: BackendView, now: MonotonicMs): string {
  const { admin, health, result, standing } = server;
  if (admin !== 'ready') return `in ${admin} (operator)`;
  if (result === null) return 'not asked yet';
  if (health.kind !== 'up') return `${health.kind}: ${result.code}`;
  if (!hasPassed(result)) return `can’t be seen well: ${result.code}`;
  if (!isFresh(result, now, view.freshnessMs)) return 'not heard for too long';
  const { facts } = result;
  if (facts.role === 'primary') return 'says that it is a primary, and is not followed';
  if (facts.role === 'unknown') return 'answers without a role';
  const beyond = limitsOf(terms).filter(limit => standing.beyond.includes(limit));
  return beyond.length > 0 ? whyBeyond(facts, standing, terms) : whyNotSynchronous(standing);
}

function whyBeyond(facts: ServerFacts, standing: Standing, { maxLagMs, maxLagBytes }: Terms): string {
  if (facts.replicating !== true) return 'does not replicate';
  const { beyond, lagBytes } = standing;
  const reasons: string[] = [];
  if (maxLagMs !== null && beyond.includes(limitsOf({ maxLagMs, maxLagBytes: null })[0] ?? '')) {
    const lag = facts.lagSeconds === null ? 'how far behind is not known' : `${facts.lagSeconds} s behind`;
    const back = formatDuration(Math.round(maxLagMs * RETURN_SHARE));
    reasons.push(`${lag}: max_lag is ${formatDuration(maxLagMs)}, and the way back is at ${back}`);
  }
  if (maxLagBytes !== null && beyond.includes(limitsOf({ maxLagMs: null, maxLagBytes })[0] ?? '')) {
    const lag = lagBytes === null ? 'its distance in bytes is not known' : `${formatSize(lagBytes)} behind`;
    const back = formatSize(maxLagBytes * RETURN_SHARE);
    reasons.push(`${lag}: max_lag_bytes is ${formatSize(maxLagBytes)}, and the way back is at ${back}`);
  }
  return reasons.join('; ');
}

const synchronousWords: Readonly<Record<NonNullable<Standing['synchronous']>, string>> = {
  yes: 'synchronous',
  no: 'not synchronous: commits don’t wait for it',
  quorum: 'not known to be synchronous: commits wait for some of several, and for which of them nobody knows',
  hidden: 'not known to be synchronous: the probe user needs pg_monitor on each server',
  unknown: 'not known to be synchronous: there is no primary to tell',
};

const whyNotSynchronous = ({ synchronous }: Standing): string => synchronousWords[synchronous ?? 'unknown'];
