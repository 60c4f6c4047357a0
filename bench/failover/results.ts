// The report of bench:failover: figures of all rounds in, a Markdown and a JSON file next to this source out.
// Called by run.ts.

import { writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { type FailoverFigures } from '../../test/support/traffic.ts';
import { repositoryRoot } from '../../test/support/repository.ts';
import { WRITERS, type Stage, type StageWords } from './stage.ts';

export interface Measured {
  readonly scenario: string;
  readonly contender: string;
  readonly rounds: readonly FailoverFigures[];
}

export interface Versions {
  readonly haproxy: string;
  /** By scenario. */
  readonly postgres: ReadonlyMap<string, string>;
}

export interface Report {
  readonly rounds: number;
  readonly versions: Versions;
  readonly measured: readonly Measured[];
}

const directory = join(repositoryRoot, 'bench/failover');

/** Writes both files and returns the text of the first. */
export function writeResults(report: Report, { words, file }: Stage): string {
  const date = new Date().toISOString();
  const text = markdown(report, date, words, file);
  writeFileSync(join(directory, `${file}.md`), text);
  writeFileSync(join(directory, `${file}.json`), `${JSON.stringify(json(report, date), null, 2)}\n`);
  return text;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[sorted.length >> 1] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[sorted.length / 2 - 1] ?? NaN) + upper) / 2;
}

/** Median and, where the values differ, the range. */
function spread(values: readonly number[], digits: number): string {
  const [middle, least, most] = [median(values), Math.min(...values), Math.max(...values)].map(value =>
    value.toFixed(digits),
  );
  return least === most ? `${middle}` : `${middle} (${least}–${most})`;
}

const overheads = ({ rounds }: Measured): number[] => rounds.map(({ overheadMs }) => overheadMs);

/** The first contender's median overhead as a share of the second's. */
export function overheadRatio(first: Measured, second: Measured): number {
  return median(overheads(first)) / median(overheads(second));
}

function markdown(report: Report, date: string, words: StageWords, file: string): string {
  const { rounds, versions, measured } = report;
  const postgres = [...new Set(versions.postgres.values())].join(' and ');
  return [
    `# ${words.title}`,
    '',
    `Pointsman and HAProxy side by side, taking turns in one run. Rounds of each: ${rounds}; medians and ranges.`,
    `${words.rounds} has ${WRITERS} writers and a new connection every 20 ms.`,
    '',
    ...table(measured),
    '',
    `- **Overhead**: from the moment the new primary takes writes (${words.known})`,
    '  to the first acknowledged write through the proxy. Ratio: Pointsman’s median as a share of HAProxy’s.',
    '- **First newcomer**: from the moment it says that it does to the first answer that a new connection got. Pointsman serves those who',
    '  wait in the order they came: after a freeze the writers, whose sessions end last, come after the newcomers held.',
    '- **Sessions ended**: from the fault to the last writer’s session to the old primary broken. After a kill it is the',
    '  server’s death that breaks them. A freeze gives no sign of its own: Pointsman’s default is to wait for',
    '  `timeout` (1 s) × `fall` (2) after the next probe; HAProxy’s checks run out after their `inter`, 100 ms, × 2 here.',
    `- ${words.promotion.join('\n')}`,
    '- **Sessions broken**: open connections of the writers that failed amid a statement. **Refused**: attempts of the',
    '  writers to connect that failed (they try again after 10 ms). **Newcomers failed**: of the new connections made',
    '  after the fault, those that got no answer; a frozen server still takes connections until it is found out.',
    '  **Hung**: newcomers whose connection was still open 5 s after all was over. (HAProxy’s `shutdown-sessions` passes',
    '  over a session that its client has half-closed: who was just leaving when the server froze stays for good.)',
    '- Lost acknowledged writes (synchronous replication): 0 in every round of both. Pointsman must also answer nobody',
    '  with 25006, refuse no writer and leave nobody hanging. A round that breaks this stops the run, and nothing is',
    '  reported.',
    '',
    words.pointsman,
    ...words.haproxy,
    '',
    `Measured on ${date.slice(0, 10)}: ${machine()}, Linux ${release()}; PostgreSQL ${postgres}, HAProxy`,
    `${versions.haproxy}, Node ${process.version}. Every round: [${file}.json](${file}.json).`,
    '',
    `Repeat: \`${words.repeat}\` (5 rounds; a number after it: that many). It installs what is missing on`,
    'Debian, listens on loopback only and leaves nothing running.',
    '',
  ].join('\n');
}

function table(measured: readonly Measured[]): string[] {
  const columns = [
    ...['scenario', 'proxy', 'overhead, ms', 'ratio', 'first newcomer, ms', 'sessions ended, ms'],
    ...['sessions broken', 'refused', 'newcomers failed', 'hung', 'answers 25006'],
  ];
  const rows = measured.map((row, index) => {
    const next = measured[index + 1];
    const first = next?.scenario === row.scenario ? next : undefined;
    const column = (pick: (figures: FailoverFigures) => number, digits = 0): string =>
      spread(row.rounds.map(pick), digits);
    return [
      row.scenario,
      row.contender,
      spread(overheads(row), 1),
      first === undefined ? '' : overheadRatio(row, first).toFixed(2),
      row.rounds.some(({ newcomerOverheadMs }) => newcomerOverheadMs === null)
        ? 'not always one'
        : column(({ newcomerOverheadMs }) => newcomerOverheadMs ?? NaN, 1),
      row.rounds.some(({ sessionsEndedMs }) => sessionsEndedMs === null)
        ? 'not all'
        : column(({ sessionsEndedMs }) => sessionsEndedMs ?? NaN),
      column(({ brokenConnections }) => brokenConnections),
      column(({ refusedConnections }) => refusedConnections),
      column(({ newcomerErrors }) => newcomerErrors.length),
      column(({ newcomersHung }) => newcomersHung),
      column(({ readOnlyAnswers }) => readOnlyAnswers),
    ];
  });
  return [columns, columns.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`);
}

function json({ rounds, versions, measured }: Report, date: string): object {
  return {
    date,
    machine: machine(),
    versions: { node: process.version, linux: release(), haproxy: versions.haproxy },
    roundsEach: rounds,
    results: measured.map(({ scenario, contender, rounds: figures }) => ({
      scenario,
      postgres: versions.postgres.get(scenario),
      contender,
      rounds: figures.map(({ faultAtWall, newcomerErrors, ...counted }) => ({
        faultAt: new Date(faultAtWall).toISOString(),
        ...counted,
        newcomersFailed: newcomerErrors.length,
      })),
    })),
  };
}

function machine(): string {
  const cores = cpus();
  const memory = (totalmem() / 2 ** 30).toFixed(0);
  return `${cores.length} cores (${cores[0]?.model.trim() ?? 'unknown'}), ${memory} GiB, shared and noisy`;
}
