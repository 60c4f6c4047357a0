// The proxy whose data plane runs in worker threads, seen from the main thread: opens the ports, gives workers the views,
// plays their notices, adds up their tallies, and replaces one that dies or hangs. Moves no bytes and picks no server.
// Made by app/engine.ts.

import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { type Config } from '../../../config/schema.ts';
import { type Address } from '../../../core/address.ts';
import { type Timer } from '../../../core/clock.ts';
import { describeError, PointsmanError } from '../../../core/errors.ts';
import { STUCK_CHECK_MS, STUCK_STRIKES, WORKER_END_MS } from '../../bounds.ts';
import { type EngineObserver, type FrontendGauge } from '../../events.ts';
import { type Proxy, type ProxyDeps } from '../../proxy.ts';
import { hasServer } from '../../router.ts';
import { type Libc } from './libc.ts';
import { openListeners, type OpenListener } from './listener.ts';
import { type FromWorker, type ToWorker, type VersionedView } from './messages.ts';
import { play } from './notices.ts';
import { allocateTallies, planTallies, SharedTallies, type TallyPlan } from './shared.ts';
import { offsetOf } from '../../../core/thread-clock.ts';
import { ViewGate } from './view-gate.ts';
import { WorkerThread } from './worker-thread.ts';

export interface PoolDeps extends Pick<ProxyDeps, 'frontends' | 'topology' | 'clock'> {
  readonly observer: EngineObserver;
  /** Every name that a member of a backend may ever have. Left out: those that it has now. */
  readonly namesOf?: (backend: string) => readonly string[];
  readonly libc: Libc;
  readonly workers: number;
  /** Whether to use an io_uring: where it is allowed, always, or never. */
  readonly io: Config['engine']['io'];
}

export class WorkerPool implements Proxy {
  readonly #deps: PoolDeps;
  readonly #plan: TallyPlan;
  readonly #tallies: SharedArrayBuffer;
  readonly #sums: SharedTallies;
  readonly #gate: ViewGate;
  readonly #threads: WorkerThread[] = [];
  readonly #listeners = new Map<string, readonly OpenListener[]>();
  readonly #unsubscribe: () => void;
  #watchdog: Timer | null = null;
  #ending = false;
  #withoutUring: string | null = null;

  constructor(deps: PoolDeps) {
    const { frontends, topology, workers } = deps;
    this.#deps = deps;
    const backends = new Set(Object.values(frontends).map(({ backend }) => backend));
    const views = [...backends].map(backend => topology.view(backend));
    const present = (backend: string): readonly string[] =>
      topology.view(backend).servers.map(({ name }) => name);
    this.#plan = planTallies(frontends, deps.namesOf ?? present, workers);
    this.#tallies = allocateTallies(this.#plan);
    this.#sums = new SharedTallies(this.#plan, this.#tallies, 0);
    this.#gate = new ViewGate(views);
    this.#unsubscribe = topology.changes.subscribe(({ after }) => {
      if (backends.has(after.name)) this.#publish(this.#gate.publish(after));
    });
  }

  async listen(): Promise<void> {
    const { frontends, libc, workers } = this.#deps;
    try {
      for (const [frontend, { bind, tcp }] of Object.entries(frontends)) {
        const request = { frontend, bind: await resolved(frontend, bind), tcp };
        this.#listeners.set(frontend, openListeners(libc, request, workers));
      }
      for (let index = 0; index < workers; index += 1) this.#threads.push(this.#createThread(index));
      await Promise.all(this.#threads.map(thread => thread.start()));
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

  frontends(): readonly FrontendGauge[] {
    const { frontends, topology, clock } = this.#deps;
    return Object.entries(frontends).map(([name, config]) => {
      const { connections, sessions, held, bytesUp, bytesDown } = this.#sums.total(name);
      const policy = { route: config.route, maxLagMs: config.maxLagMs };
      return {
        name,
        bind: {
          host: config.bind.host,
          port: this.#listeners.get(name)?.[0]?.address.port ?? config.bind.port,
        },
        backend: config.backend,
        route: config.route,
        connections,
        sessions,
        held,
        available: !this.#ending && hasServer(policy, topology.view(config.backend), clock.now()),
        bytesUp,
        bytesDown,
      };
    });
  }

  sessionsOf(backend: string, server: string, frontend?: string): number {
    if (frontend !== undefined) return this.#sums.sessionsFrom(frontend, server);
    return this.#sums.sessions(backend, server);
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#ending = true;
    await this.#end({ kind: 'drain', deadlineMs }, deadlineMs + WORKER_END_MS);
  }

  async close(): Promise<void> {
    this.#ending = true;
    await this.#end({ kind: 'close' }, WORKER_END_MS);
  }

  async #end(message: ToWorker, boundMs: number): Promise<void> {
    await Promise.all(this.#threads.map(thread => thread.end(message, boundMs)));
    this.#watchdog?.cancel();
    this.#unsubscribe();
    for (const { fd } of [...this.#listeners.values()].flat()) this.#deps.libc.close(fd);
    this.#listeners.clear();
  }

  #createThread(index: number): WorkerThread {
    const { libc, clock, frontends } = this.#deps;
    const own = new SharedTallies(this.#plan, this.#tallies, index);
    return new WorkerThread(index, libc, clock, {
      birth: () => ({
        frontends,
        views: this.#gate.join(index),
        worker: index,
        uring: this.#deps.io !== 'epoll',
        listeners: new Map(
          [...this.#listeners].flatMap(([name, all]) =>
            all.slice(index, index + 1).map(one => [name, one] as const),
          ),
        ),
        plan: this.#plan,
        tallies: this.#tallies,
        clockOffsetMs: offsetOf(clock),
      }),
      told: message => this.#told(index, message),
      lost: detail => {
        this.#deps.observer.workerLost(own.clear(), detail);
        for (const view of this.#gate.lost(index)) this.#publish(view);
      },
    });
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
      case 'closed':
    }
  }

  #publish(view: VersionedView): void {
    for (const thread of this.#threads) thread.show(view);
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
