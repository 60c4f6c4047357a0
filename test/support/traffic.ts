// Applications on one port from before a fault until all is over: writers with ledgers, and newcomers; and what they saw of
// it, in figures. Not the fault itself (failover.ts and the scenarios make it). Used by these and by bench/failover.

import { type LedgerWriter, type WriterError, type WriterTarget } from '../../src/cli/demo/ledger-writer.ts';
import { Newcomers, startWriters } from './pair.ts';
import { until, within } from './wait.ts';

/** What can be seen from outside, whatever proxy it is. */
export interface FailoverFigures {
  /** Milliseconds since the epoch. */
  readonly faultAtWall: number;
  /** From the fault to the last writer's session broken; `null` if one never broke. */
  readonly sessionsEndedMs: number | null;
  /** From the moment the promoted node takes writes to the first acknowledged write through the proxy; below 0: it was before. */
  readonly overheadMs: number;
  /** From the same moment to the first answer that a newcomer got; `null` if none did. */
  readonly newcomerOverheadMs: number | null;
  readonly acknowledged: number;
  readonly brokenConnections: number;
  readonly refusedConnections: number;
  /** Of these, those whom a server itself refused, as one does that is shutting down and is not yet known to be. */
  readonly refusedByServers: number;
  /** Statements through the primary port that a server answered with 25006. */
  readonly readOnlyAnswers: number;
  readonly newcomersServed: number;
  /** Of newcomers who came after the fault was done: they should only have to wait. */
  readonly newcomerErrors: readonly string[];
  /** Newcomers, answered or not, whose connection nobody ended when all was over. */
  readonly newcomersHung: number;
  readonly lost: number;
}

/** When a fault began and when it was done: moments of `performance.now()`, and of the wall clock. */
export interface Fault {
  readonly at: number;
  readonly doneAt: number;
  readonly atWall: number;
}

/** When the new primary took writes, on the clock of `performance.now()`. */
export interface Takeover {
  /** It said that it does: neither in recovery nor read-only. */
  readonly saidAt: number;
  /** A write straight to it was committed: where it waits for a standby that isn't there yet, that is later. */
  readonly wroteAt: number;
}

type Query = (sql: string) => Promise<readonly Record<string, unknown>[]>;

const STOP_MAX_MS = 40_000;

export class Traffic {
  readonly writers: readonly LedgerWriter[];
  readonly #first: number;
  readonly #newcomers: Newcomers;

  private constructor(writers: readonly LedgerWriter[], first: number, newcomers: Newcomers) {
    this.writers = writers;
    this.#first = first;
    this.#newcomers = newcomers;
  }

  /** Resolves when all writers write. `first`: the number of the first of them, where the ledger knows others already. */
  static async start(
    target: WriterTarget,
    { writers: count, first = 1 }: { writers: number; first?: number },
  ): Promise<Traffic> {
    const writers = startWriters(target, count, first);
    try {
      await until('every writer to write', () => writers.every(writer => writer.acknowledged.length > 5));
    } catch (thrown) {
      for (const writer of writers) void writer.stop();
      throw thrown;
    }
    return new Traffic(writers, first, new Newcomers(target));
  }

  /** When the last of the writers lost the session it had at the fault; `null` while one still has it. */
  lastSessionEnd({ at: faultAt }: Pick<Fault, 'at'>): number | null {
    const ends = this.writers.map(({ errors }) => errors.find(({ at }) => at >= faultAt)?.at ?? Infinity);
    const last = Math.max(...ends);
    return last === Infinity ? null : last;
  }

  /** The first write that only the new primary can have acknowledged; waits for it, and until every writer writes again. */
  async firstWriteAfter({ at: faultAt }: Pick<Fault, 'at'>, { saidAt, wroteAt }: Takeover): Promise<number> {
    const first = await until('a write after the failover', () => {
      const after = this.writers.flatMap(({ acknowledged }) =>
        acknowledged.filter(({ at }) => at > faultAt && at >= isNew(saidAt)).map(({ at }) => at),
      );
      return after.length > 0 && Math.min(...after);
    });
    await until('every writer to write again', () =>
      this.writers.every(({ acknowledged }) => (acknowledged.at(-1)?.at ?? 0) > wroteAt),
    );
    return first;
  }

  /** Lets everybody finish and counts; `query` asks the present primary. */
  async end(fault: Fault, takeover: Takeover, query: Query): Promise<FailoverFigures> {
    const { saidAt, wroteAt } = takeover;
    const firstAck = await this.firstWriteAfter(fault, takeover);
    const newcomers = this.#newcomers;
    const newcomersHung = await within('the newcomers to leave', STOP_MAX_MS, newcomers.stop());
    const stopping = Promise.all(this.writers.map(writer => writer.stop()));
    await within('the writers to stop', STOP_MAX_MS, stopping);
    const endedAt = this.lastSessionEnd(fault);
    const newcomerAt = newcomers.servedAt.find(at => at >= isNew(saidAt));
    const errors = this.writers.flatMap(writer => writer.errors);
    const count = (test: (error: WriterError) => boolean): number => errors.filter(test).length;
    return {
      faultAtWall: fault.atWall,
      sessionsEndedMs: endedAt === null ? null : endedAt - fault.at,
      overheadMs: firstAck - wroteAt,
      newcomerOverheadMs: newcomerAt === undefined ? null : newcomerAt - saidAt,
      acknowledged: this.writers.reduce((sum, writer) => sum + writer.acknowledged.length, 0),
      brokenConnections: count(({ during }) => during === 'write'),
      refusedConnections: count(({ during }) => during === 'connect'),
      refusedByServers: count(
        ({ during, message }) => during === 'connect' && message.startsWith('the database system is '),
      ),
      readOnlyAnswers: count(({ code }) => code === '25006'),
      newcomersServed: newcomers.served,
      newcomerErrors: newcomers.errors
        .filter(({ cameAt }) => cameAt > fault.doneAt)
        .map(({ error }) => error),
      newcomersHung,
      lost: await this.#lost(query),
    };
  }

  /** After a failure of something else. Not waited for: a connection that hangs ends only with the proxy. */
  abandon(): void {
    void this.#newcomers.stop();
    for (const writer of this.writers) void writer.stop();
  }

  async #lost(query: Query): Promise<number> {
    const rows = await query('SELECT writer, seq::int AS seq FROM ledger');
    const present = new Set(rows.map(row => `${String(row['writer'])}/${String(row['seq'])}`));
    const lost = this.writers.flatMap(({ acknowledged }, index) =>
      acknowledged.filter(({ seq }) => !present.has(`${this.#first + index}/${seq}`)),
    );
    return lost.length;
  }
}

/** An acknowledgement that can only be the new primary's: the node was seen writable at most one question (5 ms) late. */
const isNew = (saidAt: number): number => saidAt - 10;
