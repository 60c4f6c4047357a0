// The test runner behind `npm test`: runs the compiled *.test.js files, each in its own process, and counts.
// Not a framework: tests are plain node:test. Files run two at a time, those that start servers up to three while the
// processors keep up, kind by kind.
// Exit code 0 only when at least one test ran, none failed and no process was left behind.
// Usage: node dist/test/support/run.js [--count-file FILE] [--failures-file FILE] [--rerun-alone N] [PATH...], a PATH such
// as unit/config.

import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { endLeftovers, markChildren } from './leftovers.ts';
import { measurePace } from './pace.ts';
import { runFile, type FileResult } from './run-file.ts';
import { sleep } from './wait.ts';

const PARALLEL_FILES = 2;
/** Those that start servers mostly wait: for timeouts, promotions, elections. */
const WAITING: ReadonlySet<string> = new Set(['integration', 'scenario']);
const PARALLEL_WAITING = 3;
/** Percent of the last ten seconds in which somebody waited for a processor: beyond that, one file more only makes all late. */
const PRESSURE_MAX = 60;
const PRESSURE_LOOK_MS = 500;
/** Where time goes is what keeps the suite short: the whole of it must not take more than a quarter of an hour. */
const TIME_SHOWN_FROM_MS = 1_000;
/** Of a file that hangs nothing is to be awaited. */
const IDLE_PACE_MAX = 2;
/** Times slower than usual. */
const SLOW = 1.5;
const LEFTOVER_GRACE_MS = 5_000;
/** Characters of a failed file's account where all failures are told at once. */
const ACCOUNT_MAX = 3_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tests: { type: 'string', default: resolve(import.meta.dirname, '..') },
    'count-file': { type: 'string' },
    'failures-file': { type: 'string' },
    'rerun-alone': { type: 'string', default: '0' },
    'idle-limit-ms': { type: 'string', default: '300000' },
    'file-limit-ms': { type: 'string', default: '600000' },
    // Between two beginnings: what a file does shows in the pressure only after a while.
    'apart-ms': { type: 'string', default: '3000' },
    'suite-limit-ms': { type: 'string', default: '2700000' },
  },
});
const testsDirectory = resolve(values.tests);
const apartMs = Number(values['apart-ms']);

const pace = measurePace();
const suiteLimitMs = Math.round(Number(values['suite-limit-ms']) * pace);
const suiteDeadline = performance.now() + suiteLimitMs;
/** A machine that starves its processes for seconds may do so twice. */
const timesAgain = pace > SLOW ? 2 : 1;

const results: FileResult[] = [];
/** Files that passed only when they were run again. */
const unsteady: string[] = [];
const write = (text: string): void => void process.stdout.write(`${text}\n`);

function testFiles(filters: readonly string[]): string[] {
  const wanted = filters.map(path => path.replace(/^(\.\/)?(dist\/)?test\//, '').replace(/\.ts$/, '.js'));
  const all = readdirSync(testsDirectory, { recursive: true, encoding: 'utf8' })
    .filter(
      path => /\.test\.m?js$/.test(path) && !path.startsWith('support/') && !path.includes('node_modules/'),
    )
    .sort();
  for (const filter of wanted) {
    if (!all.some(path => path.startsWith(filter))) record(filter, 'no test file matches this path');
  }
  return all.filter(path => wanted.length === 0 || wanted.some(filter => path.startsWith(filter)));
}

const failedFile = (file: string, reason: string): FileResult => ({
  file,
  durationMs: 0,
  passed: [],
  failures: [{ name: file, reason }],
  output: '',
});

const record = (file: string, reason: string): void => report(failedFile(file, reason));

function report(result: FileResult): void {
  results.push(result);
  write(`${result.file} (${Math.round(result.durationMs)} ms)`);
  for (const { name, ms } of result.passed) {
    write(ms < TIME_SHOWN_FROM_MS ? `  ✔ ${name}` : `  ✔ ${name} (${Math.round(ms)} ms)`);
  }
  for (const { name } of result.failures) write(`  ✖ ${name}`);
}

async function runOne(path: string): Promise<FileResult> {
  const leftMs = suiteDeadline - performance.now();
  if (leftMs <= 0) return failedFile(path, `not run: the whole suite took more than ${suiteLimitMs} ms`);
  const totalMs = Math.min(Math.round(Number(values['file-limit-ms']) * pace), leftMs);
  const idleMs = Math.round(Number(values['idle-limit-ms']) * Math.min(pace, IDLE_PACE_MAX));
  const limits = { idleMs, totalMs };
  return { ...(await runFile(join(testsDirectory, path), limits)), file: path };
}

/**
 * Files with real servers that failed beside others are judged by a run on their own, and named: two processors may not have
 * had the time for three of them. On a slow machine twice. Not if there are many: then it isn't the machine.
 */
async function runFailedAlone(files: readonly string[], mark: string): Promise<void> {
  const failed = results.filter(({ file, failures }) => failures.length > 0 && files.includes(file));
  if (failed.length === 0 || failed.length > Number(values['rerun-alone'])) return;
  for (const before of failed) {
    results.splice(results.indexOf(before), 1);
    let last = before;
    for (let again = 0; again < timesAgain && last.failures.length > 0; again += 1) {
      write(`${last.file} failed and is run again, alone; it failed for:`);
      for (const { name, reason } of last.failures) write(`  ${name}\n${reason}`);
      // What a failed run left behind is judged with it, and must not stand beside the next.
      for (const { command } of await endLeftovers(mark, LEFTOVER_GRACE_MS))
        write(`killed, left behind: ${command}`);
      last = await runOne(last.file);
    }
    report(last);
    if (last.failures.length === 0) unsteady.push(last.file);
  }
}

/** Of the processors, as Linux tells it (Documentation/accounting/psi.rst); 0 where it doesn't. */
function pressure(): number {
  try {
    return Number(/^some avg10=([\d.]+)/.exec(readFileSync('/proc/pressure/cpu', 'utf8'))?.[1] ?? 0);
  } catch {
    return 0; // a kernel without it
  }
}

/** Runs files, then ends and reports what they left behind. */
async function runGroup(kind: string, files: readonly string[]): Promise<void> {
  const mark = markChildren();
  const queue = files.values();
  let running = 0;
  let begunAt = -Infinity;
  await Promise.all(
    Array.from({ length: WAITING.has(kind) ? PARALLEL_WAITING : PARALLEL_FILES }, async () => {
      for (const file of queue) {
        const mustWait = (): boolean =>
          running > 0 && (pressure() > PRESSURE_MAX || performance.now() - begunAt < apartMs);
        while (WAITING.has(kind) && mustWait()) await sleep(PRESSURE_LOOK_MS);
        begunAt = performance.now();
        running += 1;
        report(await runOne(file));
        running -= 1;
      }
    }),
  );
  if (WAITING.has(kind)) await runFailedAlone(files, mark);
  for (const { pid, command } of await endLeftovers(mark, LEFTOVER_GRACE_MS)) {
    const file = files.length === 1 ? kind : `one of ${kind}`;
    record(file, `left process ${pid} behind (killed now): ${command}`);
  }
}

/** Its beginning, which says what, and its end, which is the newest: where many failed, each is to be seen. */
const short = (account: string): string =>
  account.length <= ACCOUNT_MAX
    ? account
    : `${account.slice(0, ACCOUNT_MAX / 2)}\n[…]\n${account.slice(-ACCOUNT_MAX / 2)}`;

const kindOf = (path: string): string => path.split('/')[0] ?? path;
const files = testFiles(positionals);
for (const kind of new Set(files.map(kindOf)))
  await runGroup(
    kind,
    files.filter(path => kindOf(path) === kind),
  );
if (results.length === 0) record(testsDirectory, 'there are no tests here');

const failedResults = results.filter(result => result.failures.length > 0);
const passedCount = results.reduce((sum, result) => sum + result.passed.length, 0);
const failedCount = results.reduce((sum, result) => sum + result.failures.length, 0);

const accounts = failedResults.map(({ file, failures, output }) =>
  [
    ...failures.map(({ name, reason }) => `\n✖ ${file}\n  ${name}\n${reason}`),
    ...(output === '' ? [] : [`\n  what the file wrote:\n${output}`]),
  ].join('\n'),
);
for (const account of accounts) write(account);
for (const file of unsteady) write(`\n${file} passed only when it was run again, alone`);
write(`\nNode ${process.version}: ${passedCount} passed, ${failedCount} failed in ${results.length} files`);
if (values['count-file'] !== undefined)
  writeFileSync(values['count-file'], `${passedCount} ${failedCount}\n`);
if (values['failures-file'] !== undefined) {
  const names = failedResults
    .flatMap(({ file, failures }) => failures.map(({ name }) => `✖ ${file}: ${name}`))
    .sort();
  const told = [
    ...accounts.map(short),
    ...names,
    ...unsteady.map(file => `${file} passed only when it was run again, alone`),
  ];
  if (told.length > 0)
    appendFileSync(values['failures-file'], `${[`Node ${process.version}:`, ...told].join('\n')}\n`);
}
process.exitCode = failedCount === 0 ? 0 : 1;
