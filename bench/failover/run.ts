// `npm run bench:failover`: how long an application waits for Pointsman beyond the database's own promotion.
// Real servers, default settings, several rounds; checks correctness first and stops on any violation.
// Prints and writes bench/failover/RESULTS.md. Usage: run.js [rounds]

import { writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { debianBinaries, embeddedBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { performFailover, type FailoverOutcome } from '../../test/support/failover.ts';
import { startPair } from '../../test/support/pair.ts';

const rounds = Number(process.argv[2] ?? 5);
const write = (text: string): void => void process.stdout.write(`${text}\n`);

const scenarios = [
  { name: 'kill -9, PostgreSQL 18', binaries: embeddedBinaries, how: 'kill' },
  { name: 'kill -9, PostgreSQL 15', binaries: debianBinaries, how: 'kill' },
  { name: 'freeze, PostgreSQL 15', binaries: debianBinaries, how: 'freeze' },
] as const;

function verify(outcome: FailoverOutcome): void {
  const wrong = {
    lost: outcome.lost,
    answered25006: outcome.readOnlyAnswers,
    refused: outcome.refusedConnections,
  };
  if (Object.values(wrong).some(count => count > 0)) {
    throw new Error(`the round is wrong, no figure is worth reporting: ${JSON.stringify(wrong)}`);
  }
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
const range = (values: readonly number[]): string =>
  `${median(values).toFixed(1)} (${Math.min(...values).toFixed(1)}–${Math.max(...values).toFixed(1)})`;

const lines = [
  '# Failover: what Pointsman adds to the promotion',
  '',
  `Medians (and range) of ${rounds} rounds, default settings, 8 writers and a newcomer every 20 ms. Overhead: from the`,
  'moment the promoted node takes writes (asked on the node itself every 5 ms) to the first acknowledged write through',
  'the proxy. Every round had 0 lost acknowledged writes (synchronous replication), 0 answers 25006, 0 refused',
  'connections; a round that had one would have stopped the run.',
  '',
  '| scenario | noticed, ms | given up, ms | overhead, ms | broken connections (of 8 writers) |',
  '| --- | --- | --- | --- | --- |',
];

for (const { name, binaries, how } of scenarios) {
  const outcomes: FailoverOutcome[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    const pair = await startPair(binaries());
    try {
      const outcome = await performFailover(pair, {
        how,
        writers: 8,
        warmUpMs: 1000,
        promoteAfterMs: 500,
        afterDetection: how === 'freeze',
      });
      verify(outcome);
      outcomes.push(outcome);
      write(
        `${name}, round ${round}: noticed ${outcome.noticedMs} ms, given up ${outcome.givenUpMs} ms, overhead ${outcome.overheadMs.toFixed(1)} ms`,
      );
    } finally {
      await pair.dispose();
    }
  }
  const column = (pick: (outcome: FailoverOutcome) => number): string => range(outcomes.map(pick));
  lines.push(
    `| ${name} | ${column(o => o.noticedMs)} | ${column(o => o.givenUpMs)} | ${column(o => o.overheadMs)} | ${column(o => o.brokenConnections)} |`,
  );
}

lines.push(
  '',
  `Machine: ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, Linux ${release()}, Node ${process.version}. Noisy and shared: read the`,
  'medians. A freeze gives no sign of its own: it is found by `timeout × fall` after the next probe.',
  '',
);
writeFileSync(new URL('../../../bench/failover/RESULTS.md', import.meta.url), lines.join('\n'));
write(lines.join('\n'));
