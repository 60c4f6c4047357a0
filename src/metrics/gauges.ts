// Brings the gauges up to date at the moment of a scrape, from the views and the proxy's own numbers.
// Nothing is kept between scrapes but what turns running totals into counters.

import { type Clock, type MonotonicMs } from '../core/clock.ts';
import { factsOf, type Role } from '../health/result.ts';
import { type FrontendGauge } from '../proxy/events.ts';
import { missingFromPrimary } from '../topology/evidence/mysql-history.ts';
import {
  adminStates,
  hasRoles,
  type BackendChange,
  type BackendView,
  type ServerView,
} from '../topology/model.ts';
import { forgetLabels } from './forget.ts';
import { type Metrics } from './metrics.ts';
import { lossLabels } from './observers.ts';

export interface LiveState {
  views(): readonly BackendView[];
  frontends(): readonly FrontendGauge[];
  sessionsOf(backend: string, server: string): number;
  /** Until when a circuit breaker is open; left out: none ever is. */
  openUntil?(backend: string, server: string): MonotonicMs;
  /** Where client addresses are counted, by frontend; left out: nowhere. */
  tables?(): ReadonlyMap<string, { readonly unjudged: number }>;
}

const roles: readonly Role[] = ['primary', 'replica', 'unknown'];

export interface GaugeReader {
  /** Call on every topology change: keeps the time without a primary exact. */
  observe(change: BackendChange): void;
  /** Call before each scrape. */
  refresh(): void;
}

export function createGauges(metrics: Metrics, state: LiveState, clock: Clock): GaugeReader {
  const unjudgedSeen = new Map<string, number>();
  const bytesSeen = new Map<string, { up: number; down: number }>();
  const vacantSince = new Map<string, MonotonicMs>();
  const known = new Set<string>();
  for (const view of state.views()) adopt(view);

  /** From when it is first seen on: a reload may bring it. */
  function adopt({ name: backend, protocol, primary }: BackendView): void {
    if (known.has(backend) || !hasRoles(protocol)) return;
    known.add(backend);
    if (primary === null) vacantSince.set(backend, clock.now());
    metrics.backendPrimaryChanges.inc({ backend }, 0);
    for (const loss of lossLabels) metrics.failovers.inc({ backend, loss }, 0);
  }

  /** What a reload has taken away. */
  function forget(views: readonly BackendView[], frontends: readonly FrontendGauge[]): void {
    for (const backend of known) {
      if (views.some(({ name, protocol }) => name === backend && hasRoles(protocol))) continue;
      known.delete(backend);
      vacantSince.delete(backend);
    }
    for (const frontend of bytesSeen.keys()) {
      if (frontends.some(({ name }) => name === frontend)) continue;
      bytesSeen.delete(frontend);
      void forgetLabels(metrics, { frontend });
    }
  }

  const ofServers = [
    metrics.serverUp,
    metrics.serverConnectionsActive,
    metrics.serverConnectionsMax,
    metrics.serverCircuitOpen,
    metrics.serverAdminState,
    metrics.serverWritable,
    metrics.serverRole,
    metrics.serverLag,
    metrics.serverLagBytes,
    metrics.frontendServerUsed,
    metrics.serverMissingTransactions,
    metrics.serverReplicationFault,
    metrics.backendPrimary,
  ];

  /** Adds the time since the last look, if there was no primary then, and looks again. */
  function countVacancy(view: BackendView, now: MonotonicMs): void {
    const since = vacantSince.get(view.name);
    const seconds = since === undefined ? 0 : (now - since) / 1000;
    metrics.backendWithoutPrimarySeconds.inc({ backend: view.name }, seconds);
    if (view.primary === null) vacantSince.set(view.name, now);
    else vacantSince.delete(view.name);
  }

  function refreshServer(view: BackendView, server: ServerView): void {
    const labels = { backend: view.name, server: server.name };
    metrics.serverUp.set(labels, server.health.kind === 'up' ? 1 : 0);
    metrics.serverConnectionsActive.set(labels, state.sessionsOf(view.name, server.name));
    if (server.maxConnections !== null) metrics.serverConnectionsMax.set(labels, server.maxConnections);
    if (view.circuitBreaker !== null) {
      const openUntil = state.openUntil?.(view.name, server.name) ?? 0;
      metrics.serverCircuitOpen.set(labels, openUntil > clock.now() ? 1 : 0);
    }
    for (const state of adminStates)
      metrics.serverAdminState.set({ ...labels, state }, server.admin === state ? 1 : 0);
    if (hasRoles(view.protocol)) refreshRole(view, server, labels);
  }

  /** Where servers have no roles these are absent: a 0 would look like a primary that is missed. */
  function refreshRole(
    view: BackendView,
    server: ServerView,
    labels: { readonly backend: string; readonly server: string },
  ): void {
    const facts = factsOf(server.result);
    metrics.serverWritable.set(labels, facts?.writable === true ? 1 : 0);
    for (const role of roles)
      metrics.serverRole.set({ ...labels, role }, (facts?.role ?? 'unknown') === role ? 1 : 0);
    if (facts !== null && facts.lagSeconds !== null) metrics.serverLag.set(labels, facts.lagSeconds);
    if (server.standing.lagBytes !== null) metrics.serverLagBytes.set(labels, server.standing.lagBytes);
    const missing = missingFromPrimary(server, view);
    if (missing !== null) metrics.serverMissingTransactions.set(labels, missing);
    metrics.backendPrimary.set(labels, view.primary === server.name ? 1 : 0);
  }

  /** Of ports for readers. A primary that stands in for replicas is 1 all the time: it may get any. */
  function refreshUse({ name: frontend, backend, route, unused }: FrontendGauge): void {
    if (route === 'primary') return;
    const { servers = [], primary = null } = state.views().find(({ name }) => name === backend) ?? {};
    for (const { name: server } of servers) {
      if (server === primary && route === 'replica') continue;
      const isUsed = !unused.some(each => each.server === server);
      metrics.frontendServerUsed.set({ frontend, server }, isUsed ? 1 : 0);
    }
  }

  function refreshFrontend(gauge: FrontendGauge): void {
    const { name: frontend, connections, held, bytesUp, bytesDown } = gauge;
    refreshUse(gauge);
    const seen = bytesSeen.get(frontend) ?? { up: 0, down: 0 };
    metrics.frontendConnectionsActive.set({ frontend }, connections);
    metrics.frontendHeld.set({ frontend }, held);
    metrics.frontendBytes.inc({ frontend, direction: 'in' }, Math.max(0, bytesUp - seen.up));
    metrics.frontendBytes.inc({ frontend, direction: 'out' }, Math.max(0, bytesDown - seen.down));
    bytesSeen.set(frontend, { up: bytesUp, down: bytesDown });
  }

  function refreshUnjudged(): void {
    for (const [frontend, { unjudged }] of state.tables?.() ?? []) {
      const more = unjudged - (unjudgedSeen.get(frontend) ?? 0);
      metrics.frontendUnjudged.inc({ frontend }, Math.max(0, more));
      unjudgedSeen.set(frontend, unjudged);
    }
  }

  return {
    observe: ({ before, after, at }) => {
      adopt(after);
      if (before.primary !== after.primary) countVacancy(after, at);
    },
    refresh() {
      // What is told of servers is told anew each time: members may have left, and absent means unknown.
      for (const gauge of ofServers) gauge.reset();
      const [views, frontends] = [state.views(), state.frontends()];
      forget(views, frontends);
      for (const view of views) {
        adopt(view);
        for (const { server, code } of view.faults) {
          metrics.serverReplicationFault.set({ backend: view.name, server, code }, 1);
        }
        if (hasRoles(view.protocol)) {
          countVacancy(view, clock.now());
          metrics.backendSplitBrain.set({ backend: view.name }, view.splitBrain ? 1 : 0);
          metrics.backendHeld.set({ backend: view.name }, view.held === null ? 0 : 1);
        }
        if (view.orchestrator !== null) {
          metrics.backendOrchestratorUp.set({ backend: view.name }, view.opinion === null ? 0 : 1);
          metrics.backendDisagreement.set({ backend: view.name }, view.disagreement === null ? 0 : 1);
        }
        for (const server of view.servers) refreshServer(view, server);
      }
      for (const frontend of frontends) refreshFrontend(frontend);
      refreshUnjudged();
    },
  };
}
