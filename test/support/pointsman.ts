// The built CLI as a user runs it: its own process, a config file, its admin port. For integration tests and the bench.

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { type Address } from '../../src/core/address.ts';
import { type incidentJson, type StateJson } from '../../src/admin/api.ts';
import { pace } from './pace.ts';
import { until } from './wait.ts';

export type IncidentJson = ReturnType<typeof incidentJson>;

export const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));

/** Where a crowd of servers starts beside it, two processors take long. */
const START_MAX_MS = 60_000;
/** A stop that takes longer is a bug: both signals together close everything. */
const STOP_MAX_MS = 40_000;
/** The default of `check.timeout`. */
const CHECK_TIMEOUT_MS = 1000;

export interface PointsmanProcess {
  readonly pid: number;
  /** Its configuration. */
  readonly file: string;
  /** Writes another one; it is applied when it is told so. */
  configure(config: object): void;
  reload(token: string): Promise<{ status: number; body: Record<string, unknown> }>;
  readonly admin: string;
  /** Bound address of a frontend. */
  frontend(name: string): Address;
  state(): Promise<StateJson>;
  incidents(): Promise<readonly IncidentJson[]>;
  metrics(): Promise<string>;
  /** What it has logged so far, parsed. */
  log(): readonly Record<string, unknown>[];
  signal(name: NodeJS.Signals): void;
  /** Exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>;
  stop(): Promise<void>;
}

/** Starts `pointsman run` with `config` (as in the YAML file; binds may be port 0) and waits for its first log line. */
export async function runPointsman(
  config: object,
  options: { env?: NodeJS.ProcessEnv; command?: readonly string[] } = {},
): Promise<PointsmanProcess> {
  const directory = mkdtempSync(join(tmpdir(), 'pointsman-test-'));
  const file = join(directory, 'pointsman.yaml');
  const configure = (next: object): void => {
    writeFileSync(file, stringify(patient({ admin: { bind: '127.0.0.1:0' }, ...next })));
  };
  configure(config);
  const [command = process.execPath, ...args] = options.command ?? [process.execPath];
  const child = spawn(command, [...args, MAIN, 'run', '-c', file], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  const exited = new Promise<number | NodeJS.Signals>(resolve => {
    child.once('exit', (code, signal) => {
      process.off('exit', kill);
      rmSync(directory, { recursive: true, force: true });
      resolve(code ?? signal ?? -1);
    });
  });
  const text = collect(child);
  const lines = (): readonly Record<string, unknown>[] =>
    text()
      .split('\n')
      .flatMap(line => (line.startsWith('{') ? [JSON.parse(line) as Record<string, unknown>] : []));
  const started = await until(
    'pointsman to run',
    () => {
      const first = lines().find(line => line['msg'] === 'pointsman runs');
      const ended = child.exitCode ?? child.signalCode;
      if (first === undefined && ended !== null) throw new Error(`pointsman ended with ${ended}:\n${text()}`);
      return first;
    },
    { deadlineMs: START_MAX_MS },
  ).catch((thrown: unknown) => {
    throw new Error(`${String(thrown)}; it said:\n${text()}`);
  });
  const admin = `http://${String(started['admin'])}`;
  const binds = started['frontends'] as Record<string, string>;
  // One connection each: one that idles for just as long as the server keeps it is lost amid the next request.
  const get = async (path: string): Promise<Response> =>
    fetch(admin + path, { headers: { connection: 'close' } });
  return {
    pid: child.pid ?? -1,
    file,
    configure,
    async reload(token) {
      const headers = { connection: 'close', authorization: `Bearer ${token}` };
      const answer = await fetch(`${admin}/api/v1/reload`, { method: 'POST', headers });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    },
    admin,
    frontend(name) {
      const [host = '', port = ''] = (binds[name] ?? '').split(/:(?=\d+$)/);
      return { host, port: Number(port) };
    },
    state: async () => (await (await get('/api/v1/state')).json()) as StateJson,
    incidents: async () =>
      ((await (await get('/api/v1/incidents')).json()) as { incidents: IncidentJson[] }).incidents,
    metrics: async () => (await get('/metrics')).text(),
    log: lines,
    signal: name => void child.kill(name),
    exited,
    async stop() {
      // Two different signals: a second SIGTERM that comes at once may be merged with the first.
      child.kill('SIGTERM');
      child.kill('SIGINT');
      const limit = setTimeout(() => child.kill('SIGKILL'), STOP_MAX_MS);
      const ended = await exited;
      clearTimeout(limit);
      if (ended === 'SIGKILL')
        throw new Error(`pointsman did not end within ${STOP_MAX_MS} ms:\n${text().slice(-2000)}`);
    },
  };
}

/** Where servers are slow, a probe whose test doesn't say how long it may take waits longer than by default. */
function patient(config: object): object {
  if (pace === 1 || !('backends' in config)) return config;
  const timeout = `${Math.round(CHECK_TIMEOUT_MS * pace)}ms`;
  const backends = Object.entries(config.backends as Readonly<Record<string, { check?: object }>>);
  const patiently = backends.map(([name, backend]) => [
    name,
    { ...backend, check: { timeout, ...backend.check } },
  ]);
  return { ...config, backends: Object.fromEntries(patiently) as object };
}

function collect(child: ChildProcess): () => string {
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  return () => text;
}

/** Runs a command of the CLI to its end. */
export async function pointsman(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [MAIN, ...args], { env: { ...process.env, ...env } });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  const code = await new Promise<number | null>(resolve => child.once('close', resolve));
  return { code, stdout, stderr };
}
