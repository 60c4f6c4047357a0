// `npm run bench:scale`: how Pointsman grows. First its own work alone (made-up.ts, with made-up servers and sockets), then the
// built CLI from outside (built.ts, real sockets). Correctness first: a wrong primary stops the run. Prints and writes RESULTS.md.
// Usage: run.js [BACKENDS] [SECONDS]; it needs some twelve descriptors for each backend.

import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describeError } from '../../src/core/errors.ts';
import { repositoryRoot } from '../../test/support/repository.ts';
import { measureBuilt, type Built } from './built.ts';
import { quantile } from './quantile.ts';

const [backends = 1000, seconds = 20] = process.argv.slice(2).map(Number);
const write = (text: string): void => void process.stdout.write(`${text}\n`);

async function madeUp(): Promise<string> {
  const script = fileURLToPath(new URL('./made-up.js', import.meta.url));
  const args = ['--expose-gc', script, String(backends), String(seconds)];
  return (await promisify(execFile)(process.execPath, args)).stdout.trim();
}

const ms = (value: number): string => `${value.toFixed(1)} ms`;
const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const kib = (bytes: number): string => `${(bytes / 2 ** 10).toFixed(1)} KiB`;
const shares = (values: readonly number[]): string =>
  [0.5, 0.99, 1].map(share => ms(quantile(values, share))).join(' | ');

function report(inside: string, built: Built): string {
  const { bytes, cpuMsPerSecond, sockets, livez, metrics, state, failovers, verifiedMs } = built;
  const cores = cpus();
  const machine = `${cores.length} cores (${cores[0]?.model.trim() ?? 'unknown'}), ${(totalmem() / 2 ** 30).toFixed(0)} GiB`;
  return `# Scale: what each backend more costs

Measured on ${new Date().toISOString().slice(0, 10)}: ${machine}, shared and noisy, Linux ${release()}, Node ${process.version}.
One run; take the figures for their size, not for their last digit.

## The built CLI, from outside

\`pointsman run\` with ${backends} Redis backends × 3 servers and a frontend for each, all settings at their defaults (a probe of
each server every second; the kernel driver where it is to be had). The ${backends * 3} servers are one scripted process with as many addresses on
loopback, which answers probes and INFO as Redis 7 does and fails over when told; it, the bench and Pointsman share the cores.
Before any figure, and after each failover, every backend must have the right primary and its two replicas, and a connection
through every frontend must be answered by that primary.

| what | total | per backend |
| --- | --- | --- |
| from its first log line to all of that verified (${backends} connections by the bench among it) | ${(verifiedMs / 1000).toFixed(1)} s | |
| processor time at rest, ms per second, over ${seconds} s | ${cpuMsPerSecond.toFixed(0)} | ${(cpuMsPerSecond / backends).toFixed(3)} |
| resident memory (Pss) | ${mib(bytes.all)} | ${kib((bytes.all - bytes.one) / backends)} above that with one backend, ${mib(bytes.one)} |
| the same, after the failovers below | ${mib(bytes.afterwards)} | ${kib((bytes.afterwards - bytes.one) / backends)} |
| sockets at rest | ${sockets} | ${(sockets / backends).toFixed(1)} |
| \`/metrics\`: ${mib(metrics.bytes)} | ${ms(metrics.ms)} | |
| \`/api/v1/state\`: ${mib(state.bytes)} | ${ms(state.ms)} | |

\`/livez\`, asked every 20 ms at rest, is answered within ${ms(quantile(livez, 0.5))} (p50), ${ms(quantile(livez, 0.99))} (p99), ${ms(quantile(livez, 1))} (most): so late is
the event loop, the bench's own lateness included.

| failovers | to | p50 | p99 | most |
| --- | --- | --- | --- | --- |
${failovers
  .flatMap(({ name, seen }) => [
    `| ${name} | the new primary in \`/api/v1/events\` (${seen.knownMs.length}) | ${shares(seen.knownMs)} |`,
    `| | a cut client’s first answer from it (${seen.servedMs.length}) | ${shares(seen.servedMs)} |`,
  ])
  .join('\n')}

- **Crash**: the old primary resets its connections and listens no more, and another one says at the same moment that it is the
  primary. The reset is the signal. Time runs from each backend's own reset.
- **Switchover**: the roles change and nothing is said: the next probe finds out, on average half a second later by default.
- Backends that nothing was done to, and that were without their primary nevertheless: ${failovers.map(({ seen }) => seen.disturbed).join(', ')} in these four.
- **Single ones**: ${failovers[0]?.seen.knownMs.length ?? 0} backends, one after the other within 10 s, while all others are at rest.
- **A cut client** comes back 10 ms after its session has ended, waits in the hold if it must, and asks who is there.

## Pointsman's own work alone

In one process with the real topology, monitors and proxy on the real clock; servers and sockets are made up, so neither the
kernel nor a wire protocol costs anything here.

${inside}

Repeat: \`npm run bench:scale\` (a number after it: that many backends; a second one: seconds at rest). It listens on loopback only
and leaves nothing running.
`;
}

let code = 0;
try {
  const inside = await madeUp();
  write(inside);
  const text = report(inside, await measureBuilt(backends, seconds, write));
  writeFileSync(join(repositoryRoot, 'bench/scale/RESULTS.md'), text);
  write(`\n${text}`);
} catch (thrown) {
  process.stderr.write(`bench:scale: ${describeError(thrown).message}\n`);
  code = 1;
}
process.exit(code);
