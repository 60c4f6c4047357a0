// The second half of bench:scale: the built CLI with as many backends as asked for, before made-up Redis servers in a process
// of their own, on real sockets. Correctness first, then figures. Called by run.ts, which writes them down.

import { Agent, get } from 'node:http';
import { cpuNs, memoryOf } from '../proxy/cpu.ts';
import { sleep } from '../../test/support/wait.ts';
import { quantile } from './quantile.ts';
import { RealFleet, type Failovers } from './real-fleet.ts';

const SETTLE_MS = 3000;
const LIVEZ_EVERY_MS = 20;
const FETCHES = 5;
const SINGLE = 100;
const SINGLE_SPREAD_MS = 10_000;
const WATCHED = 200;

interface Answer {
  readonly bytes: number;
  readonly ms: number;
}

export interface Built {
  /** To the last frontend bound, and from there to each backend known and each frontend verified. */
  readonly verifiedMs: number;
  readonly cpuMsPerSecond: number;
  /** Of one backend, of all. */
  readonly bytes: { readonly one: number; readonly all: number; readonly afterwards: number };
  readonly sockets: number;
  readonly livez: readonly number[];
  readonly metrics: Answer;
  readonly state: Answer;
  readonly failovers: readonly { readonly name: string; readonly seen: Failovers }[];
}

export async function measureBuilt(
  backends: number,
  seconds: number,
  say: (text: string) => void,
): Promise<Built> {
  const one = await withFleet(1, async fleet => {
    await fleet.verify();
    await sleep(SETTLE_MS);
    return memoryOf(fleet.pointsman.pid).bytes;
  });
  return withFleet(backends, async fleet => {
    const { pid, admin } = fleet.pointsman;
    const startedAt = performance.now();
    await fleet.verify();
    const verifiedMs = performance.now() - startedAt;
    say(`${backends} primaries are known and reached`);
    await sleep(SETTLE_MS);
    const cpuBefore = cpuNs(pid);
    const cpuFrom = performance.now();
    await sleep(seconds * 1000);
    const cpuMsPerSecond = (cpuNs(pid) - cpuBefore) / 1000 / (performance.now() - cpuFrom);
    const bytes = memoryOf(pid).bytes;
    const sockets = fleet.sockets();
    const livez = await askLivez(admin, seconds);
    const metrics = await fetchOften(`${admin}/metrics`);
    const state = await fetchOften(`${admin}/api/v1/state`);
    say('measured at rest');
    const failovers: { name: string; seen: Failovers }[] = [];
    const all = Array.from({ length: backends }, (_, index) => index);
    const some = (count: number): number[] => all.filter(index => index % Math.ceil(backends / count) === 0);
    const single = { indexes: some(SINGLE), spreadMs: SINGLE_SPREAD_MS, watched: new Set(some(SINGLE)) };
    const together = { indexes: all, spreadMs: 0, watched: new Set(some(WATCHED)) };
    for (const [name, { indexes, ...how }, crash] of [
      ['crash, single ones', single, true],
      ['switchover, single ones', single, false],
      [`crash of all ${backends} at once`, together, true],
      [`switchover of all ${backends} at once`, together, false],
    ] as const) {
      failovers.push({ name, seen: await fleet.failOver(indexes, { ...how, crash }) });
      await fleet.verify();
      say(`${name}: all are known and reached`);
    }
    const afterwards = memoryOf(pid).bytes;
    return {
      ...{ verifiedMs, cpuMsPerSecond, bytes: { one, all: bytes, afterwards }, sockets, livez },
      ...{ metrics, state, failovers },
    };
  });
}

async function withFleet<T>(backends: number, use: (fleet: RealFleet) => Promise<T>): Promise<T> {
  const fleet = await RealFleet.start(backends);
  try {
    return await use(fleet);
  } finally {
    await fleet.stop();
  }
}

/** How long each answer took: as late as its event loop is. */
async function askLivez(admin: string, seconds: number): Promise<readonly number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const until = performance.now() + seconds * 1000;
  const taken: number[] = [];
  while (performance.now() < until) {
    taken.push((await ask(`${admin}/livez`, agent)).ms);
    await sleep(LIVEZ_EVERY_MS);
  }
  agent.destroy();
  return taken;
}

/** Size, and the median time. */
async function fetchOften(url: string): Promise<Answer> {
  const answers: Answer[] = [];
  for (let round = 0; round < FETCHES; round += 1) {
    answers.push(await ask(url, undefined));
    await sleep(200);
  }
  return {
    bytes: answers[0]?.bytes ?? 0,
    ms: quantile(
      answers.map(({ ms }) => ms),
      0.5,
    ),
  };
}

function ask(url: string, agent: Agent | undefined): Promise<Answer> {
  const from = performance.now();
  return new Promise((resolve, reject) => {
    const request = get(url, agent === undefined ? { agent: false } : { agent }, response => {
      let bytes = 0;
      response.on('data', (chunk: Buffer) => (bytes += chunk.length));
      response.once('error', reject);
      response.once('end', () => {
        if (response.statusCode === 200) resolve({ bytes, ms: performance.now() - from });
        else reject(new Error(`${url} answers ${response.statusCode}`));
      });
    });
    request.once('error', reject);
  });
}
