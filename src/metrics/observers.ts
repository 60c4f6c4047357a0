// Moves the counters as things happen: one observer for the proxy, one for topology changes, one for incidents.
// Holds no state of its own but who was the primary last. Wired by app.

import { reloadOutcomes, type ReloadOutcome } from '../config/reload-plan.ts';
import { type Clock } from '../core/clock.ts';
import { outcomeOf } from '../health/result.ts';
import { type EngineObserver } from '../proxy/events.ts';
import { type Incident } from '../topology/incidents.ts';
import { type Loss } from '../topology/loss.ts';
import { type BackendChange } from '../topology/model.ts';
import { type Metrics } from './metrics.ts';
import { Sums } from './sums.ts';

type ProxyMetrics = Pick<
  EngineObserver,
  'accepted' | 'rejected' | 'holdEnded' | 'connectFailed' | 'connected' | 'sessionEnded' | 'workerLost'
>;

export function proxyMetrics(metrics: Metrics): ProxyMetrics {
  const accepted = new Sums(metrics.frontendConnectionsTotal, 'frontend');
  const connected = new Sums(metrics.serverConnections, 'backend', 'server');
  const closed = new Sums(metrics.sessionsClosed, 'frontend', 'backend', 'server', 'reason');
  return {
    accepted: (frontend, count) => accepted.add(count, frontend),
    rejected: (frontend, reason, _client, count = 1) =>
      metrics.frontendConnectionsRejected.inc({ frontend, reason }, count),
    holdEnded: (frontend, _backend, waitedMs) =>
      metrics.frontendHoldSeconds.observe({ frontend }, waitedMs / 1000),
    connectFailed: (backend, server, reason) => metrics.serverConnectErrors.inc({ backend, server, reason }),
    connected(backend, server, connectMs) {
      connected.add(1, backend, server);
      metrics.serverConnectSeconds.observe({ backend, server }, connectMs / 1000);
    },
    sessionEnded: ({ frontend, backend, server, reason }) => closed.add(1, frontend, backend, server, reason),
    workerLost(lost) {
      for (const { frontend, backend, server, sessions } of lost) {
        closed.add(sessions, frontend, backend, server, 'worker-lost');
      }
    },
  };
}

export function topologyMetrics(metrics: Metrics): (change: BackendChange) => void {
  const lastPrimary = new Map<string, string>();
  return ({ before, after }) => {
    const backend = after.name;
    for (const server of after.servers) {
      const { result } = server;
      // By name: members may come and go.
      const previous = before.servers.find(({ name }) => name === server.name);
      if (result === null || result === previous?.result) continue;
      metrics.serverCheckSeconds.observe({ backend, server: server.name }, result.durationMs / 1000);
      if (outcomeOf(result) !== 'pass') {
        metrics.serverCheckFailures.inc({ backend, server: server.name, code: result.code });
      }
    }
    // The first change may be the end of a primary that was known from before a restart.
    const last = lastPrimary.get(backend) ?? before.primary;
    if (last !== null) lastPrimary.set(backend, last);
    if (after.primary === null || after.primary === last) return;
    if (last !== null) metrics.backendPrimaryChanges.inc({ backend });
    lastPrimary.set(backend, after.primary);
  };
}

/** What came of a reload. The configuration of the start is the first that was applied. */
export function reloadMetrics(metrics: Metrics, clock: Clock): (outcome: ReloadOutcome) => void {
  const inForce = (generation: number): void => {
    metrics.configGeneration.set(generation);
    metrics.configLastReloadSuccessful.set(1);
    metrics.configLastReloadSuccess.set(clock.wall() / 1000);
  };
  for (const outcome of reloadOutcomes) metrics.configReloads.inc({ outcome }, 0);
  inForce(1);
  return ({ kind, generation }) => {
    metrics.configReloads.inc({ outcome: kind });
    if (kind === 'applied' || kind === 'unchanged') inForce(generation);
    else metrics.configLastReloadSuccessful.set(0);
  };
}

export function incidentMetrics(metrics: Metrics): (incident: Incident) => void {
  return ({ backend, durationMs, outcome, loss }) => {
    if (durationMs !== null) metrics.failoverSeconds.observe({ backend }, durationMs / 1000);
    if (loss === null) return;
    if (outcome === 'failover') metrics.failovers.inc({ backend, loss: lossLabel(loss) });
    setLoss(metrics, backend, loss);
  };
}

/** For a report that was revised: how many failovers there were stays as it is. */
export function revisedLossMetrics(metrics: Metrics): (incident: Incident) => void {
  return ({ backend, loss }) => {
    if (loss !== null) setLoss(metrics, backend, loss);
  };
}

/** `unseen`: nothing that was seen is missing, and what nobody saw may be. */
export const lossLabels = ['none', 'unseen', 'seen', 'unknown'] as const;

function lossLabel(loss: Loss): (typeof lossLabels)[number] {
  if (loss.kind === 'none' || loss.kind === 'unknown') return loss.kind;
  const amount = loss.kind === 'bytes' ? loss.bytes : loss.count;
  return amount > 0 ? 'seen' : 'unseen';
}

/** In the unit of the report; a proven none is none in both. */
function setLoss(metrics: Metrics, backend: string, loss: Loss): void {
  const { failoverLostBytes: bytes, failoverLostTransactions: transactions } = metrics;
  bytes.remove({ backend });
  transactions.remove({ backend });
  if (loss.kind === 'bytes') bytes.set({ backend }, loss.bytes);
  if (loss.kind === 'transactions') transactions.set({ backend }, loss.count);
  if (loss.kind !== 'none') return;
  bytes.set({ backend }, 0);
  transactions.set({ backend }, 0);
}
