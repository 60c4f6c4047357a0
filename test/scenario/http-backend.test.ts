// HTTP backends in the whole program, on both drivers: one of two is killed under load and comes back, all are gone, and
// HTTP clients (Node.js, curl, autocannon) don't notice that there is anything between.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { Agent, request, type RequestOptions } from 'node:http';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test, type TestContext } from 'node:test';
import { formatAddress, type Address } from '../../src/core/address.ts';
import { startHttpBackend, USERS_TABLE, type HttpBackend } from '../support/http-backend.ts';
import { accounts, startedMariadb } from '../support/mariadb.ts';
import { runPointsman, type PointsmanProcess } from '../support/pointsman.ts';
import { sleep, until } from '../support/wait.ts';

const AUTOCANNON = fileURLToPath(import.meta.resolve('autocannon'));
const NODE = process.execPath;
const PACE_MS = 50;
/** Beyond what the same clients wait for a server without Pointsman at that time. */
const SLOWEST_MS = 100;
const run = promisify(execFile);

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** A GET of /health over a connection of its own, unless there is an agent. Rejects when it fails. */
const get = (address: Address, agent: Agent | false = false): Promise<Answer> =>
  send(address, { path: '/health', agent });

function send(address: Address, options: RequestOptions, body = ''): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request({ host: address.host, port: address.port, ...options }, response => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
      );
    })
      .on('error', reject)
      .end(body);
  });
}

interface Shot {
  readonly startedAt: number;
  readonly tookMs: number;
  /** Who answered, or why nobody did. */
  readonly by: string;
}

/** Clients that come at a steady pace, each with a connection of its own, until they are told to stop. */
class Load {
  readonly shots: Shot[] = [];
  readonly #under: Promise<void>[] = [];
  readonly #loop: Promise<void>;
  #on = true;

  constructor(address: Address) {
    this.#loop = this.#run(address);
  }

  /** How many were answered by each, of those from the `from`th on. */
  tally(from = 0): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const { by } of this.shots.slice(from)) counts[by] = (counts[by] ?? 0) + 1;
    return counts;
  }

  /** The longest that one of those waited who came after `at`, or shortly before: they may still have been under way. */
  slowestMs(at: number): number {
    const since = this.shots.filter(({ startedAt }) => startedAt >= at - 2 * PACE_MS);
    return Math.max(...since.map(({ tookMs }) => tookMs));
  }

  async stop(): Promise<void> {
    this.#on = false;
    await this.#loop;
    await Promise.all(this.#under);
  }

  async #run(address: Address): Promise<void> {
    while (this.#on) {
      this.#under.push(this.#shoot(address));
      await sleep(PACE_MS);
    }
  }

  async #shoot(address: Address): Promise<void> {
    const startedAt = performance.now();
    const by = await get(address).then(
      ({ status, body }) =>
        status === 200 ? (JSON.parse(body) as { backend: string }).backend : `${status}`,
      (thrown: unknown) => String(thrown),
    );
    this.shots.push({ startedAt, tookMs: performance.now() - startedAt, by });
  }
}

const DRIVERS = ['kernel', 'net'] as const;

/** What goes through Pointsman, and what the same clients see of a server without it: the machine's own hiccups. */
interface Loads {
  readonly through: Load;
  readonly direct: Load;
}

const configOf = (driver: string, backends: readonly HttpBackend[], frontend: object = {}): object => ({
  engine: { driver },
  frontends: {
    web: { bind: '127.0.0.1:0', backend: 'app', route: 'any', balance: 'roundrobin', ...frontend },
  },
  backends: {
    app: {
      protocol: 'http',
      check: { path: '/health', json: { status: 'ok' } },
      slow_start: '2s',
      servers: Object.fromEntries(backends.map(({ name, address }) => [name, formatAddress(address)])),
    },
  },
});

const healths = async (running: PointsmanProcess): Promise<string> => {
  const [app] = (await running.state()).backends;
  return app?.servers.map(({ health }) => health).join() ?? '';
};

/** One program for each driver, with all servers up; `drive` is done with all of them at once. */
async function onDrivers(
  t: TestContext,
  backends: readonly HttpBackend[],
  frontend: object,
  drive: (running: PointsmanProcess, driver: string) => Promise<void>,
): Promise<void> {
  await Promise.all(
    DRIVERS.map(async driver => {
      const running = await runPointsman(configOf(driver, backends, frontend));
      t.after(() => running.stop());
      const well = backends.map(() => 'up').join();
      await until('all to be up', async () => (await healths(running)) === well);
      await drive(running, driver);
    }),
  );
}

async function twoBackends(t: TestContext): Promise<readonly [HttpBackend, HttpBackend]> {
  return Promise.all([startHttpBackend(t, { name: 'b1' }), startHttpBackend(t, { name: 'b2' })]);
}

test('http backend: one of two is killed under load: no request fails, none is slow; it comes back by and by', async t => {
  const [b1, b2] = await twoBackends(t);
  const running: Record<string, PointsmanProcess> = {};
  await onDrivers(t, [b1, b2], {}, async (process, driver) => void (running[driver] = process));
  const loads = Object.entries(running).map(([driver, process]): [string, PointsmanProcess, Loads] => {
    const through = new Load(process.frontend('web'));
    const direct = new Load(b2.address);
    t.after(() => Promise.all([through.stop(), direct.stop()]));
    return [driver, process, { through, direct }];
  });
  const onEach = (watch: (driver: string, process: PointsmanProcess, loads: Loads) => Promise<void>) =>
    Promise.all(loads.map(([driver, process, both]) => watch(driver, process, both)));

  await onEach(async (driver, _process, { through }) => {
    await until('both to serve', () => through.shots.length >= 20);
    const { b1: one = 0, b2: two = 0 } = through.tally();
    assert.ok(Math.abs(one - two) <= 2, `${driver}: turn by turn: ${one} and ${two}`);
  });

  const killedAt = performance.now();
  await b1.kill();
  await onEach(async (driver, process, { through }) => {
    await until('it is down', async () => (await healths(process)) === 'down,up');
    const downMs = performance.now() - killedAt;
    assert.ok(downMs < 1000, `${driver}: known after ${downMs} ms, before the next check`);
    t.diagnostic(`${driver}: down after ${Math.round(downMs)} ms`);
    const down = through.shots.length;
    await until('the other one to serve alone', () => through.shots.length >= down + 20);
    assert.deepEqual(Object.keys(through.tally(down + 2)), ['b2'], driver);
  });

  const counts = new Map(loads.map(([driver, , { through }]) => [driver, through.shots.length]));
  await b1.start();
  await onEach(async (driver, _process, { through, direct }) => {
    const restarted = counts.get(driver) ?? 0;
    await until('it to serve again', () => (through.tally(restarted)['b1'] ?? 0) > 0);
    const back = through.shots.length;
    await until('a second of it', () => through.shots.length >= back + 20);
    const early = through.tally(back)['b1'] ?? 0;
    assert.ok(early < 10, `${driver}: less than its share at first: ${early} of 20`);
    await until('its whole share', () => {
      const { b1: one = 0, b2: two = 0 } = through.tally(through.shots.length - 20);
      return Math.abs(one - two) <= 2;
    });
    await Promise.all([through.stop(), direct.stop()]);
    assert.deepEqual(Object.keys(through.tally()).sort(), ['b1', 'b2'], `${driver}: not one failure`);
    // From the kill on: the first requests of processes that have just been started are slow by themselves.
    const [slowest, hiccup] = [through, direct].map(load => Math.round(load.slowestMs(killedAt))) as [
      number,
      number,
    ];
    t.diagnostic(`${driver}: slowest since the kill: ${slowest} ms; without Pointsman: ${hiccup} ms`);
    assert.ok(
      slowest < SLOWEST_MS + hiccup,
      `${driver}: ${slowest} ms, where a server alone took ${hiccup} ms`,
    );
  });
  for (const process of Object.values(running)) {
    for (const { msg } of process.log()) assert.doesNotMatch(String(msg), /primary|writ/);
  }
});

test('http backend: when all are gone a client gets 503 in JSON, or whoever comes back in time', async t => {
  const b1 = await startHttpBackend(t, { name: 'b1' });
  const running: PointsmanProcess[] = [];
  await onDrivers(t, [b1], { hold: '500ms' }, async process => void running.push(process));
  await b1.kill();
  await Promise.all(
    running.map(async process => {
      await until('it is down', async () => (await healths(process)) === 'down');
      const startedAt = performance.now();
      const { status, headers, body } = await get(process.frontend('web'));
      assert.ok(performance.now() - startedAt >= 450, 'it was held');
      assert.deepEqual([status, headers['content-type']], [503, 'application/json']);
      assert.match(String(headers['retry-after']), /^\d+$/);
      assert.equal(typeof (JSON.parse(body) as { error: unknown }).error, 'string');
    }),
  );
  await b1.start();
  for (const process of running) {
    await until('it serves again', async () => (await get(process.frontend('web'))).status === 200);
  }
});

test('http backend: clients that keep their connections, curl and autocannon work unchanged', async t => {
  await onDrivers(t, await twoBackends(t), {}, async (process, driver) => {
    const web = process.frontend('web');
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    const bodies = new Set<string>();
    for (let i = 0; i < 20; i += 1) bodies.add((await get(web, agent)).body);
    assert.equal(bodies.size, 1, `${driver}: a connection stays with its server`);

    const url = `http://${formatAddress(web)}/health`;
    const curl = await run('curl', ['-sS', '--fail', url, url]);
    assert.match(curl.stdout, /^\{"status":"ok","backend":"b\d"\}\{"status":"ok","backend":"b\d"\}$/, driver);
    const { stdout } = await run(NODE, [AUTOCANNON, '-c', '8', '-a', '1000', '--json', url]);
    const report = JSON.parse(stdout) as Readonly<Record<string, number>>;
    const outcome = [report['2xx'], report['non2xx'], report['errors'], report['timeouts']];
    assert.deepEqual(outcome, [1000, 0, 0, 0], driver);
  });
});

test('http backend: a request that writes goes through to the database behind it, once', async t => {
  const database = await startedMariadb(t);
  await database.run('use app', USERS_TABLE);
  const { host, port } = database;
  const b1 = await startHttpBackend(t, {
    name: 'b1',
    database: { host, port, ...accounts.app, database: 'app' },
  });
  await onDrivers(t, [b1], {}, async (process, driver) => {
    const post = { path: '/register', method: 'POST', agent: false } as const;
    const { status, body } = await send(process.frontend('web'), post, JSON.stringify({ name: driver }));
    assert.equal(status, 201, body);
  });
  const rows = await database.sql<{ name: string }>('select name from app.users order by name');
  assert.deepEqual(
    rows.map(({ name }) => name),
    [...DRIVERS],
  );
});
