// `npm run bench:failover`: how long an application waits for its proxy beyond the database's own promotion.
// Pointsman and HAProxy take turns on real servers; correctness first: a violation stops the run, and so does a round
// that takes too long. Prints, and writes RESULTS.md and RESULTS.json. Usage: run.js [rounds]

import { setTimeout as after } from 'node:timers/promises';
import { debianBinaries, embeddedBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { describeError } from '../../src/core/errors.ts';
import { measureFailover, type FailoverFigures } from '../../test/support/failover.ts';
import { startServers } from '../../test/support/pair.ts';
import { within } from '../../test/support/wait.ts';
import { pointsman, type Contender } from './contenders.ts';
import { haproxy, haproxyVersion } from './haproxy.ts';
import { writeResults, type Measured } from './results.ts';

const ROUND_MAX_MS = 60_000;
const START_MAX_MS = 40_000;
/** How long an ended round waits for what it was just starting, so that it can be ended too. */
const STARTING_MAX_MS = 15_000;
const WRITERS = 8;
const PROMOTE_AFTER_MS = 500;

const scenarios = [
  { name: 'kill -9, PostgreSQL 18', binaries: embeddedBinaries, how: 'kill' },
  { name: 'kill -9, PostgreSQL 15', binaries: debianBinaries, how: 'kill' },
  { name: 'freeze, PostgreSQL 15', binaries: debianBinaries, how: 'freeze' },
] as const;
type Scenario = (typeof scenarios)[number];

interface Round {
  readonly figures: FailoverFigures;
  readonly postgres: string;
}

const write = (text: string): void => void process.stdout.write(`${text}\n`);

/** Rejects on the first Ctrl-C or SIGTERM, so that the round is cleared away; the second ends the process at once. */
const interrupted = new Promise<never>((_resolve, reject) => {
  let signals = 0;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      signals += 1;
      if (signals > 1) process.exit(1);
      reject(new Error(`ended by ${signal}`));
    });
  }
});
interrupted.catch(() => undefined); // each round listens; between two rounds the next one does

async function playRound(scenario: Scenario, contender: Contender): Promise<Round> {
  const owned: (() => Promise<void>)[] = [];
  const start = async () => {
    const servers = await startServers(scenario.binaries());
    owned.push(() => servers.dispose());
    const proxy = await contender.start(servers);
    owned.push(() => proxy.stop());
    return { servers, port: proxy.port };
  };
  const starting = within('the servers and the proxy to start', START_MAX_MS, start());
  const playing = starting.then(async ({ servers, port }) => {
    const [row] = await servers.pg1.query<{ server_version: string }>('SHOW server_version');
    const figures = await measureFailover(servers, port, {
      how: scenario.how,
      writers: WRITERS,
      warmUpMs: 1000,
      promoteAfterMs: PROMOTE_AFTER_MS,
      afterDetection: scenario.how === 'freeze',
    });
    return { figures, postgres: row?.server_version.split(' ')[0] ?? 'unknown' };
  });
  try {
    return await within('the round to end', ROUND_MAX_MS, Promise.race([playing, interrupted]));
  } finally {
    const settled = starting.then(
      () => undefined,
      () => undefined, // it has ended what it started, and the race has reported why
    );
    await Promise.race([settled, after(STARTING_MAX_MS, undefined, { ref: false })]);
    for (const end of owned.reverse()) await end();
  }
}

/** HAProxy refuses clients while it has no server, that is its way; what no proxy may do is lose a write. */
function verify(contender: Contender, figures: FailoverFigures): void {
  const { lost, readOnlyAnswers, refusedConnections, newcomersHung } = figures;
  const wrong =
    contender === pointsman ? { lost, readOnlyAnswers, refusedConnections, newcomersHung } : { lost };
  if (Object.values(wrong).some(count => count > 0)) {
    throw new Error(`the round is wrong, no figure is worth reporting: ${JSON.stringify(wrong)}`);
  }
}

async function run(rounds: number): Promise<void> {
  const versions = { haproxy: haproxyVersion(), postgres: new Map<string, string>() };
  const measured: Measured[] = [];
  for (const scenario of scenarios) {
    const contenders = [pointsman, haproxy].map(contender => ({
      contender,
      figures: [] as FailoverFigures[],
    }));
    for (let round = 1; round <= rounds; round += 1) {
      for (const { contender, figures: all } of contenders) {
        const title = `${scenario.name}, round ${round}, ${contender.name}`;
        try {
          const { figures, postgres } = await playRound(scenario, contender);
          verify(contender, figures);
          all.push(figures);
          versions.postgres.set(scenario.name, postgres);
          write(`${title}: ${oneLine(figures)}`);
        } catch (cause) {
          throw new Error(`${title}: ${describeError(cause).message}`, { cause });
        }
      }
    }
    for (const { contender, figures } of contenders) {
      measured.push({ scenario: scenario.name, contender: contender.name, rounds: figures });
    }
  }
  const report = { rounds, writers: WRITERS, promoteAfterMs: PROMOTE_AFTER_MS, versions, measured };
  write(`\n${writeResults(report)}`);
}

function oneLine(figures: FailoverFigures): string {
  return [
    `overhead ${figures.overheadMs.toFixed(1)} ms`,
    `sessions ended after ${figures.sessionsEndedMs?.toFixed(0) ?? 'more than the round'} ms`,
    `${figures.brokenConnections} broken`,
    `${figures.refusedConnections} refused`,
    `${figures.newcomerErrors.length} newcomers failed, ${figures.newcomersHung} hung`,
    `${figures.readOnlyAnswers} × 25006`,
  ].join(', ');
}

const rounds = Number(process.argv[2] ?? 5);
if (!Number.isInteger(rounds) || rounds < 1) {
  process.stderr.write('usage: npm run bench:failover -- [rounds, a whole number from 1; default 5]\n');
  process.exit(2);
}
try {
  await run(rounds);
  process.exit(0);
} catch (thrown) {
  // by hand: what a failed round left waiting would keep the process for another half minute
  process.stderr.write(`bench:failover: ${describeError(thrown).message}\n`);
  process.exit(1);
}
