// Moves the counters as things happen: one observer for the proxy, one for topology changes, one for incidents.
// Holds no state of its own but who was the primary last. Wired by app.

import { outcomeOf } from '../health/result.ts';
import { type EngineObserver } from '../proxy/events.ts';
import { type Incident } from '../topology/incidents.ts';
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
    rejected: (frontend, reason) => metrics.frontendConnectionsRejected.inc({ frontend, reason }),
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
