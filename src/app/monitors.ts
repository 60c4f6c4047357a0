// Builds one monitor per server of every backend and keeps their tempo in step with what the topology knows.
// Owned by app.

import { type Clock, type MonotonicMs } from '../core/clock.ts';
import { type Random } from '../core/random.ts';
import { type BackendConfig, type Config } from '../config/schema.ts';
import { Monitor } from '../health/monitor.ts';
import { createProber } from '../health/probers/create.ts';
import { factsOf } from '../health/result.ts';
import { freshnessBoundMs, type Tempo } from '../health/schedule.ts';
import { hasRoles, type BackendView } from '../topology/model.ts';
import { type BackendSpec, type Topology } from '../topology/topology.ts';

/** A backend that has been without a primary for longer isn't amid a failover: its replicas are asked less often. */
const PROMOTION_EXPECTED_MS = 120_000;

export function backendSpecs(config: Config): readonly BackendSpec[] {
  return Object.entries(config.backends).map(([name, backend]) => {
    const common = {
      name,
      servers: Object.entries(backend.servers).map(([server, { address }]) => ({ name: server, address })),
      freshnessMs: freshnessBoundMs(backend.check),
    };
    return backend.protocol === 'tcp'
      ? { ...common, protocol: backend.protocol }
      : { ...common, protocol: backend.protocol, multipleWriters: backend.multipleWriters };
  });
}

export interface Monitors {
  start(): void;
  stop(): void;
}

export function createMonitors(config: Config, topology: Topology, clock: Clock, random: Random): Monitors {
  const groups = Object.entries(config.backends).map(([name, backend]) =>
    backendMonitors(name, backend, topology, clock, random),
  );
  return {
    start: () => groups.forEach(group => group.start()),
    stop: () => groups.forEach(group => group.stop()),
  };
}

function backendMonitors(
  name: string,
  backend: BackendConfig,
  topology: Topology,
  clock: Clock,
  random: Random,
): Monitors {
  // Servers without roles are never waited for to be promoted: their third pace is the second, and not used.
  const policy = { promotionIntervalMs: backend.check.fastIntervalMs, ...backend.check };
  let vacantSince: MonotonicMs | null = null;
  const tempo = (): Tempo =>
    tempoOf(topology.view(name), vacantSince === null ? null : clock.now() - vacantSince);

  const monitors = Object.entries(backend.servers).map(
    ([server, { address }]) =>
      new Monitor({
        clock,
        random,
        tempo,
        policy,
        prober: createProber(backend, address, clock),
        report: (health, result) => topology.report(name, server, health, result),
      }),
  );
  const unsubscribe = topology.changes.subscribe(({ before, after, at }) => {
    if (after.name !== name) return;
    if (before.primary !== after.primary) vacantSince = after.primary === null ? at : null;
    if (tempoOf(before, null) !== tempoOf(after, 0)) monitors.forEach(monitor => monitor.retune());
  });
  return {
    start: () => monitors.forEach(monitor => monitor.start()),
    stop() {
      unsubscribe();
      monitors.forEach(monitor => monitor.stop());
    },
  };
}

/** Always calm where there are no roles: each server's own state sets its pace. Vacant while a primary was lost not long ago; doubt while the primary isn't seen well or two claim to be it. */
function tempoOf(view: BackendView, vacantForMs: number | null): Tempo {
  if (!hasRoles(view.protocol)) return 'calm';
  if (view.primary === null) {
    return vacantForMs !== null && vacantForMs <= PROMOTION_EXPECTED_MS ? 'vacant' : 'doubt';
  }
  const facts = factsOf(view.servers.find(server => server.name === view.primary)?.result ?? null);
  const well = facts !== null && facts.role === 'primary' && facts.writable;
  return well && !view.splitBrain ? 'calm' : 'doubt';
}
