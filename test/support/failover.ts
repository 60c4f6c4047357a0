// One failover of a running pair, measured from outside: writers and newcomers at work, the primary killed or frozen,
// the standby promoted, and what everybody saw. The failover tests assert on the outcome; bench/failover reports it.

import assert from 'node:assert/strict';
import { type Address } from '../../src/core/address.ts';
import { pace } from './pace.ts';
import { type IncidentJson } from './pointsman.ts';
import { whenWritable, type Pair, type Servers } from './pair.ts';
import { Traffic, type FailoverFigures, type Fault } from './traffic.ts';
import { sleep, until, within } from './wait.ts';

export interface FailoverPlan {
  readonly how: 'kill' | 'freeze';
  readonly writers: number;
  /** Writing before the fault, and from the fault to the promotion. */
  readonly warmUpMs: number;
  readonly promoteAfterMs: number;
  /**
   * Promote only once the proxy has ended every writer's session to the primary, or after 5 s: a freeze is noticed
   * later than a kill, and no proxy is to gain or lose by that in its overhead.
   */
  readonly afterDetection: boolean;
}

/** With what Pointsman itself put on record. */
export interface FailoverOutcome extends FailoverFigures {
  /** From the fault to the first bad sign on record, and to the primary being given up. */
  readonly noticedMs: number;
  readonly givenUpMs: number;
  readonly incident: IncidentJson;
}

const SETTLE_MS = 500;
const DETECTION_MAX_MS = 5000 * pace;
const PROMOTION_MAX_MS = 15_000;

export async function performFailover(pair: Pair, plan: FailoverPlan): Promise<FailoverOutcome> {
  const figures = await measureFailover(pair, pair.port, plan);
  assert.equal(figures.newcomersHung, 0, 'nobody is left hanging');
  const incident = await until('the incident to be closed', async () =>
    (await pair.pointsman.incidents()).find(({ outcome }) => outcome === 'failover'),
  );
  const noticedMs = Date.parse(incident.started_at) - figures.faultAtWall;
  return { ...figures, noticedMs, givenUpMs: noticedMs + incident.detected_ms, incident };
}

/** The failover itself, seen through whatever proxy listens on `port`. */
export async function measureFailover(
  servers: Servers,
  port: Address,
  plan: FailoverPlan,
): Promise<FailoverFigures> {
  const traffic = await Traffic.start(servers.target(port), plan);
  try {
    await sleep(plan.warmUpMs);
    return await failOver(servers, traffic, plan);
  } catch (thrown) {
    traffic.abandon();
    throw thrown;
  }
}

async function failOver(
  { pg1, pg2, target }: Servers,
  traffic: Traffic,
  plan: FailoverPlan,
): Promise<FailoverFigures> {
  const writable = whenWritable(pg2, target({ host: '127.0.0.1', port: pg2.port }));
  writable.catch(() => undefined); // awaited below; until then a failure of another step is the one to report
  const atWall = Date.now();
  const at = performance.now();
  if (plan.how === 'kill') await pg1.kill();
  else pg1.freeze();
  const fault = { at, atWall, doneAt: performance.now() };
  if (plan.afterDetection) await sessionsEnded(traffic, fault);
  else await sleep(plan.promoteAfterMs);
  await within('the standby to be promoted', PROMOTION_MAX_MS, pg2.promote());
  const saidAt = await writable;
  const takeover = { saidAt, wroteAt: saidAt }; // nothing keeps a write waiting here
  await traffic.firstWriteAfter(fault, takeover);
  await sleep(SETTLE_MS);
  return traffic.end(fault, takeover, sql => pg2.query(sql));
}

async function sessionsEnded(traffic: Traffic, fault: Fault): Promise<void> {
  const ended = (): boolean => traffic.lastSessionEnd(fault) !== null;
  while (!ended() && performance.now() - fault.at < DETECTION_MAX_MS) await sleep(10);
}
