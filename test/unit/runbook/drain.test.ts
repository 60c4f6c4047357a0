// The drain of a switchover against a made-up application: a pool of connections, users who each take one of it for a
// transaction, and an end that the pool notices a few milliseconds late. A user who takes such a connection meets the error
// that must not be.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom, type Random } from '../../../src/core/random.ts';
import { drainSessions, type DrainDeps, type Rested } from '../../../src/runbook/steps/drain.ts';
import { FakeClock } from '../../support/fake-clock.ts';

/** How an application behaves. */
interface Manner {
  /** Which connection a pool gives out: that used last or that unused for longest. */
  readonly takes: 'newest' | 'oldest';
  readonly worksMs: number;
  /** From the end of a connection to the moment at which its pool knows. */
  readonly noticesMs: number;
  /** Left out: 300 to 900. */
  readonly thinksMs?: { readonly least: number; readonly most: number };
}

const usual: Manner = { takes: 'newest', worksMs: 12, noticesMs: 5 };
const MANNERS: readonly Manner[] = [
  usual,
  { takes: 'newest', worksMs: 12, noticesMs: 40 },
  { takes: 'newest', worksMs: 200, noticesMs: 40 },
  { takes: 'oldest', worksMs: 12, noticesMs: 5 },
  { takes: 'oldest', worksMs: 60, noticesMs: 40 },
];
const THINKS_MS = { least: 300, most: 900 };
/** A worker thread ends a pause when it has its turn. */
const LATE_MS = 20;
const USERS = 20;
const TIMEOUT_MS = 60_000;

interface Link {
  readonly id: string;
  readonly port: number;
  bytes: number;
  /** When it last carried anything. */
  spokeAt: number;
  isBusy: boolean;
  isClosed: boolean;
  isPaused: boolean;
  /** What its user wants, while nobody listens. */
  pending: (() => void) | null;
}

/** One connection for each user at most, as many at first. */
class Application {
  readonly links: Link[];
  readonly errors: string[] = [];
  served = 0;
  /** Who came to the door, since the pool had nothing for them. */
  atDoor = 0;
  cutAmid = 0;
  readonly pauses: (readonly string[])[] = [];
  readonly #clock: FakeClock;
  readonly #random: Random;
  readonly #manner: Manner;
  readonly #idle: Link[];

  constructor(clock: FakeClock, random: Random, users: number, manner = usual, links = users) {
    this.#clock = clock;
    this.#random = random;
    this.#manner = manner;
    this.links = Array.from({ length: links }, (_, index) => ({
      id: `w-${index}`,
      port: 50_000 + index,
      bytes: 0,
      spokeAt: 0,
      isBusy: false,
      isClosed: false,
      isPaused: false,
      pending: null,
    }));
    this.#idle = [...this.links];
    for (let user = 0; user < users; user += 1) this.#think();
  }

  get open(): readonly Link[] {
    return this.links.filter(({ isClosed }) => !isClosed);
  }

  #think(): void {
    const { least, most } = this.#manner.thinksMs ?? THINKS_MS;
    this.#clock.schedule(least + this.#random() * (most - least), () => this.#come());
  }

  #come(): void {
    const link = this.#manner.takes === 'newest' ? this.#idle.pop() : this.#idle.shift();
    if (link === undefined) this.atDoor += 1;
    else if (link.isClosed) this.errors.push(`${link.id} is closed, and its pool did not know yet`);
    else if (link.isPaused) link.pending = () => this.#work(link);
    else this.#work(link);
  }

  #work(link: Link): void {
    link.pending = null;
    link.isBusy = true;
    link.bytes += 1;
    link.spokeAt = this.#clock.now();
    this.#clock.schedule(this.#manner.worksMs, () => {
      if (link.isClosed) return;
      link.isBusy = false;
      link.bytes += 1;
      link.spokeAt = this.#clock.now();
      this.served += 1;
      this.#idle.push(link);
      this.#think();
    });
  }

  close(id: string): number {
    const link = this.links.find(other => other.id === id);
    if (link === undefined || link.isClosed) return 0;
    if (link.isBusy || link.pending !== null) this.cutAmid += 1;
    link.isClosed = true;
    this.#clock.schedule(this.#manner.noticesMs, () => {
      const at = this.#idle.indexOf(link);
      if (at >= 0) this.#idle.splice(at, 1);
    });
    return 1;
  }

  pause(ids: readonly string[], forMs: number): number {
    this.pauses.push(ids);
    const paused = this.links.filter(({ id }) => ids.includes(id));
    for (const link of paused) link.isPaused = true;
    this.#clock.schedule(forMs + LATE_MS, () => {
      for (const link of paused) {
        link.isPaused = false;
        link.pending?.();
      }
    });
    return paused.length;
  }
}

const wait = (clock: FakeClock, ms: number): Promise<void> =>
  new Promise(resolve => void clock.schedule(ms, resolve));

function depsOf(clock: FakeClock, app: Application, given: Partial<DrainDeps> = {}): DrainDeps {
  return {
    clock,
    list: () => {
      const sessions = app.open.map(({ id, port, bytes }) => ({
        id,
        local: { host: '10.0.0.1', port },
        bytesUp: bytes,
        bytesDown: 0,
      }));
      return Promise.resolve({ sessions, matched: sessions.length, silentWorkers: 0 });
    },
    close: (ids, rested) => {
      const rests = (id: string, index: number): boolean => {
        const link = app.links.find(other => other.id === id);
        if (link === undefined || rested === undefined) return true;
        const idleMs = clock.now() - link.spokeAt;
        const isSure = idleMs < rested.idleBelowMs || idleMs >= rested.idleFromMs;
        return link.bytes === rested.bytes[index] && !link.isPaused && isSure;
      };
      return Promise.resolve(ids.filter(rests).reduce((sum, id) => sum + app.close(id), 0));
    },
    pause: (ids, forMs) => Promise.resolve(app.pause(ids, forMs)),
    rest: () =>
      Promise.resolve(new Map(app.links.map(({ port, isBusy }) => [`10.0.0.1:${port}`, !isBusy] as const))),
    end: () => undefined,
    ...given,
  };
}

interface Drained {
  readonly app: Application;
  readonly detail: string;
  readonly tookMs: number;
}

async function drained(
  given: {
    seed?: number;
    users?: number;
    manner?: Manner;
    timeoutMs?: number;
    deps?: Partial<DrainDeps>;
    late?: ReturnType<typeof starved>;
  } = {},
): Promise<Drained> {
  const clock = new FakeClock();
  const app = new Application(clock, seededRandom(given.seed ?? 1), given.users ?? USERS, given.manner);
  await clock.advance(2000);
  const from = clock.now();
  const timeoutMs = given.timeoutMs ?? TIMEOUT_MS;
  const deps = { ...given.deps, ...given.late?.(clock, app) };
  const step = drainSessions(depsOf(clock, app, deps), timeoutMs);
  let detail: string | null = null;
  void step.done.then(result => {
    assert.ok(result.ok);
    detail = result.detail;
  });
  const isDone = (): boolean => detail !== null;
  while (!isDone() && clock.now() < from + timeoutMs + 5000) await clock.advance(50);
  const tookMs = clock.now() - from;
  await clock.advance(2000); // whoever thinks comes once more
  return { app, detail: detail ?? assert.fail('it did not end'), tookMs };
}

const SEEDS = [1, 2, 3, 4];

for (const manner of MANNERS) {
  test(`drain: users of a pool wait at the door, and none meets a closed connection (${JSON.stringify(manner)})`, async () => {
    for (const seed of SEEDS) {
      const { app, detail } = await drained({ seed, manner });
      assert.deepEqual([app.errors, app.cutAmid, app.open.length], [[], 0, 0], `seed ${seed}`);
      assert.equal(app.atDoor, USERS, 'each is at the door in the end');
      assert.equal(detail, `${USERS} sessions closed between two transactions`);
      assert.ok(
        app.links.every(({ pending }) => pending === null),
        'what was sent in a pause is served',
      );
    }
  });
}

/** A processor that starves us now and then: those who rest are closed as late as some of them think again. */
const starved =
  (seed: number, of: Partial<Rested> = {}) =>
  (clock: FakeClock, app: Application): Partial<DrainDeps> => {
    const random = seededRandom(seed);
    return {
      close: async (ids, rested) => {
        if (rested !== undefined && random() < 0.15) await wait(clock, 850);
        return depsOf(clock, app).close(ids, rested && { ...rested, ...of });
      },
    };
  };

test('drain: closed late, nobody meets a closed connection who would, were all closed that rest', async () => {
  const thinksMs = { least: 900, most: 1200 };
  const manner: Manner = { takes: 'newest', worksMs: 12, noticesMs: 100, thinksMs };
  const careless: string[] = [];
  for (const seed of SEEDS) {
    const { app, detail } = await drained({ seed, manner, late: starved(seed) });
    assert.deepEqual([app.errors, app.open.length], [[], 0], `seed ${seed}`);
    assert.equal(detail, `${USERS} sessions closed between two transactions`);
    careless.push(...(await drained({ seed, manner, late: starved(seed, { idleFromMs: 0 }) })).app.errors);
  }
  assert.ok(careless.length > 0);
});

test('drain: without the pause some would meet one', async () => {
  const errors: string[] = [];
  for (const seed of SEEDS) {
    for (const manner of MANNERS) {
      const { app } = await drained({ seed, manner, deps: { pause: () => Promise.resolve(0) } });
      errors.push(...app.errors);
    }
  }
  assert.notDeepEqual(errors, []);
});

test('drain: an application that does nothing now is soon gone', async () => {
  const clock = new FakeClock();
  const app = new Application(clock, seededRandom(1), 0, usual, 3);
  const step = drainSessions(depsOf(clock, app), TIMEOUT_MS);
  await clock.advance(2100);
  assert.equal((await step.done).detail, '3 sessions closed between two transactions');
});

test('drain: who is amid a transaction when the time is up is cut, and that is said', async () => {
  const { app, detail, tookMs } = await drained({
    users: 3,
    timeoutMs: 8000,
    deps: { rest: () => Promise.resolve(new Map()) },
  });
  assert.equal(app.open.length, 0);
  assert.match(detail, /^0 sessions closed between two transactions, 3 amid a transaction or unseen/);
  assert.ok(tookMs >= 8000);
});

test('drain: without time for a pause who rests is closed all the same, and nobody is cut', async () => {
  const { app, detail } = await drained({ timeoutMs: 1000 });
  assert.deepEqual([app.pauses, app.cutAmid, app.open.length], [[], 0, 0]);
  assert.equal(detail, `${USERS} sessions closed between two transactions`);
});

test('drain: where the server can’t be asked, nobody is closed before the time is up, and the reason is told', async () => {
  const { detail } = await drained({
    users: 3,
    timeoutMs: 8000,
    deps: { rest: () => Promise.reject(new Error('no such role')) },
  });
  assert.match(detail, /could not always be asked: no such role/);
});

test('drain: given up, it ends and closes nobody any more', async () => {
  const clock = new FakeClock();
  const app = new Application(clock, seededRandom(1), 5);
  const step = drainSessions(depsOf(clock, app), TIMEOUT_MS);
  await clock.advance(10);
  step.cancel();
  await clock.advance(2000);
  assert.deepEqual(await step.done, { ok: false, detail: 'it was given up', output: '' });
  assert.equal(app.open.length, 5);
});
