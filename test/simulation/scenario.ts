// A scenario is data: how Pointsman and its world are set up, and which faults come when. Generated from a seed, written to
// a file when it fails, shortened by shrink.ts, and run by simulation.ts. The same scenario always runs the same way.

import { seededRandom, type Random } from '../../src/core/random.ts';

export const routes = ['primary', 'replica', 'replica-or-primary', 'any'] as const;
export const policies = ['newest', 'keep', 'block', 'ordered'] as const;

export interface Setup {
  readonly protocol: 'postgres' | 'redis' | 'mysql';
  /** Of everything that happens by chance while it runs: delays, losses, what clients do. */
  readonly seed: number;
  readonly durationMs: number;
  /** After all is healed, for everything to come to rest: longer than any hold, timeout and patience. */
  readonly restMs: number;
  readonly servers: number;
  /** The members are told by the orchestrator, and one more server is there to take a place. */
  readonly learned: boolean;
  readonly orchestrated: boolean;
  readonly policy: (typeof policies)[number];
  readonly rise: number;
  readonly fall: number;
  readonly intervalMs: number;
  readonly fastIntervalMs: number;
  readonly timeoutMs: number;
  readonly settleMs: number;
  readonly holdMs: number;
  readonly holdMax: number;
  readonly connectTimeoutMs: number;
  /** Of the frontends beside that for writers. */
  readonly readers: readonly (typeof routes)[number][];
  readonly clients: number;
  readonly thinkMs: number;
  readonly latencyMs: number;
  readonly patienceMs: number;
  readonly promotedReadOnlyMs: number;
  readonly rejoinMs: number;
  readonly namesNobody: boolean;
  readonly namesOnly: boolean;
  /** Writers claim from the first moment: the first server's timeline, and how many of the others are writable as well. */
  readonly writersAtStart: number;
  /** Of Redis: what a primary that is restarted finds on its disk. */
  readonly persistence: 'none' | 'old' | 'all';
  /** Pointsman has a state file. */
  readonly stateFile: boolean;
}

/** What each kind needs; `server` is an index, and for one of the orchestrator's or Pointsman's own it means nothing. */
export const faultKinds = [
  'kill',
  'power-off',
  'freeze',
  'cut-to',
  'cut-from',
  'cut',
  'isolate',
  'unseen',
  'slow',
  'lossy',
  'busy',
  'read-only',
  'restart',
  'switchover',
  'promote',
  'replace',
  'set-back',
  'clock-set',
  'stall',
  'replica-slow',
  'replica-stopped',
  'pointsman-closed',
  'pointsman-killed',
  'orchestrator-paused',
  'orchestrator-silent',
  'orchestrator-lies',
  'leave',
  'drain',
  'maintenance',
  'reload-server',
  'reload-limits',
  'reload-readers',
] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Fault {
  readonly kind: FaultKind;
  readonly atMs: number;
  readonly server: number;
  /** How long it lasts. */
  readonly forMs: number;
}

export interface Scenario {
  readonly setup: Setup;
  readonly faults: readonly Fault[];
}

/** How often each kind is drawn, against the others. */
const weights: Readonly<Record<FaultKind, number>> = {
  kill: 10,
  'power-off': 4,
  freeze: 6,
  'cut-to': 4,
  'cut-from': 4,
  cut: 6,
  isolate: 5,
  unseen: 7,
  slow: 3,
  lossy: 3,
  busy: 6,
  'read-only': 3,
  restart: 6,
  switchover: 6,
  promote: 6,
  replace: 2,
  'set-back': 3,
  'clock-set': 1,
  stall: 4,
  'replica-slow': 6,
  'replica-stopped': 3,
  'pointsman-closed': 3,
  'pointsman-killed': 4,
  'orchestrator-paused': 2,
  'orchestrator-silent': 3,
  'orchestrator-lies': 2,
  leave: 3,
  drain: 2,
  maintenance: 2,
  // Drawn apart.
  'reload-server': 0,
  'reload-limits': 0,
  'reload-readers': 0,
};
const reloads = ['reload-limits', 'reload-limits', 'reload-server', 'reload-readers'] as const;
/** One seed in so many reloads, and does so often: what the others do stays what it was before there were reloads. */
const RELOADING_SEEDS = 10;
/** Of a pair of masters, which nobody manages. */
const ofPairs: ReadonlySet<FaultKind> = new Set(['replica-slow', 'replica-stopped']);
const ofClusters: ReadonlySet<FaultKind> = new Set([
  'unseen',
  'switchover',
  'promote',
  'replace',
  'set-back',
  'orchestrator-paused',
  'orchestrator-silent',
  'orchestrator-lies',
  'leave',
]);
const drawnFrom = (left: ReadonlySet<FaultKind>): readonly FaultKind[] =>
  faultKinds.flatMap(kind => Array.from({ length: left.has(kind) ? 0 : weights[kind] }, () => kind));
const drawnOfClusters = drawnFrom(ofPairs);
const drawnOfPairs = drawnFrom(ofClusters);

export function generate(seed: number): Scenario {
  const random = seededRandom(Math.imul(seed, 2654435761));
  const durationMs = whole(random, 8_000, 24_000);
  const share = random();
  const protocol = share < 0.65 ? 'postgres' : share < 0.85 ? 'redis' : 'mysql';
  const isPair = protocol === 'mysql';
  const orchestrated = !isPair && random() < 0.4;
  const learned = orchestrated && random() < 0.5;
  const servers = isPair || random() < 0.3 ? 2 : 3;
  const timeoutMs = pick(random, [100, 250, 1000]);
  const setup: Setup = {
    protocol,
    seed,
    durationMs,
    restMs: 12_000,
    servers,
    learned,
    orchestrated,
    policy: isPair ? 'ordered' : random() < 0.55 ? 'newest' : pick(random, policies),
    rise: pick(random, [1, 1, 2]),
    fall: pick(random, [1, 2, 2, 3]),
    intervalMs: pick(random, [100, 250, 500, 1000]),
    fastIntervalMs: pick(random, [20, 50]),
    timeoutMs,
    settleMs: isPair ? 0 : protocol === 'redis' ? pick(random, [0, 800, 2500]) : pick(random, [0, 0, 0, 500]),
    holdMs: pick(random, [0, 300, 2000, 8000]),
    holdMax: pick(random, [2, 8, 1000]),
    connectTimeoutMs: pick(random, [100, 500, 2000]),
    // Of two masters neither is a replica.
    readers: routes.filter(
      route => random() < 0.45 && route !== 'primary' && !(isPair && route === 'replica'),
    ),
    clients: whole(random, 3, 10),
    thinkMs: pick(random, [30, 100, 300]),
    latencyMs: pick(random, [0.2, 1, 5]),
    patienceMs: pick(random, [200, 600, 2000]),
    promotedReadOnlyMs: protocol !== 'postgres' ? 0 : pick(random, [0, 0, 300, 1500]),
    rejoinMs: pick(random, [50, 400, 2000, 6000]),
    namesNobody: random() < 0.4,
    // What is learned has names of ours.
    namesOnly: protocol === 'postgres' && !learned && random() < 0.3,
    writersAtStart: random() < 0.15 ? whole(random, 1, servers) : 1,
    persistence: pick(random, ['none', 'old', 'all']),
    stateFile: random() < 0.75,
  };
  const faults = Array.from({ length: whole(random, 2, 18) }, () => drawFault(random, setup));
  const all = seed % RELOADING_SEEDS === 5 ? [...faults, ...drawReloads(random, setup)] : faults;
  return { setup, faults: all.sort((a, b) => a.atMs - b.atMs) };
}

function drawReloads(random: Random, setup: Setup): readonly Fault[] {
  return Array.from({ length: whole(random, 2, 8) }, () => ({
    ...drawFault(random, setup),
    kind: pick(random, reloads),
  }));
}

function drawFault(random: Random, { protocol, durationMs, servers, learned }: Setup): Fault {
  const short = random() < 0.4;
  return {
    kind: pick(random, protocol === 'mysql' ? drawnOfPairs : drawnOfClusters),
    atMs: whole(random, 0, durationMs * 0.9),
    server: whole(random, 0, servers + (learned ? 1 : 0)),
    forMs: short ? whole(random, 1, 300) : whole(random, 300, durationMs / 4),
  };
}

/** From `least` up to and without `bound`. */
function whole(random: Random, least: number, bound: number): number {
  return least + Math.floor(random() * (bound - least));
}

function pick<T>(random: Random, values: readonly T[]): T {
  return values[Math.floor(random() * values.length)]!;
}
