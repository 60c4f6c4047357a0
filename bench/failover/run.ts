// `npm run bench:failover`: how long an application waits for its proxy beyond the database's own promotion.
// Pointsman and HAProxy take turns on real servers; correctness first: a violation stops the run, and so does a round
// that takes too long. Prints, and writes a report. Usage: run.js [--cluster pg-auto-failover|patroni] [rounds]

import { parseArgs } from 'node:util';
import { describeError } from '../../src/core/errors.ts';
import { type FailoverFigures } from '../../test/support/traffic.ts';
import { within } from '../../test/support/wait.ts';
import { pointsman, type Contender } from './contenders.ts';
import { haproxyVersion } from './haproxy.ts';
import { pairs } from './pairs.ts';
import { patroni } from './patroni.ts';
import { pgAutoFailover } from './pg-auto-failover.ts';
import { writeResults, type Measured } from './results.ts';
import { WRITERS, type Guard, type Stage } from './stage.ts';

const ROUND_MAX_MS = 90_000;

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

const guard: Guard = playing =>
  within('the round to end', ROUND_MAX_MS, Promise.race([playing, interrupted]));

/** HAProxy refuses clients while it has no server, that is its way; what no proxy may do is lose a write. */
function verify(contender: Contender, figures: FailoverFigures, { refusesWhileDying }: Stage): void {
  const { lost, readOnlyAnswers, refusedConnections, refusedByServers, newcomersHung } = figures;
  const tolerated = refusesWhileDying ? Math.min(refusedByServers, WRITERS) : 0;
  const refused = refusedConnections - tolerated;
  const wrong = contender === pointsman ? { lost, readOnlyAnswers, refused, newcomersHung } : { lost };
  if (Object.values(wrong).some(count => count > 0)) {
    throw new Error(`the round is wrong, no figure is worth reporting: ${JSON.stringify(wrong)}`);
  }
}

async function run(stage: Stage, rounds: number): Promise<void> {
  const versions = { haproxy: haproxyVersion(), postgres: new Map<string, string>() };
  const measured: Measured[] = [];
  for (const scenario of stage.scenarios) {
    const contenders = stage.contenders.map(contender => ({
      contender,
      figures: [] as FailoverFigures[],
    }));
    for (let round = 1; round <= rounds; round += 1) {
      for (const { contender, figures: all } of contenders) {
        const title = `${scenario}, round ${round}, ${contender.name}`;
        try {
          const { figures, postgres } = await stage.play(scenario, contender, guard);
          verify(contender, figures, stage);
          all.push(figures);
          versions.postgres.set(scenario, postgres);
          write(`${title}: ${oneLine(figures)}`);
        } catch (cause) {
          throw new Error(`${title}: ${describeError(cause).message}`, { cause });
        }
      }
    }
    for (const { contender, figures } of contenders) {
      measured.push({ scenario, contender: contender.name, rounds: figures });
    }
  }
  write(`\n${writeResults({ rounds, versions, measured }, stage)}`);
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

const clusters = new Map<string, () => Stage>([
  ['pg-auto-failover', pgAutoFailover],
  ['patroni', patroni],
]);

interface Options {
  readonly stage: Stage;
  readonly rounds: number;
}

/** `null`: not to be understood. */
function readOptions(args: readonly string[]): Options | null {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { cluster: { type: 'string' } },
      allowPositionals: true,
    });
    const rounds = Number(positionals[0] ?? 5);
    const stage = values.cluster === undefined ? pairs : clusters.get(values.cluster)?.();
    if (stage === undefined || positionals.length > 1 || !Number.isInteger(rounds) || rounds < 1) return null;
    return { rounds, stage };
  } catch {
    return null; // an option that there isn't: the usage says which there are
  }
}

const options = readOptions(process.argv.slice(2));
if (options === null) {
  process.stderr.write(
    'usage: npm run bench:failover -- [--cluster pg-auto-failover|patroni] [rounds, a whole number from 1; default 5]\n',
  );
  process.exit(2);
}
let code = 0;
try {
  await run(options.stage, options.rounds);
} catch (thrown) {
  process.stderr.write(`bench:failover: ${describeError(thrown).message}\n`);
  code = 1;
} finally {
  await options.stage.end();
}
// by hand: what a failed round left waiting would keep the process for another half minute
process.exit(code);
