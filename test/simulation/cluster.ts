// The cluster behind the backend, by the truth: replication between its servers, and an orchestrator that promotes and
// rejoins them. It may be blind, paused, silent, slow or wrong, as real ones are; what it does is never Pointsman's doing.
// Pointsman hears only its opinion, and that only where the setup says so. Driven by simulation.ts, disturbed by faults.ts.

import { type Nominee, type Opinion } from '../../src/topology/model.ts';
import { type Branches, type Engine } from './engines.ts';
import { type SimServer, type Data } from './server.ts';
import { type SimTime } from './time.ts';

const TURN_MS = 50;
/** How often Sentinels ask who runs there. */
const ASK_MS = 500;

export interface ClusterSetup {
  /** How long the leader must be out of its sight before it promotes another. */
  readonly patienceMs: number;
  /** How long a promoted server stays read-only (pg_auto_failover does that). */
  readonly promotedReadOnlyMs: number;
  /** How long a returned old primary goes on as a writer before it is made a standby. */
  readonly rejoinMs: number;
  /** While it has lost its leader it names nobody, as Patroni does when the lock has run out. */
  readonly namesNobody: boolean;
  /** It knows servers by addresses that Pointsman doesn't know, and by their names. */
  readonly namesOnly: boolean;
}

export interface ClusterNature {
  readonly engine: Engine;
  readonly branches: Branches;
  readonly time: SimTime;
}

export class Cluster {
  readonly servers: readonly SimServer[];
  /** Those that are in it: the others run and concern nobody. */
  readonly members: Set<SimServer>;
  leader: SimServer;
  /** Servers that the orchestrator can't see, and those cut off from their peers: how often each. */
  readonly unseen = new Map<SimServer, number>();
  readonly cutOff = new Map<SimServer, number>();
  paused = 0;
  silent = 0;
  /** Whom it names against what it knows. */
  lie: SimServer | null = null;
  readonly #engine: Engine;
  readonly #branches: Branches;
  readonly #time: SimTime;
  readonly #setup: ClusterSetup;
  readonly #strangeSince = new Map<SimServer, number>();
  #lostSince: number | null = null;
  /** The process that it has seen on the leader last. */
  #process: string | null = null;
  #askedAt = -Infinity;
  #stopped = false;
  /** Of the cluster that it manages: a server with other data is none of it. */
  #systemId: string;

  constructor(servers: readonly SimServer[], { engine, branches, time }: ClusterNature, setup: ClusterSetup) {
    this.servers = servers;
    this.#engine = engine;
    this.#branches = branches;
    this.members = new Set(servers);
    this.leader = servers[0]!;
    this.#systemId = this.leader.data.systemId;
    this.#setup = setup;
    this.#time = time;
  }

  start(): void {
    this.#time.schedule(TURN_MS, () => {
      if (this.#stopped) return;
      if (this.#engine.replicate) this.#engine.replicate(this.servers, this.cutOff);
      else {
        this.#replicate();
        this.#watch();
      }
      this.start();
    });
  }

  stop(): void {
    this.#stopped = true;
  }

  promote(server: SimServer): void {
    if (server.isPrimary) return;
    const { data } = server;
    server.upstream = null;
    server.streaming = false;
    server.data = {
      ...data,
      timeline: data.timeline + 1,
      recoveredTo: data.lsn,
      branch: this.#branches(),
      forks: [...data.forks, { timeline: data.timeline, lsn: data.lsn, id: data.branch }],
    };
    server.writableFrom = this.#time.now + this.#setup.promotedReadOnlyMs;
  }

  /** A planned switchover: the old one steps down first. */
  switchOver(to: SimServer): void {
    const from = this.leader;
    if (from === to || !this.#sees(from) || !this.#sees(to) || to.isPrimary) return;
    from.readOnly = true;
    this.#time.schedule(100, () => {
      from.readOnly = false;
      if (!this.#sees(to) || to.isPrimary || this.leader !== from) return;
      if (this.#mayFollow(to.data, from.data)) to.data.lsn = Math.max(to.data.lsn, from.data.lsn);
      this.#demote(from, to);
      this.#lead(to);
    });
  }

  /** Another cluster's data in the place of this one's: a new system identifier, and it takes writes. */
  replace(server: SimServer, systemId: string): void {
    const data: Data = {
      systemId: this.#engine.copiesWhole ? this.#systemId : systemId,
      timeline: 1,
      lsn: 1000,
      recoveredTo: null,
      forks: [],
      branch: this.#branches(),
    };
    this.#restartWith(server, data, null);
  }

  /** Restored from a backup: an old state of its own history, and it takes writes. */
  setBack(server: SimServer, bytes: number): void {
    const { data } = server;
    const last = data.forks.at(-1);
    const older = last !== undefined && data.lsn - bytes <= last.lsn;
    const restored: Data = older
      ? {
          ...data,
          timeline: last.timeline,
          lsn: Math.max(1, last.lsn - bytes),
          branch: last.id,
          forks: data.forks.slice(0, -1),
        }
      : { ...data, lsn: Math.max(1, data.lsn - bytes) };
    this.#restartWith(server, restored, null);
  }

  /**
   * All is well again: the one with the newest history leads, everybody else follows it. `followed`: what clients were led
   * to last; people bring that back, and not another cluster or an older state of it.
   */
  heal(followed: { readonly systemId: string; readonly timeline: number }): void {
    this.unseen.clear();
    this.cutOff.clear();
    this.paused = 0;
    this.silent = 0;
    this.lie = null;
    this.#lostSince = null;
    for (const server of this.servers) {
      server.readOnly = false;
      server.busy = false;
      server.applying = 'yes';
    }
    if (this.#engine.replicate) return;
    const { systemId, timeline } = followed;
    const members = [...this.members];
    const own = members.filter(({ data }) => data.systemId === systemId);
    const newest = Math.max(timeline, ...own.map(({ data }) => data.timeline));
    const holders = own.filter(({ data }) => data.timeline === newest);
    const winner = holders.find(server => server.isPrimary) ?? holders[0] ?? own[0] ?? members[0]!;
    const { data } = winner;
    if (data.systemId !== systemId) winner.data = { ...data, systemId, timeline: newest + 1, forks: [] };
    else if (data.timeline < newest) winner.data = { ...data, timeline: newest + 1 };
    winner.start(50);
    for (const server of this.servers) if (server !== winner) this.#demote(server, winner);
    if (!winner.isPrimary) this.promote(winner);
    this.leader = winner;
    this.#systemId = systemId;
  }

  opinion(at: number): Opinion | null {
    if (this.silent > 0) return null;
    const nobody = this.#lostSince !== null && this.#setup.namesNobody;
    const named = this.lie ?? (nobody ? null : this.leader);
    const against = this.servers.filter(
      server =>
        !this.#engine.copiesWhole &&
        server !== named &&
        server.isPrimary &&
        server.data.timeline < this.leader.data.timeline,
    );
    return {
      words: named === null ? 'the orchestrator names nobody' : `the orchestrator names ${named.name}`,
      primary: named === null ? null : this.#nominee(named),
      against: against.map(server => this.#nominee(server)),
      process: this.#lostSince === null && named === this.leader ? this.#process : null,
      passive: this.paused > 0,
      at,
    };
  }

  #nominee({ name, address }: SimServer): Nominee {
    if (!this.#setup.namesOnly) return { address, name: null };
    return { address: { host: `${name}.internal`, port: address.port }, name };
  }

  /** Who streams from whom, as far as histories and the network allow. */
  #replicate(): void {
    for (const server of this.servers) {
      const { upstream } = server;
      if (upstream === null || server.state !== 'running' || server.frozen) continue;
      server.streaming =
        upstream.state === 'running' &&
        !upstream.frozen &&
        !this.cutOff.has(server) &&
        !this.cutOff.has(upstream) &&
        this.#mayFollow(server.data, upstream.data);
      if (server.streaming) server.data = { ...upstream.data, recoveredTo: null };
    }
  }

  #mayFollow(data: Data, upstream: Data): boolean {
    if (this.#engine.copiesWhole) return true;
    if (data.systemId !== upstream.systemId) return false;
    if (data.branch === upstream.branch) return data.lsn <= upstream.lsn;
    const fork = upstream.forks.find(({ id }) => id === data.branch);
    return fork !== undefined && data.lsn <= fork.lsn;
  }

  #watch(): void {
    if (this.paused > 0) return;
    const { now } = this.#time;
    if (!this.#sees(this.leader) || !this.leader.isPrimary || this.leader.data.systemId !== this.#systemId) {
      this.#lostSince ??= now;
      if (now - this.#lostSince >= this.#setup.patienceMs) this.#replaceLeader();
      return;
    }
    this.#lostSince = null;
    if (now - this.#askedAt >= ASK_MS) {
      this.#askedAt = now;
      this.#process = this.#engine.copiesWhole ? this.leader.process : null;
    }
    for (const server of this.servers) {
      const strange = server !== this.leader && this.#sees(server) && server.upstream !== this.leader;
      const stuck =
        server !== this.leader && this.#sees(server) && !server.streaming && !this.cutOff.has(server);
      if (!strange && !stuck) {
        this.#strangeSince.delete(server);
        continue;
      }
      const since = this.#strangeSince.get(server) ?? now;
      this.#strangeSince.set(server, since);
      if (now - since < this.#setup.rejoinMs) continue;
      this.#strangeSince.delete(server);
      if (this.#mayFollow(server.data, this.leader.data) && !server.isPrimary) server.upstream = this.leader;
      else this.#demote(server, this.leader);
    }
  }

  #replaceLeader(): void {
    const { leader } = this;
    const able = this.servers.filter(
      server =>
        server !== leader &&
        this.#sees(server) &&
        !server.isPrimary &&
        server.data.systemId === this.#systemId,
    );
    const best = able.reduce<SimServer | null>(
      (a, b) => (a === null || isAhead(b.data, a.data) ? b : a),
      null,
    );
    if (best !== null) this.#lead(best);
  }

  #lead(server: SimServer): void {
    this.promote(server);
    this.leader = server;
    this.#process = null;
    this.#lostSince = null;
  }

  /** Rewound to what its new upstream has, and restarted as its standby where it must be. */
  #demote(server: SimServer, upstream: SimServer): void {
    if (this.#engine.copiesWhole && server.state === 'running') server.upstream = upstream;
    else this.#restartWith(server, { ...upstream.data }, upstream);
  }

  #restartWith(server: SimServer, data: Data, upstream: SimServer | null): void {
    server.die('stopped');
    server.data = data;
    server.upstream = upstream;
    server.readOnly = false;
    server.writableFrom = 0;
    server.start(150);
  }

  #sees(server: SimServer): boolean {
    return (
      server.state === 'running' && !server.frozen && !this.unseen.has(server) && this.members.has(server)
    );
  }
}

const isAhead = (a: Data, b: Data): boolean =>
  a.timeline > b.timeline || (a.timeline === b.timeline && a.lsn > b.lsn);
