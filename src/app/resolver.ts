// The one place where names of servers become addresses: asks DNS about every name that a server is written with, and gives
// the topology the members with the addresses they are at. So what is probed is what clients are led to, and nobody keeps an
// address that a name no longer has. Which address of several: topology/sources/names.ts. Owned by app.

import { isIP } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { type Config, type DnsConfig } from '../config/schema.ts';
import { formatAddress, type Address } from '../core/address.ts';
import { type Clock, type MonotonicMs } from '../core/clock.ts';
import { type Logger } from '../core/logger.ts';
import { createProber } from '../health/probers/create.ts';
import { DnsClient } from '../health/probers/dns/client.ts';
import { createNowhereProber } from '../health/probers/dns/nowhere.ts';
import { outcomeOf, type DnsAnswer } from '../health/result.ts';
import { type Metrics } from '../metrics/metrics.ts';
import { hasRoles, isNowhere, type BackendChange, type ServerView } from '../topology/model.ts';
import { placeServers, type KnownName } from '../topology/sources/names.ts';
import { type ServerSpec } from '../topology/server-view.ts';
import { type BackendSpec, type Topology } from '../topology/topology.ts';
import { isOurselves } from './ourselves.ts';

export interface ResolverDeps {
  readonly topology: Topology;
  readonly dns: DnsConfig;
  /** Our own ports: a server at one of them would be ourselves. */
  readonly frontends: Config['frontends'];
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, 'dnsErrors'>;
}

/** A name and all that waits for it. */
interface Name {
  client: DnsClient;
  hosts: readonly string[];
  /** DNS has said that there is no such name, and nothing else since. */
  gone: boolean;
  /** The newest answer; `null` before the first. */
  answer: DnsAnswer | null;
  readonly waiting: (() => void)[];
}

/** What was tried for a server that is down at one of several addresses. */
interface Trial {
  readonly tried: Set<string>;
  /** When the latest of them was found to be of no use. */
  latestAt: MonotonicMs;
}

export class Resolver {
  readonly #deps: ResolverDeps;
  #dns: DnsConfig;
  #frontends: Config['frontends'];
  /** By backend: its members as they are written. */
  #written: ReadonlyMap<string, readonly ServerSpec[]>;
  readonly #names = new Map<string, Name>();
  readonly #trials = new Map<string, Trial>();
  /** Members that are left out, as backend and address: told of once. */
  readonly #leftOut = new Set<string>();
  readonly #unsubscribe: () => void;
  #started = false;

  constructor(specs: readonly BackendSpec[], deps: ResolverDeps) {
    this.#deps = deps;
    this.#dns = deps.dns;
    this.#frontends = deps.frontends;
    this.#written = new Map(specs.map(({ name, servers }) => [name, servers]));
    this.#follow();
    this.#unsubscribe = deps.topology.changes.subscribe(change => this.#observe(change));
  }

  start(): void {
    this.#started = true;
    for (const { client } of this.#names.values()) client.start();
  }

  stop(): void {
    this.#unsubscribe();
    for (const { client } of this.#names.values()) client.stop();
  }

  /** By another configuration. What is known of a name stays known; members that were learned stay until others are told. */
  reconfigure(specs: readonly BackendSpec[], { dns, frontends }: Pick<Config, 'dns' | 'frontends'>): void {
    const isAskedAnew = !isDeepStrictEqual(this.#dns, dns);
    this.#dns = dns;
    this.#frontends = frontends;
    this.#written = new Map(
      specs.map(({ name, servers, slots }) => [
        name,
        slots === undefined ? servers : (this.#written.get(name) ?? []),
      ]),
    );
    if (isAskedAnew) {
      for (const [host, name] of this.#names) {
        name.client.stop();
        name.client = this.#ask(host);
      }
    }
    this.#follow();
    for (const { name, slots } of specs) if (slots === undefined) this.#settle(name);
  }

  /** The members of a backend from now on, in order; those that are written with names get their addresses here. */
  setMembers(backend: string, members: readonly ServerSpec[]): void {
    this.#written = new Map([...this.#written, [backend, this.#withoutOurselves(backend, members)]]);
    this.#follow();
    this.#settle(backend);
  }

  /** A client could not be connected to a server: its name may have moved. */
  askNow(backend: string, server: string): void {
    const view = this.#deps.topology.view(backend).servers.find(({ name }) => name === server);
    this.#names.get(view?.host ?? '')?.client.askNow();
  }

  /** A prober for a server where it is now; one that says why, where its name stands for no address. */
  readonly proberFor: typeof createProber = (backend, target, clock) => {
    const { host = null, address } = target;
    if (host === null || !isNowhere({ address, host })) return createProber(backend, target, clock);
    return createNowhereProber(() => this.#whyNowhere(host, target.address.port));
  };

  /** Asks about each name that somebody has, and about no other any more. */
  #follow(): void {
    const wanted = new Set(
      [...this.#written.values()]
        .flat()
        .flatMap(({ address }) => (isIP(address.host) === 0 ? [address.host] : [])),
    );
    for (const [name, { client }] of this.#names) {
      if (wanted.has(name)) continue;
      client.stop();
      this.#names.delete(name);
    }
    for (const name of wanted) {
      if (this.#names.has(name)) continue;
      this.#names.set(name, { client: this.#ask(name), hosts: [], gone: false, answer: null, waiting: [] });
    }
  }

  #ask(name: string): DnsClient {
    const options = { question: { name, type: 'a' }, dns: this.#dns, clock: this.#deps.clock } as const;
    const client = new DnsClient(options, answer => this.#heard(name, answer));
    if (this.#started) client.start();
    return client;
  }

  #heard(host: string, answer: DnsAnswer): void {
    const name = this.#names.get(host);
    if (name === undefined) return;
    this.#tell(host, name, answer);
    name.answer = answer;
    if (answer.kind === 'found') name.hosts = answer.records.map(record => record.host);
    if (answer.kind !== 'failed') name.gone = answer.kind === 'none';
    for (const [backend, members] of this.#written) {
      if (members.some(({ address }) => address.host === host)) this.#settle(backend);
    }
    for (const settle of name.waiting.splice(0)) settle();
  }

  /** Once for each change: an answer comes every few seconds. */
  #tell(host: string, { answer: before, hosts }: Name, answer: DnsAnswer): void {
    const { log, metrics } = this.#deps;
    if (answer.kind !== 'found') {
      metrics.dnsErrors.inc({ name: host });
      if (before?.kind === answer.kind) return;
      const rest = hosts.length === 0 ? '' : `; known before: ${hosts.join(', ')}`;
      return log.warn({ name: host }, `${whyNot(host, answer)}${rest}`);
    }
    const now = answer.records.map(record => record.host);
    if (before !== null && before.kind !== 'found') log.info({ name: host }, `${host} is resolved again`);
    if ([...now].sort().join() === [...hosts].sort().join()) return;
    const was = hosts.length === 0 ? '' : `; it was ${hosts.join(', ')}`;
    log.info({ name: host }, `${host} is ${now.join(', ')}${was}`);
  }

  /** Puts the servers of a backend where their names say. */
  #settle(backend: string): void {
    const { topology } = this.#deps;
    const written = this.#written.get(backend) ?? [];
    const views = new Map(topology.view(backend).servers.map(view => [view.name, view]));
    const standings = written.map(spec => {
      const view = views.get(spec.name) ?? null;
      return { written: spec, view, tried: this.#triedFor(backend, spec, view) };
    });
    topology.setMembers(
      backend,
      placeServers(standings, host => this.#knownOf(backend, host)),
    );
  }

  /** A name that stands for nothing but addresses that can't be a server's is one that has none. */
  #knownOf(backend: string, host: string): KnownName | null {
    const name = this.#names.get(host);
    if (name === undefined) return null;
    const usable = name.hosts.filter(address => !this.#isOurs(backend, host, address));
    return { hosts: usable, gone: name.gone || (usable.length === 0 && name.hosts.length > 0) };
  }

  #isOurs(backend: string, host: string, address: string): boolean {
    const members = (this.#written.get(backend) ?? []).filter(member => member.address.host === host);
    return members.some(member => this.#reachesUs(backend, { host: address, port: member.address.port }));
  }

  #reachesUs(backend: string, address: Address): boolean {
    return isOurselves(this.#frontends, backend, address);
  }

  /** Of members that were learned by their addresses: Redis, for one, may tell 127.0.0.1 of another machine. */
  #withoutOurselves(backend: string, members: readonly ServerSpec[]): readonly ServerSpec[] {
    return members.filter(({ address }) => {
      const key = `${backend} ${formatAddress(address)}`;
      const isUs = isIP(address.host) !== 0 && this.#reachesUs(backend, address);
      if (!isUs) this.#leftOut.delete(key);
      else if (!this.#leftOut.has(key)) {
        this.#leftOut.add(key);
        const what = `${formatAddress(address)} is left out: it is ${WHO_WE_ARE}`;
        this.#deps.log.warn({ backend }, what);
      }
      return !isUs;
    });
  }

  /** The addresses at which a server was down, one after the other. After a round of all it rests, for the time of an interval. */
  #triedFor(backend: string, { name, address }: ServerSpec, view: ServerView | null): ReadonlySet<string> {
    const { clock } = this.#deps;
    const key = `${backend}/${name}`;
    if (view?.health.kind === 'up') this.#trials.delete(key);
    const trial = this.#trials.get(key) ?? { tried: new Set(), latestAt: clock.now() };
    if (view?.health.kind !== 'down') return trial.tried;
    const hosts = this.#knownOf(backend, address.host)?.hosts ?? [];
    const isOver = hosts.every(host => trial.tried.has(host));
    if (isOver && clock.now() - trial.latestAt > this.#dns.intervalMs) trial.tried.clear();
    if (!trial.tried.has(view.address.host)) trial.latestAt = clock.now();
    trial.tried.add(view.address.host);
    this.#trials.set(key, trial);
    return trial.tried;
  }

  /** A server fails its probe, or a primary is missing: names are asked about at once. */
  #observe({ before, after }: BackendChange): void {
    const vacant = hasRoles(after.protocol) && after.primary === null;
    for (const server of after.servers) {
      if (server.host === null) continue;
      const known = before.servers.find(({ name }) => name === server.name);
      if (server.result === null || server.result === known?.result) continue;
      if (vacant || outcomeOf(server.result) === 'fail') this.#names.get(server.host)?.client.askNow();
    }
  }

  /** Settles when DNS has been heard. */
  async #whyNowhere(host: string, port: number): Promise<string> {
    const name = this.#names.get(host);
    if (name?.answer === null) await new Promise<void>(resolve => name.waiting.push(resolve));
    const answer = name?.answer ?? null;
    if (answer !== null && answer.kind !== 'found') return whyNot(host, answer);
    const [backend] = [...this.#written].find(([, members]) => members.some(isAt(host, port))) ?? [''];
    const [ours] = (name?.hosts ?? []).filter(address => this.#reachesUs(backend, { host: address, port }));
    if (ours !== undefined) return `${host} is ${ours}, which is ${WHO_WE_ARE}`;
    return `every address of ${host} is another server’s`;
  }
}

const WHO_WE_ARE = 'this Pointsman itself';

const isAt =
  (host: string, port: number) =>
  ({ address }: ServerSpec): boolean =>
    address.host === host && address.port === port;

const whyNot = (host: string, { kind, detail }: Exclude<DnsAnswer, { kind: 'found' }>): string =>
  kind === 'none' ? `${host} has no address: ${detail}` : `${host} is not resolved: ${detail}`;
