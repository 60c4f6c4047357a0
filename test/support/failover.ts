// One failover of a running pair, measured from outside: writers and newcomers at work, the primary killed or frozen,
// the standby promoted, and what everybody saw. The failover tests assert on the outcome; bench/failover reports it.

import assert from 'node:assert/strict';
import { type Address } from '../../src/core/address.ts';
import { type LedgerWriter, type WriterError } from '../../src/cli/demo/ledger-writer.ts';
import { type IncidentJson } from './pointsman.ts';
import { Newcomers, startWriters, whenWritable, type Pair, type Servers } from './pair.ts';
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

/** What can be seen from outside, whatever proxy it is. */
export interface FailoverFigures {
  /** Milliseconds since the epoch. */
  readonly faultAtWall: number;
  /** From the fault to the last writer's session broken; `null` if one never broke. */
  readonly sessionsEndedMs: number | null;
  /** From the moment the promoted node takes writes to the first acknowledged write through the proxy. */
  readonly overheadMs: number;
  /** From the same moment to the first answer that a newcomer got; `null` if none did. */
  readonly newcomerOverheadMs: number | null;
  readonly acknowledged: number;
  readonly brokenConnections: number;
  readonly refusedConnections: number;
  /** Statements through the primary port that a server answered with 25006. */
  readonly readOnlyAnswers: number;
  readonly newcomersServed: number;
  /** Of newcomers who came after the fault was done: they should only have to wait. */
  readonly newcomerErrors: readonly string[];
  /** Newcomers, answered or not, whose connection nobody ended when all was over. */
  readonly newcomersHung: number;
  readonly lost: number;
}

/** With what Pointsman itself put on record. */
export interface FailoverOutcome extends FailoverFigures {
  /** From the fault to the first bad sign on record, and to the primary being given up. */
  readonly noticedMs: number;
  readonly givenUpMs: number;
  readonly incident: IncidentJson;
}

const SETTLE_MS = 500;
const DETECTION_MAX_MS = 5000;
const PROMOTION_MAX_MS = 15_000;
const STOP_MAX_MS = 10_000;

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
  const target = servers.target(port);
  const writers = startWriters(target, plan.writers);
  let newcomers: Newcomers | undefined;
  try {
    await until('every writer to write', () => writers.every(writer => writer.acknowledged.length > 5));
    newcomers = new Newcomers(target);
    await sleep(plan.warmUpMs);
    return await failOver(servers, writers, newcomers, plan);
  } catch (thrown) {
    // Not waited for: a connection that hangs ends only with the proxy, whose owner ends it next.
    void newcomers?.stop();
    for (const writer of writers) void writer.stop();
    throw thrown;
  }
}

async function failOver(
  { pg1, pg2, target }: Servers,
  writers: readonly LedgerWriter[],
  newcomers: Newcomers,
  plan: FailoverPlan,
): Promise<FailoverFigures> {
  const writable = whenWritable(pg2, target({ host: '127.0.0.1', port: pg2.port }));
  writable.catch(() => undefined); // awaited below; until then a failure of another step is the one to report
  const faultAtWall = Date.now();
  const faultAt = performance.now();
  if (plan.how === 'kill') await pg1.kill();
  else pg1.freeze();
  const faultDoneAt = performance.now();
  if (plan.afterDetection) await sessionsEnded(writers, faultAt);
  else await sleep(plan.promoteAfterMs);
  await within('the standby to be promoted', PROMOTION_MAX_MS, pg2.promote());
  const writableAt = await writable;
  const firstAck = await until('a write after the failover', () =>
    firstAfter(
      writers.map(w => w.acknowledged),
      faultAt,
      pg2IsNew(writableAt),
    ),
  );
  await until('every writer to write again', () =>
    writers.every(w => (w.acknowledged.at(-1)?.at ?? 0) > writableAt),
  );
  await sleep(SETTLE_MS);
  const newcomersHung = await within('the newcomers to leave', STOP_MAX_MS, newcomers.stop());
  await within('the writers to stop', STOP_MAX_MS, Promise.all(writers.map(writer => writer.stop())));

  const rows = await pg2.query('SELECT writer, seq::int AS seq FROM ledger');
  const present = new Set(rows.map(row => `${String(row['writer'])}/${String(row['seq'])}`));
  const lost = writers.flatMap((w, index) =>
    w.acknowledged.filter(({ seq }) => !present.has(`${index + 1}/${seq}`)),
  );
  const errors = writers.flatMap(writer => writer.errors);
  const count = (test: (error: WriterError) => boolean): number => errors.filter(test).length;
  const endedAt = lastSessionEnd(writers, faultAt);
  const newcomerAt = newcomers.servedAt.find(at => at >= pg2IsNew(writableAt));
  return {
    faultAtWall,
    sessionsEndedMs: endedAt === null ? null : endedAt - faultAt,
    overheadMs: firstAck - writableAt,
    newcomerOverheadMs: newcomerAt === undefined ? null : newcomerAt - writableAt,
    acknowledged: writers.reduce((sum, writer) => sum + writer.acknowledged.length, 0),
    brokenConnections: count(({ during }) => during === 'write'),
    refusedConnections: count(({ during }) => during === 'connect'),
    readOnlyAnswers: count(({ code }) => code === '25006'),
    newcomersServed: newcomers.served,
    newcomerErrors: newcomers.errors.filter(({ cameAt }) => cameAt > faultDoneAt).map(({ error }) => error),
    newcomersHung,
    lost: lost.length,
  };
}

/** When the last of the writers lost the session it had at the fault; `null` while one still has it. */
function lastSessionEnd(writers: readonly LedgerWriter[], faultAt: number): number | null {
  const ends = writers.map(({ errors }) => errors.find(({ at }) => at >= faultAt)?.at ?? Infinity);
  const last = Math.max(...ends);
  return last === Infinity ? null : last;
}

async function sessionsEnded(writers: readonly LedgerWriter[], faultAt: number): Promise<void> {
  const ended = (): boolean => lastSessionEnd(writers, faultAt) !== null;
  while (!ended() && performance.now() - faultAt < DETECTION_MAX_MS) await sleep(10);
}

/** An acknowledgement that can only be the new primary's: the node was seen writable at most one question (5 ms) late. */
const pg2IsNew = (writableAt: number): number => writableAt - 10;

function firstAfter(
  acknowledged: readonly (readonly { at: number }[])[],
  faultAt: number,
  notBefore: number,
): number | undefined {
  const after = acknowledged.flatMap(acks =>
    acks.filter(({ at }) => at > faultAt && at >= notBefore).map(({ at }) => at),
  );
  return after.length === 0 ? undefined : Math.min(...after);
}
