// Literals for tests of what reads views: results, servers, backends, with what matters given and the rest plausible.

import {
  hasPassed,
  nothingTold,
  type FailureCode,
  type ProbeResult,
  type ServerFacts,
} from '../../src/health/result.ts';
import { type HealthState } from '../../src/health/state.ts';
import { type BackendView, type ServerView } from '../../src/topology/model.ts';
import { initialStanding } from '../../src/topology/standing.ts';

export const FRESHNESS_MS = 2350;

export function facts(given: Partial<ServerFacts> = {}): ServerFacts {
  return {
    role: 'primary',
    writable: true,
    version: '18.4',
    systemId: '7000000000000000001',
    timeline: 1,
    position: '0/3000148',
    lagSeconds: null,
    replicating: null,
    upstream: null,
    channels: [],
    history: null,
    wal: null,
    ...given,
  };
}

const replicaFacts = (given: Partial<ServerFacts> = {}): ServerFacts =>
  facts({ role: 'replica', writable: false, lagSeconds: 0, replicating: true, ...given });

export function pass(given: Partial<ServerFacts> = {}, at = 0): ProbeResult & { code: 'L7OK' } {
  return { code: 'L7OK', facts: facts(given), detail: 'ok', at, wallAt: at, durationMs: 1 };
}

export const passReplica = (given: Partial<ServerFacts> = {}, at = 0): ProbeResult & { code: 'L7OK' } => ({
  ...pass({}, at),
  facts: replicaFacts(given),
});

/** What a check of a plain TCP server says that accepts connections. */
export const passTcp = (at = 0): ProbeResult & { code: 'L4OK' } => ({
  ...pass({}, at),
  code: 'L4OK',
  detail: 'accepts connections',
  facts: nothingTold,
});

export const fail = (code: FailureCode = 'L4CON', at = 0): ProbeResult => ({
  code,
  detail: `failed: ${code}`,
  at,
  wallAt: at,
  durationMs: 1,
});

export const up: HealthState = { kind: 'up', fails: 0 };
export const down = (lastError: FailureCode = 'L4CON'): HealthState => ({
  kind: 'down',
  passes: 0,
  since: 0,
  lastError,
});

export function server(name: string, result: ProbeResult | null, health?: HealthState): ServerView {
  const implied: HealthState =
    result === null ? { kind: 'unknown', passes: 0, fails: 0 } : hasPassed(result) ? up : down(result.code);
  return {
    name,
    address: { host: '10.0.0.1', port: 5000 + Number(/\d+/.exec(name)?.[0] ?? 0) },
    host: null,
    health: health ?? implied,
    result,
    lastAnswer: result !== null && hasPassed(result) ? result : null,
    upSince: (health ?? implied).kind === 'up' ? 0 : null,
    writableSince: null,
    weight: 100,
    zone: null,
    backup: false,
    standing: initialStanding,
    maxConnections: null,
    admin: 'ready',
  };
}

export function backend(servers: readonly ServerView[], given: Partial<BackendView> = {}): BackendView {
  return {
    name: 'app',
    protocol: 'postgres',
    servers,
    primary: null,
    epoch: 0,
    splitBrain: false,
    faults: [],
    orchestrator: null,
    opinion: null,
    directive: null,
    held: null,
    notes: [],
    disagreement: null,
    reasons: [],
    freshnessMs: FRESHNESS_MS,
    slowStartMs: 0,
    circuitBreaker: null,
    surge: null,
    sendProxy: null,
    ...given,
  };
}
