// The report: samples of all rounds in, RESULTS.md, RESULTS.json and RESULTS.svg out.
// Called by run.ts.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { repositoryRoot } from '../../test/support/repository.ts';
import { FORCED_SPLICE, REFERENCE, SUBJECT } from './contenders/index.ts';
import { method } from './method.ts';
import { type Figure, type Measured, type Scale, type ScenarioResult } from './model.ts';
import { plot } from './plot.ts';
import { median } from './stats.ts';
import { medianOf, verdicts, type Verdict } from './targets.ts';

/** Written by hand where a target is missed: where the time goes. Becomes a section of the report. */
const PROFILE = join(repositoryRoot, 'bench/PROFILE.md');
const ENOUGH_ROUNDS = 5;

export interface Report {
  readonly rounds: number;
  readonly scale: Scale;
  /** As given on the command line. */
  readonly arguments: readonly string[];
  readonly engine: object | null;
  readonly versions: ReadonlyMap<string, string>;
  readonly results: readonly ScenarioResult[];
  readonly tookMs: number;
}

/** Writes the three files and returns the path and the text of the first. */
export function writeResults(report: Report, directory: string): { path: string; text: string } {
  mkdirSync(directory, { recursive: true });
  const date = new Date().toISOString();
  const text = markdown(report, date);
  const path = join(directory, 'RESULTS.md');
  const titles = { subject: titleOf(report.results, SUBJECT), reference: titleOf(report.results, REFERENCE) };
  writeFileSync(path, text);
  writeFileSync(join(directory, 'RESULTS.json'), `${JSON.stringify(json(report, date), null, 2)}\n`);
  writeFileSync(join(directory, 'RESULTS.svg'), plot(verdicts(report.results), titles));
  return { path, text };
}

function markdown(report: Report, date: string): string {
  const judged = verdicts(report.results);
  return [
    '# The data plane beside its competitors',
    '',
    ...verdictTable(judged, report),
    ...(judged.length === 0 ? [] : ['![The ratios as bars](RESULTS.svg)', '']),
    ...profile(),
    '## Every figure',
    '',
    'Medians of the rounds and, in brackets, the least and the most; × is the ratio of the median to HAProxy’s.',
    '',
    ...report.results.flatMap(table),
    ...method({ ...report, date, machine: machine(), linux: release() }),
  ].join('\n');
}

/** The headline: what was to be reached, what was. */
function verdictTable(judged: readonly Verdict[], { rounds, results }: Report): string[] {
  if (judged.length === 0) return ['No target was measured in this run.', ''];
  const rows = judged.map(({ target, subject, reference, ratio, reached }) => {
    const digits = figureOf(results, target.scenario, target.figure)?.digits ?? 2;
    return [
      target.title,
      `${target.compare} ${target.limit.toFixed(2)}`,
      Number.isNaN(ratio) ? '–' : `**${ratio.toFixed(2)}**`,
      outcome(reached),
      number(subject, digits),
      number(reference, digits),
    ];
  });
  const few = rounds < ENOUGH_ROUNDS ? [`${rounds} of the ${ENOUGH_ROUNDS} rounds a verdict needs.`, ''] : [];
  return [
    ...grid(['figure', 'target, as a ratio to HAProxy', 'measured', '', 'Pointsman', 'HAProxy'], rows),
    '',
    ...forcedSplice(results),
    ...few,
  ];
}

function outcome(reached: boolean | null): string {
  if (reached === null) return 'undecided: below the noise';
  return reached ? 'reached' : '**not reached**';
}

/** Bulk is what HAProxy can be set up for, at the expense of the rest: said right where the headline is. */
function forcedSplice(results: readonly ScenarioResult[]): string[] {
  const ratios = [
    ['client to server', 'bulk-up'],
    ['server to client', 'bulk-down'],
  ].flatMap(([direction = '', scenario = '']) => {
    const [subject, forced] = [SUBJECT, FORCED_SPLICE].map(name =>
      medianOf(results, scenario, name, 'gbits'),
    );
    const ratio = (subject ?? NaN) / (forced ?? NaN);
    return Number.isNaN(ratio) ? [] : [`${direction} ${ratio.toFixed(2)}`];
  });
  if (ratios.length === 0) return [];
  return [
    `Bulk throughput as a ratio to HAProxy with splicing forced, which suits bulk only: ${ratios.join(', ')}.`,
    '',
  ];
}

function profile(): string[] {
  return existsSync(PROFILE) ? [readFileSync(PROFILE, 'utf8').trim(), ''] : [];
}

function table({ scenario, measured }: ScenarioResult): string[] {
  const reference = measured.find(({ contender }) => contender.name === REFERENCE);
  const heads = scenario.figures.flatMap(({ title, unit }) => [
    unit === '' ? title : `${title}, ${unit}`,
    '×',
  ]);
  const rows = measured.map(of => [
    of.contender.title,
    ...scenario.figures.flatMap(figure => [spread(of, figure), ratioTo(reference, of, figure)]),
  ]);
  return [
    `### ${scenario.title}`,
    '',
    `${scenario.how}. (\`--only ${scenario.name}\`)`,
    '',
    ...grid(['', ...heads], rows),
    '',
  ];
}

const valuesOf = ({ samples }: Measured, { key }: Figure): number[] =>
  samples.flatMap(sample => sample[key] ?? []);

function spread(of: Measured, figure: Figure): string {
  const values = valuesOf(of, figure);
  if (values.length === 0) return '–';
  const [middle, least, most] = [median(values), Math.min(...values), Math.max(...values)].map(value =>
    number(value, figure.digits),
  );
  return least === most ? `${middle}` : `${middle} (${least} … ${most})`;
}

function ratioTo(reference: Measured | undefined, of: Measured, figure: Figure): string {
  const base = reference === undefined ? NaN : median(valuesOf(reference, figure));
  const ratio = median(valuesOf(of, figure)) / base;
  return base > 0 && ratio > 0 ? ratio.toFixed(2) : '';
}

function grid(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return [head, head.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`);
}

function number(value: number, digits: number): string {
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function figureOf(results: readonly ScenarioResult[], scenario: string, key: string): Figure | undefined {
  return results
    .find(result => result.scenario.name === scenario)
    ?.scenario.figures.find(figure => figure.key === key);
}

function titleOf(results: readonly ScenarioResult[], name: string): string {
  const all = results.flatMap(({ measured }) => measured.map(({ contender }) => contender));
  return all.find(contender => contender.name === name)?.title ?? name;
}

function json(report: Report, date: string): object {
  return {
    date,
    machine: machine(),
    versions: { linux: release(), node: process.version, ...Object.fromEntries(report.versions) },
    rounds: report.rounds,
    scale: report.scale,
    arguments: report.arguments.join(' '),
    engine: report.engine,
    tookSeconds: Math.round(report.tookMs / 1000),
    targets: verdicts(report.results).map(({ target, ratio, ...rest }) => ({
      ...target,
      ratio: Number.isNaN(ratio) ? null : ratio,
      ...rest,
    })),
    scenarios: report.results.map(({ scenario, measured }) => ({
      name: scenario.name,
      title: scenario.title,
      figures: scenario.figures,
      contenders: measured.map(({ contender, samples }) => ({
        name: contender.name,
        medians: Object.fromEntries(
          scenario.figures.flatMap(({ key }) => {
            const value = medianOf(report.results, scenario.name, contender.name, key);
            return Number.isNaN(value) ? [] : [[key, value]];
          }),
        ),
        samples,
      })),
    })),
  };
}

function machine(): string {
  const cores = cpus();
  const memory = (totalmem() / 2 ** 30).toFixed(0);
  return `${cores.length} cores (${cores[0]?.model.trim() ?? 'unknown'}), ${memory} GiB`;
}
