// Joins what others know of a backend to the topology: Sentinels, Patroni, pg_auto_failover's monitor, DNS. Their counsel
// becomes its opinion and, where the servers aren't configured, its members; whom they name is probed at once, and they are
// asked at once when the primary is lost. No weighing here (topology/sources does that), and no sessions (counsellors.ts).
// Owned by app.

import { isDeepStrictEqual } from 'node:util';
import { type BackendConfig, type Config, type DnsConfig } from '../config/schema.ts';
import { formatAddress, type Address } from '../core/address.ts';
import { type Clock, type MonotonicMs } from '../core/clock.ts';
import { type Logger } from '../core/logger.ts';
import { type BackendView, type Nominee, type Opinion } from '../topology/model.ts';
import { isNamed } from '../topology/opinion.ts';
import { type Counsel } from '../topology/sources/counsel.ts';
import { assignSlots, LEARNED_WEIGHT, slotNames } from '../topology/sources/slots.ts';
import { type Topology } from '../topology/topology.ts';
import { createCounsellors, type Counsellor, type Follow } from './counsellors.ts';
import { isLearned, maxServersOf, type Monitors } from './monitors.ts';
import { type Resolver } from './resolver.ts';

export interface OrchestratorDeps {
  readonly topology: Topology;
  /** Gives the members that were learned their addresses. */
  readonly resolver: Pick<Resolver, 'setMembers'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly askNow: Monitors['askNow'];
}

export interface Orchestrators {
  start(): void;
  /** By another configuration: who is asked in the same way as before is asked on. */
  reconfigure(config: Config): void;
  stop(): void;
}

interface Group {
  /** What decides who is asked, and how. */
  readonly terms: unknown;
  readonly clients: readonly Counsellor[];
  readonly pauseMs: number;
  /** When they were last asked out of turn. */
  askedAt: MonotonicMs;
}

export function createOrchestrators(config: Config, deps: OrchestratorDeps): Orchestrators {
  const create = (name: string, backend: BackendConfig, dns: DnsConfig): Group => ({
    terms: termsOf(backend, dns),
    clients: createCounsellors(backend, dns, deps.clock, createFollower(name, backend, deps)),
    pauseMs: backend.check.fastIntervalMs,
    askedAt: -Infinity,
  });
  const groups = new Map(
    Object.entries(config.backends).map(([name, backend]) => [name, create(name, backend, config.dns)]),
  );
  const unsubscribe = deps.topology.changes.subscribe(({ before, after, at }) => {
    const group = groups.get(after.name);
    if (group === undefined || !needsCounsel(before, after)) return;
    // Servers are probed every few milliseconds now; who is asked beside them need not be.
    if (at - group.askedAt < group.pauseMs) return;
    group.askedAt = at;
    group.clients.forEach(client => client.askNow());
  });
  return {
    start: () => groups.forEach(({ clients }) => clients.forEach(client => client.start())),
    reconfigure({ backends, dns }) {
      for (const [name, { clients, terms }] of groups) {
        const backend = backends[name];
        if (backend !== undefined && isDeepStrictEqual(terms, termsOf(backend, dns))) continue;
        clients.forEach(client => client.stop());
        groups.delete(name);
      }
      for (const [name, backend] of Object.entries(backends)) {
        if (groups.has(name)) continue;
        const group = create(name, backend, dns);
        groups.set(name, group);
        group.clients.forEach(client => client.start());
      }
    },
    stop() {
      unsubscribe();
      groups.forEach(({ clients }) => clients.forEach(client => client.stop()));
    },
  };
}

/** A backend without its servers, where it has some: they come and go without anybody being asked anew. */
function termsOf(backend: BackendConfig, dns: DnsConfig): unknown {
  return { ...backend, servers: null, isLearned: isLearned(backend), resolvedBy: dns };
}

/** A server went down, the primary was lost, or a server claims to be it whom the orchestrator doesn't name: it may know more by now. */
function needsCounsel(before: BackendView, after: BackendView): boolean {
  if (hasFallen(before, after)) return true;
  if (after.primary !== null) return false;
  return before.primary !== null || after.disagreement !== null;
}

function hasFallen({ servers: before }: BackendView, { servers: after }: BackendView): boolean {
  return after.some(({ name, health }) => {
    if (health.kind !== 'down') return false;
    return before.find(server => server.name === name)?.health.kind !== 'down';
  });
}

/** What those who are asked say now, once all have answered or had their time to; `null` where there are none. */
export function consult(config: BackendConfig, dns: DnsConfig, clock: Clock): Promise<Counsel | null> {
  return new Promise(resolve => {
    const clients = createCounsellors(config, dns, clock, counsel => {
      clients.forEach(client => client.stop());
      resolve(counsel);
    });
    if (clients.length === 0) resolve(null);
    clients.forEach(client => client.start());
  });
}

/** Brings what changed to those it concerns. */
function createFollower(
  backend: string,
  config: BackendConfig,
  { topology, resolver, log, askNow }: OrchestratorDeps,
): Follow {
  const names = slotNames(config.protocol, maxServersOf(config));
  // Learned before a restart, they keep their names.
  let slots: ReadonlyMap<string, Address> = new Map(
    isLearned(config) ? topology.view(backend).servers.map(({ name, address }) => [name, address]) : [],
  );
  let before: string | null = null;
  let notesBefore: readonly string[] = [];

  function learn(members: Counsel['members']): readonly string[] {
    if (!isLearned(config) || members === null) return [];
    const addresses = members.map(({ address }) => address);
    const { taken, left } = assignSlots(slots, addresses, names);
    slots = taken;
    const hosts = new Map(members.map(({ address, host }) => [formatAddress(address), host]));
    const learned = [...taken].map(([name, address]) => {
      const host = hosts.get(formatAddress(address));
      return { name, address, ...(host === undefined ? {} : { host }), weight: LEARNED_WEIGHT };
    });
    resolver.setMembers(backend, learned);
    return left.map(address => `${formatAddress(address)} is left out: max_servers is ${names.length}`);
  }

  return ({ opinion: told, notes, members }) => {
    const opinion = isLearned(config) ? byAddressAlone(told) : told;
    const all = [...notes, ...learn(members)];
    for (const note of all.filter(text => !notesBefore.includes(text))) log.warn({ backend }, note);
    for (const note of notesBefore.filter(text => !all.includes(text))) {
      log.info({ backend }, `no more: ${note}`);
    }
    notesBefore = all;
    const { words, against, process, passive } = opinion ?? {};
    const key = JSON.stringify([words, against, process, passive, all]);
    if (key === before) return;
    before = key;
    topology.reportOpinion(backend, opinion, all);
    const { servers } = topology.view(backend);
    const named = servers.find(server => isNamed(opinion, server, servers));
    if (named !== undefined) askNow(backend, named.name);
  };
}

/** Learned servers have names of ours (`postgres-1`), which a StatefulSet may have given to other members. */
function byAddressAlone(opinion: Opinion | null): Opinion | null {
  if (opinion === null) return null;
  const nameless = ({ address }: Nominee): Nominee => ({ address, name: null });
  const { primary, against } = opinion;
  return { ...opinion, primary: primary && nameless(primary), against: against.map(nameless) };
}
