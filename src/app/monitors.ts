// Builds one monitor per server of every backend and keeps their tempo in step with what the topology knows.
// Owned by app.

import { isDeepStrictEqual } from 'node:util';
import { isIpAddress } from '../config/addresses.ts';
import { type Clock, type MonotonicMs } from '../core/clock.ts';
import { type Random } from '../core/random.ts';
import { type BackendConfig, type Config, type SendProxy } from '../config/schema.ts';
import { Monitor } from '../health/monitor.ts';
import { createProber } from '../health/probers/create.ts';
import { factsOf } from '../health/result.ts';
import { freshnessBoundMs, type Tempo } from '../health/schedule.ts';
import { hasRoles, type BackendChange, type BackendView, type ServerView } from '../topology/model.ts';
import { wantsOf } from '../topology/standing.ts';
import { slotNames } from '../topology/sources/slots.ts';
import { type BackendSpec, type Topology } from '../topology/topology.ts';

/** A backend that has been without a primary for longer isn't amid a failover: its replicas are asked less often. */
const PROMOTION_EXPECTED_MS = 120_000;
/**
 * A member of a cluster died: when the others notice, which takes Galera from 5 to 15 seconds, they may find that they have
 * lost their quorum, and from that moment on all writes fail.
 */
const QUORUM_DOUBTED_MS = 15_000;

export function backendSpecs(config: Config): readonly BackendSpec[] {
  return Object.entries(config.backends).map(([name, backend]) => {
    const orchestrator = orchestratorOf(backend);
    const common = {
      name,
      servers: Object.entries(backend.servers).map(
        ([server, { address, weight, maxConnections, zone, backup }]) => ({
          name: server,
          address,
          ...(isIpAddress(address.host) ? {} : { host: address.host }),
          weight,
          maxConnections,
          zone,
          backup,
        }),
      ),
      freshnessMs: freshnessBoundMs(backend.check),
      slowStartMs: backend.slowStartMs,
      reads: wantsOf(Object.values(config.frontends).filter(frontend => frontend.backend === name)),
      sendProxy: sendProxyOf(backend),
      settleMs: 'settleMs' in backend.check ? backend.check.settleMs : 0,
      ...(orchestrator === null ? {} : { orchestrator }),
      ...(isLearned(backend) ? { slots: slotNames(backend.protocol, maxServersOf(backend)) } : {}),
    };
    return { ...backend, ...common };
  });
}

/** Whether the members are those that others tell. */
export function isLearned(backend: BackendConfig): boolean {
  return Object.keys(backend.servers).length === 0;
}

/** Whether it is still the same backend: one that speaks another protocol, or whose members others tell now, is another one. */
function isSameNature(before: BackendConfig, after: BackendConfig): boolean {
  return before.protocol === after.protocol && isLearned(before) === isLearned(after);
}

/** How many members may be learned. */
export function maxServersOf(backend: BackendConfig): number {
  return sourceOf(backend)?.maxServers ?? 0;
}

function sourceOf(backend: BackendConfig): { readonly maxServers: number } | null {
  if (backend.dns !== null) return backend.dns;
  switch (backend.protocol) {
    case 'redis':
      return backend.sentinel;
    case 'postgres':
      return backend.pgAutoFailover ?? backend.patroni;
    default:
      return null;
  }
}

function orchestratorOf(backend: BackendConfig): string | null {
  switch (backend.protocol) {
    case 'redis':
      return backend.sentinel && 'the Sentinels';
    case 'postgres':
      if (backend.pgAutoFailover !== null) return 'the pg_auto_failover monitor';
      return backend.patroni && 'Patroni';
    default:
      return null;
  }
}

export interface Monitors {
  start(): void;
  /** Probes a server without waiting for its turn: a client could not be connected to it. Nothing for one that is no member. */
  askNow(backend: string, server: string): void;
  /** By another configuration: who is asked in the same way as before is asked on; the topology has its backends already. */
  reconfigure(config: Config): void;
  stop(): void;
}

/** `proberFor`: who asks a server; a simulation has its own. */
export function createMonitors(
  config: Config,
  topology: Topology,
  clock: Clock,
  random: Random,
  proberFor: typeof createProber = createProber,
): Monitors {
  const create = (name: string, backend: BackendConfig): Group =>
    backendMonitors(name, backend, topology, clock, random, proberFor);
  const groups = new Map(
    Object.entries(config.backends).map(([name, backend]) => [name, create(name, backend)] as const),
  );
  let known = config.backends;
  // One subscription for all: each probe is a change, and concerns one backend.
  const unsubscribe = topology.changes.subscribe(change => groups.get(change.after.name)?.changed(change));
  return {
    start: () => groups.forEach(group => group.start()),
    askNow: (backend, server) => groups.get(backend)?.askNow(server),
    reconfigure({ backends }) {
      const before = known;
      known = backends;
      for (const [name, group] of groups) {
        const [one, other] = [before[name], backends[name]];
        if (one !== undefined && other !== undefined && isSameNature(one, other)) group.reconfigure(other);
        else {
          group.stop();
          groups.delete(name);
        }
      }
      for (const [name, backend] of Object.entries(backends)) {
        if (groups.has(name)) continue;
        const group = create(name, backend);
        groups.set(name, group);
        group.start();
      }
    },
    stop() {
      unsubscribe();
      groups.forEach(group => group.stop());
    },
  };
}

/** The monitors of one backend. */
interface Group {
  start(): void;
  askNow(server: string): void;
  changed(change: BackendChange): void;
  reconfigure(backend: BackendConfig): void;
  stop(): void;
}

function backendMonitors(
  name: string,
  configured: BackendConfig,
  topology: Topology,
  clock: Clock,
  random: Random,
  proberFor: typeof createProber,
): Group {
  let backend = configured;
  let vacantSince: MonotonicMs | null = null;
  const tempo = (): Tempo =>
    tempoOf(topology.view(name), vacantSince === null ? null : clock.now() - vacantSince, clock.now());

  const create = ({ name: server, address, host, health, result }: ServerView): Monitor => {
    const writable = ownSqlOf(backend, server);
    return new Monitor({
      clock,
      random,
      tempo,
      // Servers without roles are never waited for to be promoted: their third pace is the second, and not used.
      policy: { promotionIntervalMs: backend.check.fastIntervalMs, ...backend.check },
      known: { health, result },
      prober: proberFor(backend, { address, host, writable }, clock),
      report: (health, result) => topology.report(name, server, health, result),
    });
  };
  const monitors = new Map(topology.view(name).servers.map(server => [server.name, create(server)] as const));
  /** Members that are learned come and go, and names move from one address to another: who has left is not asked any more. */
  function follow(before: BackendView, after: BackendView): void {
    for (const server of before.servers) {
      if (after.servers.some(view => isSamePlace(view, server))) continue;
      monitors.get(server.name)?.stop();
      monitors.delete(server.name);
    }
    for (const server of after.servers) {
      if (monitors.has(server.name)) continue;
      const monitor = create(server);
      monitors.set(server.name, monitor);
      monitor.start();
    }
  }
  return {
    start: () => monitors.forEach(monitor => monitor.start()),
    askNow: server => monitors.get(server)?.askNow(),
    changed({ before, after, at }) {
      if (!haveSamePlaces(before, after)) follow(before, after);
      if (before.primary !== after.primary) vacantSince = after.primary === null ? at : null;
      if (tempoOf(before, null, at) !== tempoOf(after, 0, at)) monitors.forEach(monitor => monitor.retune());
    },
    reconfigure(next) {
      const before = backend;
      backend = next;
      for (const server of topology.view(name).servers) {
        if (isAskedAlike(before, next, server.name)) continue;
        monitors.get(server.name)?.stop();
        const monitor = create(server);
        monitors.set(server.name, monitor);
        monitor.start();
      }
    },
    stop: () => monitors.forEach(monitor => monitor.stop()),
  };
}

/** Of the server, instead of that of its backend. */
function ownSqlOf({ servers }: BackendConfig, name: string): string | null {
  const server = servers[name];
  return server !== undefined && 'writable' in server ? server.writable : null;
}

const sendProxyOf = (backend: BackendConfig): SendProxy | null =>
  'sendProxy' in backend ? backend.sendProxy : null;

function isAskedAlike(before: BackendConfig, after: BackendConfig, server: string): boolean {
  if (sendProxyOf(before) !== sendProxyOf(after)) return false;
  return isDeepStrictEqual(before.check, after.check) && ownSqlOf(before, server) === ownSqlOf(after, server);
}

/** By the objects that hold it, which stay while a server does: asked at every probe. */
const isSamePlace = (one: ServerView, other: ServerView): boolean =>
  one.name === other.name && one.address === other.address;

const haveSamePlaces = ({ servers: before }: BackendView, { servers: after }: BackendView): boolean =>
  before.length === after.length &&
  before.every((server, index) => {
    const now = after[index];
    return now !== undefined && isSamePlace(server, now);
  });

/** Always calm where there are no roles: each server's own state sets its pace. Vacant while a primary was lost not long ago; doubt while the primary isn't seen well, two claim to be it, or a cluster lost a member just now. */
function tempoOf(view: BackendView, vacantForMs: number | null, now: MonotonicMs): Tempo {
  if (!hasRoles(view.protocol)) return 'calm';
  if (view.primary === null) {
    return vacantForMs !== null && vacantForMs <= PROMOTION_EXPECTED_MS ? 'vacant' : 'doubt';
  }
  const facts = factsOf(view.servers.find(server => server.name === view.primary)?.result ?? null);
  const well = facts !== null && facts.role === 'primary' && facts.writable;
  return well && !view.splitBrain && !isQuorumDoubted(view, now) ? 'calm' : 'doubt';
}

function isQuorumDoubted({ protocol, servers }: BackendView, now: MonotonicMs): boolean {
  return servers.some(({ health, lastAnswer }) => {
    const isMember = protocol === 'mysql' && (lastAnswer?.facts.systemId ?? null) !== null;
    return isMember && health.kind === 'down' && now - health.since <= QUORUM_DOUBTED_MS;
  });
}
