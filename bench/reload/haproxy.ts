// HAProxy as a contender: Debian's package in master-worker mode, reloaded by SIGUSR2 as its systemd unit does, with one check
// agent per server. Called by run.ts.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { type Servers } from '../../test/support/pair.ts';
import { sleep, until } from '../../test/support/wait.ts';
import { type Contender, type Running } from './contender.ts';

const PROGRAM = '/usr/sbin/haproxy';
const SIGNAL_LOST_MS = 1000;

export function configText(
  port: number | string,
  checks: readonly (number | string)[],
  ports: readonly (number | string)[],
  turn: number,
): string {
  return `global
  maxconn ${2000 + turn}
defaults
  mode tcp
  timeout connect 500ms
  timeout client 1h
  timeout server 1h
listen app
  bind 127.0.0.1:${port}
  option httpchk GET /
  http-check expect status 200
  default-server inter 100ms fall 2 rise 1 on-marked-down shutdown-sessions
${checks.map((check, index) => `  server pg${index + 1} 127.0.0.1:${ports[index]} check port ${check}`).join('\n')}
`;
}

export const haproxy: Contender = {
  name: 'HAProxy 2.6, master-worker, on-marked-down shutdown-sessions',
  async start(servers: Servers): Promise<Running> {
    const directory = mkdtempSync(join(tmpdir(), 'reload-haproxy-'));
    const file = join(directory, 'haproxy.cfg');
    const nodes = [servers.pg1, servers.pg2];
    const agents = nodes.map(
      ({ port }) =>
        new Worker(new URL('../failover/writable-agent.js', import.meta.url), {
          workerData: servers.target({ host: '127.0.0.1', port }),
        }),
    );
    const checks = await Promise.all(
      agents.map(async agent => ((await once(agent, 'message')) as [number])[0]),
    );
    const port = await freePort();
    const write = (turn: number): void =>
      writeFileSync(
        file,
        configText(
          port,
          checks,
          nodes.map(node => node.port),
          turn,
        ),
      );
    write(0);
    const master: ChildProcess = spawn(PROGRAM, ['-W', '-f', file], { stdio: 'ignore' });
    const pid = master.pid ?? -1;
    const workers = (): readonly number[] => childrenOf(pid);
    await until('the first worker', () => workers().length > 0);
    return {
      port,
      async reload(turn) {
        const before = new Set(workers());
        write(turn);
        const hasNext = (): boolean => workers().some(worker => !before.has(worker));
        // A signal that comes while the master is still busy with the one before is lost.
        await until('the next worker', async () => {
          master.kill('SIGUSR2');
          const retryAt = performance.now() + SIGNAL_LOST_MS;
          while (!hasNext() && performance.now() < retryAt) await sleep(5);
          return hasNext();
        });
      },
      processes: () => workers().length,
      async stop() {
        const ended = once(master, 'exit');
        const all = workers();
        master.kill('SIGTERM');
        await ended;
        for (const worker of all) endOf(worker);
        await Promise.all(agents.map(agent => agent.terminate()));
        rmSync(directory, { recursive: true });
      },
    };
  },
};

function childrenOf(pid: number): readonly number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

function endOf(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended by itself
  }
}
