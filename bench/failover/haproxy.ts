// HAProxy as a contender: Debian's package in the foreground. By default with one check agent per server, since HAProxy can't
// ask PostgreSQL itself; haproxy-patroni.ts has it ask Patroni. Called by run.ts through the stages.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Worker } from 'node:worker_threads';
import { formatAddress, type Address } from '../../src/core/address.ts';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { until } from '../../test/support/wait.ts';
import { type Contender, type Fleet, type RunningProxy } from './contenders.ts';

const PROGRAM = '/usr/sbin/haproxy';
const STOP_MAX_MS = 5000;

interface CheckedServer {
  readonly name: string;
  readonly address: Address;
  /** Who is asked about it. */
  readonly check: Address;
}

/** What differs between two configurations. */
export interface Asking {
  readonly name: string;
  /** Lines of the section `defaults` and of `listen`. */
  readonly defaults: readonly string[];
  readonly checks: readonly string[];
  /** Who is to be asked about each server, in the order of the fleet; `owned` is for what was started for it. */
  askedOf(fleet: Fleet, owned: Owned): Promise<readonly Address[]>;
}

type Owned = (() => Promise<unknown>)[];

const agents: Asking = {
  name: 'HAProxy',
  defaults: [
    'timeout connect 500ms',
    'timeout client 1h',
    'timeout server 1h',
    'retries 3',
    'option redispatch 1',
  ],
  checks: [
    'option httpchk GET /',
    'http-check expect status 200',
    'default-server inter 100ms fall 2 rise 1 on-marked-down shutdown-sessions',
    'default-server observe layer4 error-limit 1 on-error mark-down',
  ],
  async askedOf(fleet, owned) {
    const asked: Address[] = [];
    for (const { address } of fleet.nodes) {
      const worker = new Worker(new URL('./writable-agent.js', import.meta.url), {
        workerData: fleet.target(address),
      });
      owned.push(() => worker.terminate());
      // once() rejects when the thread fails instead of reporting its port
      const [port] = (await once(worker, 'message')) as [number];
      asked.push({ host: '127.0.0.1', port });
    }
    return asked;
  },
};

/** With the configuration that was found best for this job, and one check agent per server. */
export const haproxy = haproxyContender(agents);

/** For the report. Its checks have no timeout of their own: `inter` is that too. */
export const agentsWords: readonly string[] = [
  'HAProxy runs with the best configuration known to us for this job, two check agents beside it, which ask',
  '`pg_is_in_recovery()` and `transaction_read_only` over a lasting session and answer 200 only when the server takes',
  'writes:',
  '',
  '```',
  ...exampleConfig(agents, [8008, 8009]),
  '```',
];

/** What a report shows: the whole file, for two servers that are asked about at these ports. */
export function exampleConfig(asking: Asking, checkPorts: readonly number[]): readonly string[] {
  const servers = checkPorts.map((port, index) => ({
    name: `pg${index + 1}`,
    address: { host: '127.0.0.1', port: 5432 + index },
    check: { host: '127.0.0.1', port },
  }));
  return configOf(asking, '127.0.0.1:PORT', 'SOCKET', servers);
}

function configOf(
  { defaults, checks }: Asking,
  listen: string,
  statsSocket: string,
  servers: readonly CheckedServer[],
): readonly string[] {
  const line = ({ name, address, check }: CheckedServer): string => {
    const host = check.host === address.host ? '' : ` addr ${check.host}`;
    return `  server ${name} ${formatAddress(address)} check${host} port ${check.port}`;
  };
  return [
    'global',
    `  stats socket ${statsSocket} mode 600`,
    'defaults',
    '  mode tcp',
    ...defaults.map(text => `  ${text}`),
    'listen app',
    `  bind ${listen}`,
    ...checks.map(text => `  ${text}`),
    ...servers.map(line),
  ];
}

/** Such as `2.6.12-1+deb12u4`. */
export function haproxyVersion(): string {
  if (!existsSync(PROGRAM))
    throw new Error(`${PROGRAM} is missing; run: sh scripts/system-packages.sh haproxy:/usr/sbin/haproxy`);
  const { stdout } = spawnSync(PROGRAM, ['-v'], { encoding: 'utf8' });
  return /version (\S+)/.exec(stdout)?.[1] ?? 'unknown';
}

export function haproxyContender(asking: Asking): Contender {
  return { name: asking.name, start: fleet => startHaproxy(asking, fleet) };
}

async function startHaproxy(asking: Asking, fleet: Fleet): Promise<RunningProxy> {
  const owned: Owned = [];
  const stop = async (): Promise<void> => {
    for (const end of owned.splice(0).reverse()) await end();
  };
  try {
    const directory = mkdtempSync(join(tmpdir(), 'pointsman-haproxy-'));
    owned.push(async () => rmSync(directory, { recursive: true, force: true }));
    const asked = await asking.askedOf(fleet, owned);
    const servers = fleet.nodes.map((node, index) => ({ ...node, check: asked[index] ?? node.address }));
    const port = { host: '127.0.0.1', port: await freePort() };
    const statsSocket = join(directory, 'stats');
    const file = join(directory, 'haproxy.cfg');
    const config = configOf(asking, formatAddress(port), statsSocket, servers);
    writeFileSync(file, `${config.join('\n')}\n`);
    const child = spawn(PROGRAM, ['-db', '-f', file], { stdio: ['ignore', 'pipe', 'pipe'] });
    const kill = (): void => void child.kill('SIGKILL');
    process.once('exit', kill);
    child.once('exit', () => process.off('exit', kill));
    owned.push(() => endChild(child));
    await ready(child, statsSocket, fleet);
    return { port, stop };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

/** It takes every server for up until checked: ready is when the standby has been found unfit and the primary fit. */
async function ready(child: ChildProcess, statsSocket: string, { nodes, primary }: Fleet): Promise<void> {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => (output = (output + chunk).slice(-4000)));
  }
  let failure: string | null = null;
  child.once('error', error => (failure = error.message));
  child.once('exit', code => (failure = `it ended with ${code}`));
  await until('HAProxy to know the primary', async () => {
    if (failure !== null) throw new Error(`HAProxy does not run: ${failure}\n${output}`);
    if (!existsSync(statsSocket)) return false;
    const states = await serverStates(statsSocket);
    return nodes.every(({ name }) => states.get(name) === (name === primary ? 'UP L7OK' : 'DOWN L7STS'));
  });
}

/** Status and newest check of each server. */
async function serverStates(statsSocket: string): Promise<ReadonlyMap<string, string>> {
  const socket = connect(statsSocket);
  socket.write('show stat\n'); // not ended: HAProxy closes after the answer
  const [header = '', ...rows] = (await text(socket)).trim().split('\n');
  const columns = header.split(',');
  const cell = (row: string, column: string): string => row.split(',')[columns.indexOf(column)] ?? '';
  return new Map(
    rows.map(row => [cell(row, 'svname'), `${cell(row, 'status')} ${cell(row, 'check_status')}`]),
  );
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM'); // ends at once; SIGUSR1 would wait for its sessions
  const limit = setTimeout(() => child.kill('SIGKILL'), STOP_MAX_MS);
  await exited;
  clearTimeout(limit);
}
