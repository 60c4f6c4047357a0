// One failover of a running pair, measured from outside: writers and newcomers at work, the primary killed or frozen,
// the standby promoted, and what everybody saw. The failover tests assert on the outcome; bench/failover reports it.

import { type WriterError } from '../../src/cli/demo/ledger-writer.ts';
import { type IncidentJson } from './pointsman.ts';
import { Newcomers, startWriters, whenWritable, type Pair } from './pair.ts';
import { sleep, until } from './wait.ts';

export interface FailoverPlan {
  readonly how: 'kill' | 'freeze';
  readonly writers: number;
  /** Writing before the fault, and from the fault to the promotion. */
  readonly warmUpMs: number;
  readonly promoteAfterMs: number;
  /** Promote only once Pointsman has lost the primary: a freeze is noticed later than a kill. */
  readonly afterDetection: boolean;
}

export interface FailoverOutcome {
  /** From the fault to the first bad sign on record, and to the primary being given up. */
  readonly noticedMs: number;
  readonly givenUpMs: number;
  /** From the moment the promoted node takes writes to the first acknowledged write through the proxy. */
  readonly overheadMs: number;
  readonly acknowledged: number;
  readonly brokenConnections: number;
  readonly refusedConnections: number;
  /** Statements through the primary port that a server answered with 25006. */
  readonly readOnlyAnswers: number;
  readonly newcomersServed: number;
  /** Of newcomers who came after the fault was done: they should only have to wait. */
  readonly newcomerErrors: readonly string[];
  readonly lost: number;
  readonly incident: IncidentJson;
}

const SETTLE_MS = 500;

export async function performFailover(pair: Pair, plan: FailoverPlan): Promise<FailoverOutcome> {
  const { pg1, pg2, pointsman, target } = pair;
  const writers = startWriters(target(), plan.writers);
  await until('every writer to write', () => writers.every(writer => writer.acknowledged.length > 5));
  const newcomers = new Newcomers(target());
  await sleep(plan.warmUpMs);

  const writable = whenWritable(pg2, target());
  const faultWall = Date.now();
  const faultAt = performance.now();
  if (plan.how === 'kill') await pg1.kill();
  else pg1.freeze();
  const faultDoneAt = performance.now();
  if (plan.afterDetection) {
    await until(
      'Pointsman to give up pg1',
      async () => (await pointsman.state()).backends[0]?.primary === null,
    );
  } else await sleep(plan.promoteAfterMs);
  await pg2.promote();
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
  await newcomers.stop();
  await Promise.all(writers.map(writer => writer.stop()));

  const incident = await until('the incident to be closed', async () =>
    (await pointsman.incidents()).find(({ outcome }) => outcome === 'failover'),
  );
  const rows = await pg2.query('SELECT writer, seq::int AS seq FROM ledger');
  const present = new Set(rows.map(row => `${String(row['writer'])}/${String(row['seq'])}`));
  const lost = writers.flatMap((w, index) =>
    w.acknowledged.filter(({ seq }) => !present.has(`${index + 1}/${seq}`)),
  );
  const errors = writers.flatMap(writer => writer.errors);
  const count = (test: (error: WriterError) => boolean): number => errors.filter(test).length;
  const noticedMs = Date.parse(incident.started_at) - faultWall;
  return {
    noticedMs,
    givenUpMs: noticedMs + incident.detected_ms,
    overheadMs: firstAck - writableAt,
    acknowledged: writers.reduce((sum, writer) => sum + writer.acknowledged.length, 0),
    brokenConnections: count(({ during }) => during === 'write'),
    refusedConnections: count(({ during }) => during === 'connect'),
    readOnlyAnswers: count(({ code }) => code === '25006'),
    newcomersServed: newcomers.served,
    newcomerErrors: newcomers.errors.filter(({ cameAt }) => cameAt > faultDoneAt).map(({ error }) => error),
    lost: lost.length,
    incident,
  };
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
