// How Pointsman grows: 1,000 backends of three servers each, with the real topology, monitors and proxy on the real clock at
// default intervals. Only the servers and sockets are made up: what is measured is Pointsman's own work, not the kernel's.
// Prints Markdown: CPU and memory per backend, delay of the event loop, and how long a decision takes.
// Run by run.ts, or by hand: node --expose-gc dist/bench/scale/made-up.js [BACKENDS] [SECONDS]

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createFleet } from './fleet.ts';
import { quantile } from './quantile.ts';

const backends = Number(process.argv[2] ?? 1000);
const seconds = Number(process.argv[3] ?? 20);
const SETTLE_MS = 3_000;
const FAILOVERS_MS = 10_000;
const write = (text: string): void => void process.stdout.write(`${text}\n`);
const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

interface Memory {
  readonly heap: number;
  readonly rss: number;
}

function memory(): Memory {
  globalThis.gc?.();
  const { heapUsed, rss } = process.memoryUsage();
  return { heap: heapUsed, rss };
}

const shares = (values: readonly number[]): string =>
  `${ms(quantile(values, 0.5))} | ${ms(quantile(values, 0.99))}`;
const ms = (value: number): string => `${value.toFixed(3)} ms`;
const kib = (bytes: number): string => `${(bytes / 1024).toFixed(1)} KiB`;

const before = memory();
const fleet = createFleet(backends);
await fleet.start();
await sleep(SETTLE_MS);
const after = memory();

const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
const cpuBefore = process.cpuUsage();
const probesBefore = fleet.probes();
const startedAt = performance.now();
await sleep(seconds * 1000);
const elapsedSeconds = (performance.now() - startedAt) / 1000;
const cpu = process.cpuUsage(cpuBefore);
const probes = (fleet.probes() - probesBefore) / elapsedSeconds;
delay.disable();
const cpuMs = (cpu.user + cpu.system) / 1000 / elapsedSeconds;

const decisions = await fleet.failOver(FAILOVERS_MS);
await fleet.stop();

write(`${backends} backends x 3 servers, default intervals, ${seconds} s, Node ${process.version}; servers and sockets are made up.

| what | total | per backend |
| --- | --- | --- |
| CPU while all is well, ms per second (${Math.round(probes)} probes/s) | ${cpuMs.toFixed(0)} | ${(cpuMs / backends).toFixed(3)} |
| heap | ${kib(after.heap - before.heap)} | ${kib((after.heap - before.heap) / backends)} |
| RSS, growth | ${kib(after.rss - before.rss)} | ${kib((after.rss - before.rss) / backends)} |

| event loop behind by | |
| --- | --- |
| p50 | ${ms(delay.percentile(50) / 1e6)} |
| p99 | ${ms(delay.percentile(99) / 1e6)} |
| most | ${ms(delay.max / 1e6)} |

| of ${decisions.length} failovers within ${FAILOVERS_MS / 1000} s | p50 | p99 |
| --- | --- | --- |
| from the answer that shows the demotion to the session closed | ${shares(decisions.map(d => d.closedMs))} |
| from the answer that shows the promotion to the waiting client's connection | ${shares(decisions.map(d => d.releasedMs))} |`);
