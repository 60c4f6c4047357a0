// A Patroni cluster with two Pointsmen in front, one that is told the servers and one that learns them from Patroni, and
// what applications see through both while something is done to the cluster: writers, newcomers and readers at work.

import { Client } from 'pg';
import { formatAddress } from '../../src/core/address.ts';
import { LedgerWriter, type WriterError } from '../../src/cli/demo/ledger-writer.ts';
import { systemClock } from '../../src/core/clock.ts';
import { Newcomers } from './pair.ts';
import { startPatroniCluster, type PatroniCluster } from './patroni-cluster.ts';
import { type PatroniNode } from './patroni-node.ts';
import { runPointsman, type PointsmanProcess } from './pointsman.ts';
import { sleep, until, within } from './wait.ts';

/** Through each of the two. */
export const WRITERS = 3;
const NEWCOMER_EVERY_MS = 100;
const STOP_MAX_MS = 40_000;
/** A visit that began so shortly before the return may end after it. */
const RETURN_MARGIN_MS = 200;

export interface Stage {
  readonly cluster: PatroniCluster;
  /** Told the servers; on node:net. */
  readonly told: PointsmanProcess;
  /** Learns them; on the kernel driver, with two workers. */
  readonly learned: PointsmanProcess;
  readonly both: readonly PointsmanProcess[];
  dispose(): Promise<void>;
}

export async function startStage(): Promise<Stage> {
  const cluster = await startPatroniCluster({ settings: { max_connections: 400 } });
  const both: PointsmanProcess[] = [];
  const dispose = async (): Promise<void> => {
    await Promise.all(both.map(run => run.stop()));
    await cluster.dispose();
  };
  try {
    const { nodes } = cluster;
    const servers = Object.fromEntries(nodes.map(({ name, address }) => [name, formatAddress(address)]));
    const told = await runPointsman({ engine: { driver: 'net' }, ...configOf(cluster, { servers }) });
    both.push(told);
    const learned = await runPointsman({
      engine: { driver: 'kernel', workers: 2 },
      ...configOf(cluster, {}),
    });
    both.push(learned);
    const stage = { cluster, told, learned, both, dispose };
    const { leader } = await cluster.settled();
    await known(stage, leader);
    return stage;
  } catch (thrown) {
    await dispose();
    throw thrown;
  }
}

const configOf = ({ nodes, password }: PatroniCluster, servers: object): object => ({
  frontends: {
    rw: { bind: '127.0.0.1:0', backend: 'app', route: 'primary' },
    ro: { bind: '127.0.0.1:0', backend: 'app', route: 'replica-or-primary' },
  },
  backends: {
    app: {
      protocol: 'postgres',
      patroni: { addresses: nodes.map(({ rest }) => formatAddress(rest)) },
      check: { user: 'postgres', password },
      ...servers,
    },
  },
});

/** Waits until both have elected the leader, and see everybody else replicate from it. */
export async function known({ cluster, both }: Stage, leader: PatroniNode): Promise<void> {
  for (const run of both) {
    await until(`${leader.name} to be known as the primary, with its replicas`, async () => {
      const [app] = (await run.state()).backends;
      const primary = app?.servers.find(({ name }) => name === app.primary);
      const replicas = app?.servers.filter(({ replicating }) => replicating === true) ?? [];
      return (
        primary?.address === formatAddress(leader.address) && replicas.length === cluster.nodes.length - 1
      );
    });
  }
}

export interface Seen {
  readonly acknowledged: number;
  /** Acknowledged, and not in the database at the end. */
  readonly lost: number;
  readonly broken: readonly WriterError[];
  /** Writers who connected once the fault was done. */
  readonly refused: readonly WriterError[];
  /** Writers who reconnected to the dying primary before either of the two could know, and whom it refused itself. */
  readonly refusedByTheDying: readonly WriterError[];
  /** Statements through the primary port that were answered with 25006. */
  readonly readOnlyAnswers: number;
  /** Of those who came once the fault was done: they should only have to wait. */
  readonly newcomerErrors: readonly string[];
  /** The same, up to the return of the old primary. */
  readonly readerErrors: readonly string[];
  /** As `PORT primary` or `PORT replica`. */
  readonly newcomersReached: readonly string[];
  readonly readersReached: readonly string[];
  /** Nobody ended their connections. */
  readonly hung: number;
  /** From the moment the new primary took writes, as it said itself, to the first acknowledged write through each of the two. */
  readonly overheadsMs: readonly number[];
  readonly longestGapMs: number;
}

interface Scene {
  /** From now on whoever connects should only have to wait. */
  faultDone(): void;
  /** Waits until both have given their primary up, and then the fault is done. */
  givenUp(): Promise<void>;
  /** The old primary is about to return. Patroni starts it more than once until it fits, so who reads there may be cut. */
  returning(): void;
  /** Watches until the node takes writes. */
  willWrite(node: PatroniNode): Promise<void>;
  /** Waits until every writer has had a write acknowledged since now. */
  everybodyWrites(): Promise<void>;
  /** Acknowledged so far, by all. */
  acknowledged(): number;
}

let writersSoFar = 0;

/** Lets applications work through both while `act` runs; all of them have written before it and are stopped after it. */
export async function whileWorking(stage: Stage, act: (scene: Scene) => Promise<void>): Promise<Seen> {
  const { cluster, both } = stage;
  const targets = both.map(run => ({
    rw: cluster.target(run.frontend('rw')),
    ro: cluster.target(run.frontend('ro')),
  }));
  const crews = targets.map(({ rw }) =>
    Array.from({ length: WRITERS }, () => {
      writersSoFar += 1;
      return { id: writersSoFar, writer: new LedgerWriter(rw, writersSoFar, systemClock) };
    }),
  );
  const crew = crews.flat();
  const writers = crew.map(({ writer }) => writer);
  writers.forEach(writer => writer.start());
  const newcomers = targets.map(({ rw }) => new Newcomers(rw, NEWCOMER_EVERY_MS));
  const readers = targets.map(({ ro }) => new Newcomers(ro, NEWCOMER_EVERY_MS));
  const leave = (): Promise<number[]> => Promise.all([...newcomers, ...readers].map(visits => visits.stop()));
  let faultAt = Infinity;
  let returnsAt = Infinity;
  let writableAt: number | null = null;
  const allSince = async (since: number): Promise<void> => {
    await until('every writer to write', () => writers.every(w => (w.acknowledged.at(-1)?.at ?? 0) > since));
  };
  const scene: Scene = {
    faultDone: () => void (faultAt = Math.min(faultAt, performance.now())),
    returning: () => void (returnsAt = Math.min(returnsAt, performance.now())),
    async givenUp() {
      await until('both to give their primary up', async () => {
        const states = await Promise.all(both.map(run => run.state()));
        return states.every(({ backends }) => backends[0]?.primary === null);
      });
      scene.faultDone();
    },
    async willWrite(node) {
      writableAt = await whenItWrites(stage, node);
    },
    everybodyWrites: () => allSince(performance.now()),
    acknowledged: () => writers.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0),
  };
  try {
    await allSince(performance.now());
    await until('newcomers and readers', () => [...newcomers, ...readers].every(({ served }) => served > 2));
    await act(scene);
    await scene.everybodyWrites();
  } catch (thrown) {
    // Not waited for: what hangs ends only with the proxy, whose owner ends it next.
    void leave();
    for (const writer of writers) void writer.stop();
    throw thrown;
  }
  const hung = (await within('newcomers to leave', STOP_MAX_MS, leave())).reduce((sum, n) => sum + n, 0);
  await within('the writers to stop', STOP_MAX_MS, Promise.all(writers.map(writer => writer.stop())));
  const { leader } = await cluster.settled();
  const rows = await leader.query<{ writer: number; seq: string }>('SELECT writer, seq FROM ledger');
  const present = new Set(rows.map(({ writer, seq }) => `${writer}/${seq}`));
  const lost = crew.flatMap(({ id, writer }) =>
    writer.acknowledged.filter(({ seq }) => !present.has(`${id}/${seq}`)),
  );
  const errors = writers.flatMap(writer => writer.errors);
  const between = (from: number, to: number, visits: readonly Newcomers[]): string[] =>
    visits.flatMap(({ errors: all }) =>
      all.filter(({ cameAt }) => cameAt > from && cameAt < to).map(({ error }) => error),
    );
  const reached = (visits: readonly Newcomers[]): string[] => [
    ...new Set(visits.flatMap(v => [...v.reached])),
  ];
  return {
    acknowledged: scene.acknowledged(),
    lost: lost.length,
    broken: errors.filter(({ during }) => during === 'write'),
    refused: errors.filter(({ during, at }) => during === 'connect' && at > faultAt),
    refusedByTheDying: errors.filter(({ during, at }) => during === 'connect' && at <= faultAt),
    readOnlyAnswers: errors.filter(({ code }) => code === '25006').length,
    newcomerErrors: between(faultAt, Infinity, newcomers),
    readerErrors: between(faultAt, returnsAt - RETURN_MARGIN_MS, readers),
    newcomersReached: reached(newcomers),
    readersReached: reached(readers),
    hung,
    overheadsMs: writableAt === null ? [] : crews.map(members => overhead(members, writableAt ?? 0)),
    longestGapMs: Math.max(...writers.map(writer => writer.longestGap().ms)),
  };
}

/** It was seen to take writes at most one question (5 ms) late. */
function overhead(crew: readonly { readonly writer: LedgerWriter }[], writableAt: number): number {
  const acks = crew.flatMap(({ writer }) => writer.acknowledged.map(({ at }) => at));
  return Math.min(...acks.filter(at => at > writableAt - 10)) - writableAt;
}

/** Asks the node itself every 5 ms, over a session of its own, which it keeps through a promotion. */
async function whenItWrites({ cluster }: Stage, node: PatroniNode): Promise<number> {
  const client = new Client(cluster.target(node.address));
  client.on('error', () => undefined); // the next question rejects by itself
  await client.connect();
  const question = `SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS yes`;
  try {
    for (;;) {
      const { rows } = await client.query<{ yes: boolean }>(question);
      if (rows[0]?.yes === true) return performance.now();
      await sleep(5);
    }
  } finally {
    await client.end();
  }
}
