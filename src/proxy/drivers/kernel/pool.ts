// The proxy whose data plane runs in worker threads, seen from the main thread: opens the ports, gives workers the views,
// plays their notices, adds up their tallies, and replaces one that dies or hangs. Moves no bytes and picks no server.
// Made by app/engine.ts.

import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { networks } from '../../../config/addresses.ts';
import { type Config, type FrontendConfig } from '../../../config/schema.ts';
import { formatAddress, type Address } from '../../../core/address.ts';
import { type MonotonicMs, type Timer } from '../../../core/clock.ts';
import { describeError, PointsmanError } from '../../../core/errors.ts';
import { STUCK_CHECK_MS, STUCK_STRIKES, WORKER_END_MS } from '../../bounds.ts';
import { nothingInherited, type Inherited, type ListeningSocket, type Waiting } from '../../driver.ts';
import { type CloseReason, type EngineObserver, type FrontendGauge } from '../../events.ts';
import { eligibilityOf } from '../../../topology/eligibility.ts';
import { unusedServers } from '../../../topology/unused.ts';
import { type AddressTable } from '../../limits/address-table.ts';
import { limitsClients } from '../../limits/client-limits.ts';
import { planPorts, type PortPlan } from '../../ports.ts';
import { type Proxy, type ProxyChange, type ProxyDeps } from '../../proxy.ts';
import { hasServer } from '../../router.ts';
import { limitOf, type Rested, type SessionFilter, type SessionList } from '../../sessions.ts';
import { Beside, needsTls, share, type CreateBeside } from './beside.ts';
import { applyKeepAlive } from './kernel.ts';
import { type Libc } from './libc.ts';
import { openListeners, shareOf, type OpenListener } from './listener.ts';
import {
  type FromWorker,
  type Question,
  type ToWorker,
  type VersionedView,
  type WorkerListeners,
} from './messages.ts';
import { play } from './notices.ts';
import { Questions } from './questions.ts';
import { SharedTallies } from './shared.ts';
import { planTallies, type TallyPlan, type TallyWish } from './tally-plan.ts';
import { offsetOf } from '../../../core/thread-clock.ts';
import { ViewGate } from './view-gate.ts';
import { WorkerThread } from './worker-thread.ts';

export interface PoolDeps extends Pick<
  ProxyDeps,
  'frontends' | 'topology' | 'clock' | 'random' | 'inherited'
> {
  readonly observer: EngineObserver;
  /** Every name that a member of a backend may ever have. Left out: those that it has now. */
  readonly namesOf?: (backend: string) => readonly string[];
  readonly libc: Libc;
  readonly workers: number;
  /** Whether to use an io_uring: where it is allowed, always, or never. */
  readonly io: Config['engine']['io'];
  /** What serves the frontends with TLS, on this thread. Left out: there are none. */
  readonly createBeside?: CreateBeside;
}

/** By frontend: one for each worker, unless they were inherited of another number. */
type Listeners = ReadonlyMap<string, readonly OpenListener[]>;

export class WorkerPool implements Proxy {
  readonly #deps: PoolDeps;
  #frontends: Config['frontends'];
  /** Those that the configuration has no more, while they have clients. */
  readonly #leaving = new Map<string, FrontendConfig>();
  /** Backends whose views the workers have. */
  readonly #backends: Set<string>;
  #plan: TallyPlan;
  readonly #sums: SharedTallies;
  readonly #gate: ViewGate;
  readonly #beside: Beside | null;
  readonly #threads: WorkerThread[] = [];
  readonly #questions: Questions;
  #listeners: Listeners = new Map();
  /** Once nobody accepts any more. */
  #closed: Listeners = new Map();
  readonly #unsubscribe: readonly (() => void)[];
  #version = 0;
  #watchdog: Timer | null = null;
  #ending = false;
  #withoutUring: string | null = null;

  constructor(deps: PoolDeps) {
    const { frontends, topology, workers } = deps;
    this.#deps = deps;
    this.#frontends = frontends;
    this.#backends = new Set(Object.values(frontends).map(({ backend }) => backend));
    // One more than there are threads: the proxy beside them.
    this.#plan = planTallies(this.#wishes(), workers + 1, undefined, undefined, deps.random);
    this.#sums = new SharedTallies(this.#plan, 0);
    this.#gate = new ViewGate([...this.#backends].map(backend => topology.view(backend)));
    this.#questions = new Questions(deps.clock);
    this.#beside = this.#createBeside();
    this.#unsubscribe = [
      topology.changes.subscribe(({ after }) => {
        if (this.#backends.has(after.name)) this.#publish(this.#gate.publish(after));
      }),
      topology.removals.subscribe(({ name }) => this.#remove(name)),
    ];
  }

  async listen(): Promise<void> {
    const { workers, inherited } = this.#deps;
    try {
      this.#listeners = await this.#open(share(this.#frontends).workers, inherited);
      for (let index = 0; index < workers; index += 1) this.#threads.push(this.#createThread(index));
      await Promise.all(this.#threads.map(thread => thread.start()));
      await this.#beside?.proxy.listen();
      if (this.#deps.io === 'io_uring' && this.#withoutUring !== null) {
        throw new PointsmanError(
          'ENGINE_UNAVAILABLE',
          `engine.io io_uring does not run here: ${this.#withoutUring}`,
        );
      }
    } catch (thrown) {
      await this.close();
      throw thrown;
    }
    this.#watch();
  }

  async prepare(next: Config['frontends']): Promise<ProxyChange> {
    const parts = share(next);
    this.#checkSwitches(next);
    const ports = planPorts(share(this.#frontends).workers, parts.workers);
    const isNew = (name: string): boolean => ports.get(name)?.from === null;
    const wanted = Object.entries(parts.workers).filter(([name]) => isNew(name));
    const opened = await this.#open(Object.fromEntries(wanted));
    let beside: ProxyChange | null;
    try {
      beside = (await this.#beside?.proxy.prepare(parts.beside)) ?? null;
    } catch (thrown) {
      this.#closeAll(opened);
      throw thrown;
    }
    return {
      apply: () => this.#reconfigure(next, ports, opened, beside),
      abandon: () => {
        this.#closeAll(opened);
        beside?.abandon();
      },
    };
  }

  frontends(): readonly FrontendGauge[] {
    for (const name of this.#leaving.keys()) {
      if (this.#sums.total(name).connections === 0) this.#leaving.delete(name);
    }
    const { topology, clock } = this.#deps;
    const beside = new Map(this.#beside?.proxy.frontends().map(({ name, bind }) => [name, bind]));
    return [...Object.entries(this.#frontends), ...this.#leaving].map(([name, config]) => {
      const { connections, sessions, held, bytesUp, bytesDown } = this.#sums.total(name);
      const leaves = this.#leaving.has(name);
      return {
        name,
        bind: {
          host: config.bind.host,
          port: (
            (this.#listeners.get(name) ?? this.#closed.get(name))?.[0]?.address ??
            beside.get(name) ??
            config.bind
          ).port,
        },
        backend: config.backend,
        route: config.route,
        connections,
        sessions,
        held,
        available:
          !this.#ending &&
          !leaves &&
          hasServer(eligibilityOf(config), topology.view(config.backend), clock.now()),
        ...(leaves ? { leaving: true } : {}),
        unused: leaves ? [] : unusedServers(config, topology.view(config.backend), clock.now()),
        bytesUp,
        bytesDown,
      };
    });
  }

  sessionsOf(backend: string, server: string, frontend?: string): number {
    if (frontend !== undefined) return this.#sums.sessionsFrom(frontend, backend, server);
    return this.#sums.sessions(backend, server);
  }

  isAlive(): boolean {
    return this.#threads.every(thread => thread.isAlive);
  }

  listening(): readonly ListeningSocket[] {
    const ours = [...this.#listeners].flatMap(([name, all]) =>
      all.map(({ fd, address }) => ({ name, fd, address })),
    );
    return [...ours, ...(this.#beside?.proxy.listening() ?? [])];
  }

  async sessions(filter: SessionFilter): Promise<SessionList> {
    // Here, for the caller to see: in a worker it would be an error of ours.
    if (filter.client !== undefined) networks([filter.client]);
    const answers = await this.#questions.ask(this.#threads, { kind: 'sessions', filter });
    const beside = await this.#beside?.proxy.sessions(filter);
    const heard = [...answers, beside ?? null].filter(answer => answer !== null);
    return {
      sessions: heard.flatMap(({ sessions }) => sessions).slice(0, limitOf(filter)),
      matched: heard.reduce((sum, { matched }) => sum + matched, 0),
      silentWorkers: answers.filter(answer => answer === null).length,
    };
  }

  closeSessions(ids: readonly string[], reason: CloseReason, rested?: Rested): Promise<number> {
    const beside = this.#beside?.proxy.closeSessions(ids, reason, rested);
    return this.#count({ kind: 'close-sessions', ids, reason, rested }, beside);
  }

  pauseSessions(ids: readonly string[], forMs: number): Promise<number> {
    return this.#count({ kind: 'pause-sessions', ids, forMs }, this.#beside?.proxy.pauseSessions(ids, forMs));
  }

  /** How many sessions it concerned, of all threads. */
  async #count(question: Question, beside: Promise<number> = Promise.resolve(0)): Promise<number> {
    const answers = await this.#questions.ask(this.#threads, question);
    return answers.reduce((sum, answer) => sum + (answer?.matched ?? 0), await beside);
  }

  openUntil(backend: string, server: string): MonotonicMs {
    return this.#sums.openUntil(backend, server);
  }

  tables(): ReadonlyMap<string, AddressTable> {
    return this.#sums.tables();
  }

  async drain(deadlineMs: number, waiting: Waiting = 'refuse'): Promise<void> {
    this.#ending = true;
    const beside = this.#beside?.proxy.drain(deadlineMs, waiting);
    await this.#end({ kind: 'drain', deadlineMs, waiting }, deadlineMs + WORKER_END_MS);
    await beside;
  }

  async close(): Promise<void> {
    this.#ending = true;
    const beside = this.#beside?.proxy.close();
    await this.#end({ kind: 'close' }, WORKER_END_MS);
    await beside;
  }

  async #end(message: ToWorker, boundMs: number): Promise<void> {
    const released = this.#threads.map(thread => thread.released());
    const gone = this.#threads.map(thread => thread.end(message, boundMs));
    await Promise.all(released);
    // Not before: a closed number is soon another's, and a worker would still accept from it.
    this.#closeAll(this.#listeners);
    this.#closed = new Map([...this.#closed, ...this.#listeners]);
    this.#listeners = new Map();
    await Promise.all(gone);
    this.#questions.close();
    this.#watchdog?.cancel();
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
  }

  /** Opens a socket for each worker and frontend that has inherited none; or none at all. */
  async #open(frontends: Config['frontends'], inherited: Inherited = nothingInherited): Promise<Listeners> {
    const { libc, workers } = this.#deps;
    const opened = new Map<string, readonly OpenListener[]>();
    try {
      for (const [frontend, { bind, tcp }] of Object.entries(frontends)) {
        const found = inherited(frontend, bind);
        const at = found.length === 0 ? await resolved(frontend, bind) : bind;
        const request = { frontend, bind: at, tcp, inherited: found };
        opened.set(frontend, openListeners(libc, request, workers));
      }
    } catch (thrown) {
      this.#closeAll(opened);
      throw thrown;
    }
    return opened;
  }

  #closeAll(listeners: Listeners): void {
    for (const { fd } of [...listeners.values()].flat()) this.#deps.libc.close(fd);
  }

  /** In one turn on this thread; each worker does it in one turn of its own. */
  async #reconfigure(
    next: Config['frontends'],
    ports: PortPlan,
    opened: Listeners,
    beside: ProxyChange | null,
  ): Promise<void> {
    const before = this.#listeners;
    const had = this.#frontends;
    this.#frontends = next;
    this.#listeners = new Map(
      [...ports].map(([name, { from }]) => [name, (from === null ? opened : before).get(from ?? name) ?? []]),
    );
    for (const [name, config] of Object.entries(had)) if (!(name in next)) this.#leaving.set(name, config);
    for (const [name, { tcp }] of Object.entries(next)) {
      this.#leaving.delete(name);
      if (isDeepStrictEqual(had[name]?.tcp, tcp)) continue;
      for (const { fd } of this.#listeners.get(name) ?? []) applyKeepAlive(this.#deps.libc, fd, tcp, true);
    }
    const views = this.#adopt(next);
    const { workers, random } = this.#deps;
    const exists = (name: string): boolean => this.#backends.has(name);
    this.#plan = planTallies(this.#wishes(), workers + 1, this.#plan, exists, random);
    this.#sums.follow(this.#plan);
    this.#version += 1;
    const parts = share(next);
    const change = { version: this.#version, frontends: parts.workers, views, plan: this.#plan };
    const besideApplied = this.#changeBeside(parts.beside, views, beside);
    await Promise.all(
      this.#threads.map((thread, index) =>
        thread.reconfigure({ ...change, listeners: this.#listenersOf(index, opened) }),
      ),
    );
    await besideApplied;
    const kept = new Set([...this.#listeners.values()].flat());
    for (const one of [...before.values()].flat()) if (!kept.has(one)) this.#deps.libc.close(one.fd);
  }

  /** The views of backends that the workers don't know yet. */
  #adopt(frontends: Config['frontends']): readonly VersionedView[] {
    const { topology } = this.#deps;
    const wanted = new Set(Object.values(frontends).map(({ backend }) => backend));
    return [...wanted].flatMap(backend => {
      if (this.#backends.has(backend)) return [];
      this.#backends.add(backend);
      return [this.#gate.add(topology.view(backend))];
    });
  }

  #remove(backend: string): void {
    if (!this.#backends.delete(backend)) return;
    this.#gate.remove(backend);
    this.#beside?.remove(backend);
    for (const thread of this.#threads) thread.send({ kind: 'removed', backend });
  }

  /** Of each frontend with clients: every name that a member of its backend may have. */
  #wishes(): readonly TallyWish[] {
    const { topology, namesOf = () => [] } = this.#deps;
    return [...Object.entries(this.#frontends), ...this.#leaving].map(([name, config]) => {
      const { backend } = config;
      const limitedClients = limitsClients(config) ? config.maxConnections : null;
      if (!this.#backends.has(backend)) return { name, backend, servers: [], limitedClients };
      const present = topology.view(backend).servers.map(server => server.name);
      return { name, backend, servers: [...new Set([...namesOf(backend), ...present])], limitedClients };
    });
  }

  /** Its place among the workers is behind all of them. */
  get #besideIndex(): number {
    return this.#deps.workers;
  }

  #createBeside(): Beside | null {
    const { createBeside: create, clock } = this.#deps;
    if (create === undefined) return null;
    const { beside } = share(this.#frontends);
    const views = Object.keys(beside).length === 0 ? [] : this.#gate.join(this.#besideIndex);
    return new Beside(create, clock, beside, new SharedTallies(this.#plan, this.#besideIndex), views);
  }

  #changeBeside(
    frontends: Config['frontends'],
    views: readonly VersionedView[],
    change: ProxyChange | null,
  ): Promise<void> | undefined {
    const beside = this.#beside;
    if (beside === null) return undefined;
    beside.tallies.follow(this.#plan);
    if (beside.isShown) beside.adopt(views);
    else if (Object.keys(frontends).length > 0) beside.adopt(this.#gate.join(this.#besideIndex));
    return change?.apply();
  }

  /** The port is a worker's or this thread's, and can't pass from one to the other while it is open. */
  #checkSwitches(next: Config['frontends']): void {
    for (const [name, config] of Object.entries(next)) {
      const before = this.#frontends[name];
      if (before === undefined || needsTls(before) === needsTls(config)) continue;
      if (formatAddress(before.bind) !== formatAddress(config.bind)) continue;
      throw new PointsmanError(
        'BIND_FAILED',
        `frontend ${name}: TLS is begun or ended on an open port by a restart only; or give it another port`,
      );
    }
  }

  #createThread(index: number): WorkerThread {
    const { libc, clock } = this.#deps;
    return new WorkerThread(index, libc, clock, {
      birth: () => ({
        frontends: share(this.#frontends).workers,
        workers: this.#deps.workers,
        views: this.#gate.join(index),
        worker: index,
        uring: this.#deps.io !== 'epoll',
        listeners: this.#listenersOf(index, this.#listeners),
        plan: this.#plan,
        clockOffsetMs: offsetOf(clock),
      }),
      told: message => this.#told(index, message),
      lost: detail => {
        this.#questions.lost(index);
        this.#deps.observer.workerLost(new SharedTallies(this.#plan, index).clear(), detail);
        for (const view of this.#gate.lost(index)) this.#publish(view);
      },
    });
  }

  #listenersOf(worker: number, listeners: Listeners): WorkerListeners {
    const { workers } = this.#deps;
    return new Map([...listeners].map(([name, all]) => [name, shareOf(all, worker, workers)]));
  }

  #told(index: number, message: FromWorker): void {
    switch (message.kind) {
      case 'applied': {
        const next = this.#gate.applied(index, message.version);
        if (next !== null) this.#publish(next);
        return;
      }
      case 'notices':
        play(message.batch, this.#deps.observer);
        return;
      case 'ready':
        if (message.without !== null && this.#withoutUring === null) {
          this.#deps.observer.withoutUring(message.without);
          this.#withoutUring = message.without;
        }
        return;
      case 'answer':
        this.#questions.answered(index, message.request, message.answer);
        return;
      case 'whose-key':
        for (const [other, thread] of this.#threads.entries()) {
          if (other !== index) thread.send({ ...message, from: index });
        }
        return;
      case 'key-owner':
        this.#threads[message.to]?.send({
          kind: 'key-owner',
          request: message.request,
          server: message.server,
        });
        return;
      case 'reconfigured':
      case 'released':
      case 'closed':
    }
  }

  #publish(view: VersionedView): void {
    for (const thread of this.#threads) thread.show(view);
    if (this.#beside?.isShown !== true) return;
    this.#beside.show(view);
    this.#told(this.#besideIndex, { kind: 'applied', version: view.version });
  }

  /** A worker that is shown a view and doesn't say that it applied it hangs, and its clients with it. */
  #watch(): void {
    this.#watchdog = this.#deps.clock.schedule(STUCK_CHECK_MS, () => {
      for (const thread of this.#threads) thread.check(STUCK_STRIKES);
      this.#watch();
    });
  }
}

/** The kernel takes addresses only; the first that Node's resolver gives, as node:net does. */
async function resolved(frontend: string, bind: Address): Promise<Address> {
  if (isIP(bind.host.split('%')[0] ?? '') !== 0) return bind;
  try {
    return { host: (await lookup(bind.host)).address, port: bind.port };
  } catch (thrown) {
    const { message } = describeError(thrown);
    throw new PointsmanError(
      'BIND_FAILED',
      `frontend ${frontend}: cannot listen on ${bind.host}: ${message}`,
    );
  }
}
