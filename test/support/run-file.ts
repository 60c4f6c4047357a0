// Runs one compiled test file in a process of its own through node:test's run() and gathers what it reported.
// Decides what counts: a skipped, todo or cancelled test, a file without tests, a process that doesn't end
// and activity after a test's end are failures, not remarks. Called by run.ts.

import { resolve } from 'node:path';
import { run } from 'node:test';
import { inspect } from 'node:util';

const OUTPUT_MAX_CHARACTERS = 20_000;

export interface FileLimits {
  /** A file that reports nothing for this long is killed. Node 20 has no default timeout per test in child processes. */
  readonly idleMs: number;
  /** A file that runs this long is killed. */
  readonly totalMs: number;
}

interface Passed {
  readonly name: string;
  readonly ms: number;
}

interface Failure {
  readonly name: string;
  readonly reason: string;
}

export interface FileResult {
  readonly file: string;
  readonly durationMs: number;
  readonly passed: readonly Passed[];
  readonly failures: readonly Failure[];
  /** What the file wrote on stdout and stderr, the end of it if it was much. */
  readonly output: string;
}

interface Report {
  readonly name: string;
  readonly skip?: string | boolean | undefined;
  readonly todo?: string | boolean | undefined;
  readonly details: {
    readonly duration_ms: number;
    readonly type?: string | undefined;
    readonly error?: Error | undefined;
  };
}

function reasonOf(error: Error | undefined): string {
  const cause: unknown = error?.cause ?? error;
  return typeof cause === 'string' ? cause : inspect(cause, { depth: 6 });
}

const failureType = (error: Error | undefined): unknown =>
  error !== undefined && 'failureType' in error ? error.failureType : undefined;

/** Never rejects for anything the file does; a failure to start it is reported as the file's failure. */
export async function runFile(file: string, limits: FileLimits): Promise<FileResult> {
  const started = performance.now();
  const passed: Passed[] = [];
  const failures: Failure[] = [];
  const lateErrors: string[] = [];
  let output = '';
  let killedBecause: string | null = null;

  const killer = new AbortController();
  const kill = (reason: string): void => {
    killedBecause ??= `${reason}; the last test that finished: ${passed.at(-1)?.name ?? 'none'}`;
    killer.abort();
  };
  const totalTimer = setTimeout(() => kill(`killed after ${limits.totalMs} ms`), limits.totalMs);
  const idleTimer = setTimeout(() => kill(`killed: nothing reported for ${limits.idleMs} ms`), limits.idleMs);

  const take = (report: Report, ok: boolean): void => {
    idleTimer.refresh();
    const fail = (reason: string): void => void failures.push({ name: report.name, reason });
    const isFile = resolve(report.name) === file;
    if (report.skip !== undefined && report.skip !== false) fail('skipped: a test runs or it is not there');
    else if (report.todo !== undefined && report.todo !== false) fail('todo: a test runs or it is not there');
    else if (isFile && killedBecause !== null) fail(killedBecause);
    else if (isFile && ok) fail('the file holds no tests');
    else if (!ok && failureType(report.details.error) !== 'subtestsFailed')
      fail(reasonOf(report.details.error));
    else if (ok && report.details.type !== 'suite') {
      passed.push({ name: report.name, ms: report.details.duration_ms });
    }
  };

  const stream = run({ files: [file], concurrency: 1, signal: killer.signal });
  stream.on('test:pass', report => take(report, true));
  stream.on('test:fail', report => take(report, false));
  stream.on('test:diagnostic', ({ message }) => {
    if (message.includes('asynchronous activity')) lateErrors.push(message);
  });
  const collect = ({ message }: { message: string }): void => {
    output = (output + message).slice(-OUTPUT_MAX_CHARACTERS);
  };
  stream.on('test:stdout', collect);
  stream.on('test:stderr', collect);

  await new Promise<void>((done, failed) => stream.on('end', done).on('error', failed).resume());
  clearTimeout(totalTimer);
  clearTimeout(idleTimer);
  // Some Node versions fail the file for these, without saying why; others only remark on them.
  if (lateErrors.length > 0 && failures.length === 0)
    failures.push({ name: file, reason: 'an error after the end' });
  output += lateErrors.join('\n');
  if (passed.length + failures.length === 0)
    failures.push({ name: file, reason: 'the file reported nothing' });
  return { file, durationMs: performance.now() - started, passed, failures, output };
}
