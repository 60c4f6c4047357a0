// Whether `on_primary_lost` may begin by itself: the loss must have lasted, nobody may see the primary still, and runs must
// not follow each other too fast. Pure. Asked by runner.ts at every change and when time has passed.

import { type RunbookConfig } from '../config/schema.ts';
import { isSameAddress } from '../core/address.ts';
import { readHostPort } from '../config/units.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { factsOf } from '../health/result.ts';
import { addressesOf, isFresh, type BackendView, type ServerView } from '../topology/model.ts';
import { isNamed } from '../topology/opinion.ts';
import { type Kept } from './model.ts';

export interface Loss {
  readonly server: string;
  readonly since: MonotonicMs;
}

/** The primary that was lost: it was one, nobody is one now, and it is down. In maintenance it was taken out on purpose. */
export function lossOf(view: BackendView, lastPrimary: string | null): Loss | null {
  if (view.primary !== null || lastPrimary === null) return null;
  const server = view.servers.find(({ name }) => name === lastPrimary);
  if (server === undefined || server.health.kind !== 'down' || server.admin === 'maintenance') return null;
  return { server: lastPrimary, since: server.health.since };
}

/** What others who were asked about the loss have said last. */
export type SecondOpinion =
  { readonly kind: 'lost' | 'alive' | 'unknown'; readonly words: string } | { readonly kind: 'none' };

export type Leave =
  | { readonly kind: 'go' }
  /** `againMs`: when to look again; `null`: at the next change. */
  | { readonly kind: 'wait'; readonly why: string; readonly againMs: number | null };

const DAY_MS = 86_400_000;
const AGAIN_MS = 500;

export function leaveFor(
  loss: Loss,
  view: BackendView,
  config: RunbookConfig,
  { starts, last }: Pick<Kept, 'starts' | 'last'>,
  others: readonly SecondOpinion[],
  now: { readonly at: MonotonicMs; readonly wall: number },
): Leave {
  const wait = (why: string, againMs: number | null = AGAIN_MS): Leave => ({ kind: 'wait', why, againMs });
  // The epoch grows with every change of the primary: it is the same loss.
  if (last !== null && last.book === 'on_primary_lost' && last.epoch === view.epoch) {
    return wait(`the run for this loss was ${last.outcome}: pointsman runbook start begins another`, null);
  }
  const lastedMs = now.at - loss.since;
  if (lastedMs < config.lostForMs) {
    const seconds = config.lostForMs / 1000;
    return wait(`${loss.server} must be down for ${seconds} s (lost_for)`, config.lostForMs - lastedMs);
  }
  const target = view.servers.find(({ name }) => name === config.onPrimaryLost?.activate);
  if (target === undefined) return wait(`${config.onPrimaryLost?.activate ?? '?'} is no member now`);
  if (target.admin !== 'ready') return wait(`${target.name} is in ${target.admin}`);
  const still = stillSeen(loss, view, config, now.at);
  if (still !== null) return wait(still);
  const told = others.filter(other => other.kind !== 'none');
  const contradiction = told.find(({ kind }) => kind === 'alive');
  if (contradiction !== undefined) return wait(contradiction.words);
  if (told.length > 0 && !told.some(({ kind }) => kind === 'lost')) {
    return wait(
      `nobody else confirms that ${loss.server} is lost: ${told.map(({ words }) => words).join('; ')}`,
    );
  }
  return paced(config, starts, now.wall) ?? { kind: 'go' };
}

/** Who of the servers and those who are asked beside them still sees the primary, as a sentence. */
function stillSeen(
  { server: lost }: Loss,
  view: BackendView,
  config: RunbookConfig,
  now: MonotonicMs,
): string | null {
  const { servers, opinion, freshnessMs } = view;
  const server = servers.find(({ name }) => name === lost);
  if (server === undefined) return null;
  if (opinion !== null && !opinion.passive && isNamed(opinion, server, servers)) {
    return `not confirmed: ${opinion.words}`;
  }
  if (!config.confirm.replicas) return null;
  const hears = servers.find(
    other => other.name !== lost && isFresh(other.result, now, freshnessMs) && follows(other, server),
  );
  return hears === undefined ? null : `not confirmed: ${hears.name} still receives from ${lost}`;
}

function follows({ result }: ServerView, primary: ServerView): boolean {
  const facts = factsOf(result);
  if (facts === null) return false;
  const isIt = (source: string | null): boolean => {
    const read = readHostPort(source ?? '');
    return read.ok && addressesOf(primary).some(address => isSameAddress(address, read.value));
  };
  if (facts.channels.some(({ receiving, source }) => receiving === 'yes' && isIt(source))) return true;
  return facts.role === 'replica' && facts.replicating === true && isIt(facts.upstream);
}

function paced(
  { minIntervalMs, maxPerDay }: RunbookConfig,
  starts: readonly number[],
  wall: number,
): Leave | null {
  const recent = starts.filter(at => wall - at < DAY_MS);
  const last = recent.at(-1);
  if (last !== undefined && wall - last < minIntervalMs) {
    const againMs = minIntervalMs - Math.max(0, wall - last);
    return { kind: 'wait', why: `the last run began ${ago(wall - last)} ago (min_interval)`, againMs };
  }
  const first = recent[0];
  if (first === undefined || recent.length < maxPerDay) return null;
  const why = `${recent.length} runs in 24 hours are enough (max_per_day): pointsman runbook start begins another`;
  return { kind: 'wait', why, againMs: Math.max(AGAIN_MS, DAY_MS - (wall - first)) };
}

const ago = (ms: number): string => {
  const seconds = Math.max(0, Math.round(ms / 1000));
  return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
};
