// The part of RESULTS.md that says how it was measured and how to measure again.
// Pure. Called by results.ts.

import { haproxyConfig } from './contenders/haproxy.ts';
import { type Listener } from './contenders/listeners.ts';
import { nginxStreamConfig } from './contenders/nginx.ts';
import { pgbouncerConfig } from './contenders/pgbouncer.ts';
import { type Scale } from './model.ts';
import { PGBENCH_SCALE, postgresSettings } from './peers/postgres.ts';

export interface Circumstances {
  readonly rounds: number;
  readonly scale: Scale;
  readonly engine: object | null;
  readonly versions: ReadonlyMap<string, string>;
  readonly tookMs: number;
  readonly date: string;
  readonly machine: string;
  readonly linux: string;
}

const listener: Listener = { service: 'pg', port: 6432, to: { host: '127.0.0.1', port: 5432 } };

export function method(of: Circumstances): string[] {
  const { scale } = of;
  const versions = [...of.versions].map(([name, version]) => `${name} ${version}`).join(', ');
  const minutes = (of.tookMs / 60_000).toFixed(1);
  return [
    '## How it was measured',
    '',
    `On ${of.date.slice(0, 10)}: ${of.machine}, Linux ${of.linux}; Node ${process.version}, ${versions}.`,
    `Rounds: ${of.rounds}, in ${minutes} minutes. Compare within one run only: absolute figures are the machine’s.`,
    '',
    '- **Turns.** Each round goes through all scenarios, and in each scenario through all proxies one after the other, in',
    '  an order that moves on by one every round. A proxy is one process for the whole run, but for the memory of idle',
    '  connections, which gets a fresh one each time. All are up while one is measured; those that wait only check.',
    '- **Correctness first.** Before the first figure, 4 × 8 MiB of random bytes go through every proxy and back, a row',
    '  count, a sum and a value of 2 MiB through PostgreSQL, and one HTTP answer: a difference stops the run. So does any',
    '  failed transaction, request or connection later. Then each is warmed up: a second each of reads, HTTP requests and',
    '  HTTP connections that don’t count.',
    '- **CPU** is what all threads of all processes of the proxy ran (`/proc/PID/task/*/schedstat`), its own checks, timers',
    '  and garbage collection included. The clients and servers share the two cores with it.',
    `- **Length.** ${scale.seconds} s for pgbench and wrk, ${scale.bulkSeconds} s for iperf3, ${scale.latencyRepeats} × ${scale.latencySeconds} s for latency; ${scale.idleConnections.toLocaleString('en')} idle connections,`,
    `  a storm of ${scale.stormConnections.toLocaleString('en')}.`,
    '- **One thread each.** Pointsman has one data-plane thread on this machine; HAProxy gets `nbthread 1`, nginx one',
    '  worker. pgbench and wrk run with one thread too: two would take turns on two cores with the proxy and the servers.',
    '- **HAProxy** is compared with `option splice-auto`, one configuration for everything. Its *splice forced* is',
    '  `option splice-request`, `option splice-response` and `tune.pipesize 1048576` instead: the best known for bulk.',
    '- **PgBouncer** pools: with a connection per transaction its clients get server connections that are already open,',
    '  which a proxy that hands every client its own can’t have.',
    `- **PostgreSQL** holds pgbench’s tables at scale ${PGBENCH_SCALE} and keeps disk and house work out of the figures:`,
    `  ${Object.entries(postgresSettings)
      .map(([name, value]) => `\`${name} = ${value}\``)
      .join(', ')}.`,
    '- Nobody logs connections. Everything listens on loopback.',
    '',
    `Pointsman runs with its defaults${of.engine === null ? '' : ` and \`engine: ${JSON.stringify(of.engine)}\``}, but for \`log.level: warn\`, room for 20,000 connections and, for`,
    'iperf3 only, checks at long intervals (its server takes one connection at a time). HAProxy, nginx and PgBouncer:',
    '',
    '```',
    haproxyConfig([listener], 'auto').trim(),
    '```',
    '',
    '```',
    nginxStreamConfig('DIRECTORY', [listener]).trim(),
    '```',
    '',
    '```',
    pgbouncerConfig(listener).trim(),
    '```',
    '',
    'Repeat: `npm run bench`; `npm run bench -- --quick` for a sign of life in less than three minutes;',
    '`npm run bench -- --rounds 3 --only select-16,bulk-up --proxies pointsman,haproxy` while working on performance. It',
    'installs what is missing on Debian and leaves nothing running. Every sample: [RESULTS.json](RESULTS.json).',
    '',
  ];
}
