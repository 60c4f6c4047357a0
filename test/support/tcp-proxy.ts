// A proxy on loopback with a topology that the test writes itself, and an observer that keeps a diary.

import { test, type TestContext } from 'node:test';
import { type Address } from '../../src/core/address.ts';
import { configSchema, type Config } from '../../src/config/schema.ts';
import { systemClock, type Clock } from '../../src/core/clock.ts';
import { seededRandom } from '../../src/core/random.ts';
import { Topic } from '../../src/core/topic.ts';
import { outcomeOf, type ProbeResult } from '../../src/health/result.ts';
import { loadLibc } from '../../src/proxy/drivers/kernel/libc.ts';
import { WorkerPool } from '../../src/proxy/drivers/kernel/pool.ts';
import { nothingInherited, type Inherited } from '../../src/proxy/driver.ts';
import { createNetDriver } from '../../src/proxy/drivers/net/driver.ts';
import { type EngineObserver, type FrontendGauge, type SessionEnd } from '../../src/proxy/events.ts';
import { createProxy, type Proxy, type TopologySource } from '../../src/proxy/proxy.ts';
import { type BackendChange, type BackendView, type ServerView } from '../../src/topology/model.ts';
import { closeClients, OWN_LOOPBACK, ScriptServer, until } from './tcp-peers.ts';
import { WorkerWatch } from './tcp-workers.ts';
import { backend, server, up } from './views.ts';

/** Each test's own truth: results never age unless it says so. */
export class FakeTopology implements TopologySource {
  readonly changes = new Topic<BackendChange>();
  readonly removals = new Topic<BackendView>();
  #view: BackendView;
  readonly #addresses: Readonly<Record<string, Address>>;
  readonly #given: Partial<BackendView>;

  constructor(addresses: Readonly<Record<string, Address>>, given: Partial<BackendView> = {}) {
    this.#addresses = addresses;
    this.#given = given;
    this.#view = this.#build({}, null, 0);
  }

  view(): BackendView {
    return this.#view;
  }

  /** A new primary (or none) is a new epoch, as in the real one. A server without a result was never asked. */
  set(results: Readonly<Record<string, ProbeResult>>, primary: string | null): void {
    const before = this.#view;
    this.#view = this.#build(results, primary, before.primary === primary ? before.epoch : before.epoch + 1);
    this.changes.publish({ before, after: this.#view, at: 0 });
  }

  /** Another view as it is, with the servers given. */
  show(servers: readonly ServerView[]): void {
    const before = this.#view;
    this.#view = { ...before, servers };
    this.changes.publish({ before, after: this.#view, at: 0 });
  }

  #build(results: Readonly<Record<string, ProbeResult>>, primary: string | null, epoch: number): BackendView {
    const servers = Object.entries(this.#addresses).map(([name, address]) => {
      const result = results[name] ?? null;
      const busy = result !== null && outcomeOf(result) === 'inconclusive';
      return { ...server(name, result, busy ? up : undefined), address };
    });
    return backend(servers, { freshnessMs: Number.MAX_SAFE_INTEGER, ...this.#given, primary, epoch });
  }
}

export interface Diary extends EngineObserver {
  /** One line per call, such as `rejected hold-full` or `connectFailed pg1 refused`. */
  readonly lines: string[];
  readonly ends: SessionEnd[];
  count(prefix: string): number;
}

export function createDiary(): Diary {
  const lines: string[] = [];
  const ends: SessionEnd[] = [];
  return {
    lines,
    ends,
    count: prefix => lines.filter(line => line.startsWith(prefix)).length,
    accepted: (_frontend, count) => void lines.push(...Array<string>(count).fill('accepted')),
    rejected: (_frontend, reason, _client, count = 1) =>
      void lines.push(...Array<string>(count).fill(`rejected ${reason}`)),
    circuit: (_backend, name, isOpen) => void lines.push(`circuit ${name} ${isOpen ? 'open' : 'closed'}`),
    held: () => void lines.push('held'),
    holdEnded: (_frontend, _backend, _waitedMs, outcome) => void lines.push(`holdEnded ${outcome}`),
    connectFailed: (_backend, name, error) => void lines.push(`connectFailed ${name} ${error}`),
    connected: (_backend, name) => void lines.push(`connected ${name}`),
    sessionEnded(end) {
      ends.push(end);
      lines.push(`sessionEnded ${end.server} ${end.reason}`);
    },
    sessionsClosed: (_backend, name, reason, count) =>
      void lines.push(`sessionsClosed ${name} ${reason} ${count}`),
    acceptError: (_frontend, code) => void lines.push(`acceptError ${code}`),
    withoutUring: reason => void lines.push(`withoutUring ${reason}`),
    workerLost: (lost, detail) =>
      void lines.push(`workerLost ${lost.reduce((sum, { sessions }) => sum + sessions, 0)} ${detail}`),
  };
}

export interface Stage {
  readonly proxy: Proxy;
  readonly topology: FakeTopology;
  readonly diary: Diary;
  readonly servers: Readonly<Record<string, ScriptServer>>;
  readonly workers: WorkerWatch;
  /** Waits until what the topology says is in force: on `net` that is so when `set` returns. */
  settled(): Promise<void>;
  /** Where frontend `name` listens. */
  at(name?: string): Address;
  gauge(name?: string): FrontendGauge;
}

export interface StageOptions {
  readonly servers?: readonly string[];
  /** Where a server listens, OWN_LOOPBACK if left out (127.0.0.1 if it has a name), and as which host the topology names it, the same if left out. */
  readonly hosts?: Readonly<Record<string, { readonly listen?: string; readonly named?: string }>>;
  /** Of a server that is none of the stage's, in place of the one that is. */
  readonly addresses?: Readonly<Record<string, Address>>;
  /** What the views say of the backend as a whole, such as its protocol; left out: postgres. */
  readonly backend?: Partial<BackendView>;
  /** What the proxy is born with, as of `FakeTopology.set`; left out: no server was ever asked. */
  readonly initial?: readonly [results: Readonly<Record<string, ProbeResult>>, primary: string | null];
  /** Frontends in the words of the configuration file; bind and backend are filled in. */
  readonly frontends?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly clock?: Clock;
  /** Left out: the net driver. */
  readonly engine?: Engine;
  /** Listening sockets in place of new ones. */
  readonly inherited?: Inherited;
}

/** What moves the bytes in a test: the same tests run on each. */
export type Engine = 'net' | { readonly workers: number; readonly io: 'io_uring' | 'epoll' };

export const engines: readonly (readonly [string, Engine])[] = [
  ['net', 'net'],
  ['kernel on epoll', { workers: 1, io: 'epoll' }],
  ['kernel on io_uring', { workers: 1, io: 'io_uring' }],
  ['kernel with 3 workers', { workers: 3, io: 'io_uring' }],
];

/** One test for each engine, its name in front. `which`: left out, all of them. */
export function onEngines(
  title: string,
  body: (t: TestContext, engine: Engine) => Promise<void>,
  which: (engine: Engine) => boolean = () => true,
): void {
  for (const [name, engine] of engines) {
    if (which(engine)) test(`${name}: ${title}`, t => body(t, engine));
  }
}

/**
 * For what the proxy decides, whoever moves the bytes: once on each driver, the kernel's with the engine of these that comes
 * last. What depends on sockets, threads or the kernel runs on all of them.
 */
export function onDrivers(
  title: string,
  body: (t: TestContext, engine: Engine) => Promise<void>,
  which: (engine: Engine) => boolean = () => true,
): void {
  const kernel = engines.findLast(([, engine]) => engine !== 'net' && which(engine))?.[1];
  onEngines(title, body, engine => engine === kernel || (engine === 'net' && which(engine)));
}

/** For what one loop after the other decides: with several workers the order between them is nobody's. */
export const oneLoop = (engine: Engine): boolean => engine === 'net' || engine.workers === 1;

/** Servers, topology and a listening proxy; all of it ends with the test. */
export async function openStage(t: TestContext, options: StageOptions = {}): Promise<Stage> {
  const names = options.servers ?? ['pg1', 'pg2'];
  const servers = Object.fromEntries(
    await Promise.all(
      names.map(async name => {
        const { listen, named } = options.hosts?.[name] ?? {};
        // What a name means is 127.0.0.1 as a rule.
        const host = listen ?? (named === undefined ? OWN_LOOPBACK : '127.0.0.1');
        return [name, await new ScriptServer().listen(0, host)] as const;
      }),
    ),
  );
  const addresses = Object.fromEntries(
    Object.entries(servers).map(([name, { address }]) => [
      name,
      options.addresses?.[name] ?? { ...address, host: options.hosts?.[name]?.named ?? address.host },
    ]),
  );
  const given = options.frontends ?? { app: {} };
  const config = configSchema.parse({
    frontends: Object.fromEntries(
      Object.entries(given).map(([name, keys]) => [
        name,
        { bind: `${OWN_LOOPBACK}:0`, backend: 'app', ...keys },
      ]),
    ),
    backends: {
      app: {
        protocol: 'postgres',
        check: { user: 'probe' },
        servers: Object.fromEntries(names.map(name => [name, '127.0.0.1:1'])),
      },
    },
  });
  const topology = new FakeTopology(addresses, options.backend);
  if (options.initial !== undefined) topology.set(...options.initial);
  const diary = createDiary();
  const clock = options.clock ?? systemClock;
  const workers = new WorkerWatch(t);
  const proxy = await createEngine(
    options.engine ?? 'net',
    config,
    topology,
    clock,
    diary,
    options.inherited,
  );
  t.after(async () => {
    closeClients();
    await proxy.close();
    await Promise.all(Object.values(servers).map(server => server.refuse().catch(() => undefined)));
  });
  await proxy.listen();
  const gauge = (name = 'app'): FrontendGauge => {
    const found = proxy.frontends().find(frontend => frontend.name === name);
    if (found === undefined) throw new Error(`no frontend ${name}`);
    return found;
  };
  const settled = (): Promise<void> => until(() => workers.settled, 'the workers to follow the topology');
  return { proxy, topology, diary, servers, workers, settled, gauge, at: name => gauge(name).bind };
}

export async function createEngine(
  engine: Engine,
  { frontends }: Pick<Config, 'frontends'>,
  topology: TopologySource,
  clock: Clock,
  observer: Diary,
  inherited: Inherited = nothingInherited,
  namesOf?: (backend: string) => readonly string[],
): Promise<Proxy> {
  if (engine === 'net') {
    const driver = createNetDriver(clock);
    return createProxy({ frontends, topology, driver, clock, random: seededRandom(1), observer, inherited });
  }
  const loaded = await loadLibc();
  if (!loaded.ok) throw new Error(`the kernel driver doesn't run here: ${loaded.reason}`);
  const names = namesOf === undefined ? {} : { namesOf };
  return new WorkerPool({
    frontends,
    topology,
    clock,
    random: seededRandom(1),
    observer,
    inherited,
    libc: loaded.libc,
    ...names,
    ...engine,
  });
}
