// Moves the counters as things happen: one observer for the proxy, one for topology changes, one for incidents.
// Holds no state of its own but who was the primary last. Wired by app.

import { outcomeOf } from '../health/result.ts';
import { type EngineObserver } from '../proxy/events.ts';
import { type Incident } from '../topology/incidents.ts';
import { type BackendChange } from '../topology/model.ts';
import { type Metrics } from './metrics.ts';

type ProxyMetrics = Pick<
  EngineObserver,
  'accepted' | 'rejected' | 'holdEnded' | 'connectFailed' | 'connected' | 'sessionEnded' | 'workerLost'
>;

export function proxyMetrics(metrics: Metrics): ProxyMetrics {
  return {
    accepted: (frontend, count) => metrics.frontendConnectionsTotal.inc({ frontend }, count),
    rejected: (frontend, reason) => metrics.frontendConnectionsRejected.inc({ frontend, reason }),
    holdEnded: (frontend, _backend, waitedMs) =>
      metrics.frontendHoldSeconds.observe({ frontend }, waitedMs / 1000),
    connectFailed: (backend, server, reason) => metrics.serverConnectErrors.inc({ backend, server, reason }),
    connected(backend, server, connectMs) {
      metrics.serverConnections.inc({ backend, server });
      metrics.serverConnectSeconds.observe({ backend, server }, connectMs / 1000);
    },
    sessionEnded: ({ frontend, backend, server, reason }) =>
      metrics.sessionsClosed.inc({ frontend, backend, server, reason }),
    workerLost(lost) {
      for (const { sessions, ...labels } of lost) {
        metrics.sessionsClosed.inc({ ...labels, reason: 'worker-lost' }, sessions);
      }
    },
  };
}

export function topologyMetrics(metrics: Metrics): (change: BackendChange) => void {
  const lastPrimary = new Map<string, string>();
  return ({ before, after }) => {
    const backend = after.name;
    after.servers.forEach((server, index) => {
      const result = server.result;
      if (result === null || result === before.servers[index]?.result) return;
      metrics.serverCheckSeconds.observe({ backend, server: server.name }, result.durationMs / 1000);
      if (outcomeOf(result) !== 'pass') {
        metrics.serverCheckFailures.inc({ backend, server: server.name, code: result.code });
      }
    });
    if (after.primary === null || after.primary === lastPrimary.get(backend)) return;
    if (lastPrimary.has(backend)) metrics.backendPrimaryChanges.inc({ backend });
    lastPrimary.set(backend, after.primary);
  };
}

export function incidentMetrics(metrics: Metrics): (incident: Incident) => void {
  return ({ backend, durationMs }) => {
    if (durationMs !== null) metrics.failoverSeconds.observe({ backend }, durationMs / 1000);
  };
}
