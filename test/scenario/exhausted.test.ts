// Busy is not dead (safety rule 7): a primary without a free connection slot keeps its role and its sessions, though a well
// replica stands by; newcomers wait, and are served when there is room again. The whole program, on real PostgreSQL.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client } from 'pg';
import { CREATE_LEDGER, LedgerWriter } from '../../src/cli/demo/ledger-writer.ts';
import { embeddedBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { PostgresNode } from '../../src/cli/demo/postgres-node.ts';
import { systemClock } from '../../src/core/clock.ts';
import { Newcomers } from '../support/pair.ts';
import { runPointsman } from '../support/pointsman.ts';
import { sleep, until } from '../support/wait.ts';

const PASSWORD = 'secret of both';
/** Each of two halves: while the probe has its session, and after it has lost it. Longer makes no difference. */
const EXHAUSTED_MS = 6000;
const WRITERS = 3;

const login = { user: 'app', password: PASSWORD, database: 'postgres' };

/** Takes every slot that ordinary users may have, from behind the proxy's back, and whatever becomes free. */
class Crowd {
  readonly #target: { readonly host: string; readonly port: number };
  readonly #clients = new Set<Client>();
  #running = true;
  #refused = 0;
  readonly #loop: Promise<void>;

  constructor(port: number) {
    this.#target = { host: '127.0.0.1', port };
    this.#loop = this.#run();
  }

  /** How often the server had no slot for another. */
  get refused(): number {
    return this.#refused;
  }

  async leave(): Promise<void> {
    this.#running = false;
    await this.#loop;
    await Promise.all([...this.#clients].map(client => client.end()));
  }

  async #run(): Promise<void> {
    while (this.#running) {
      const client = new Client({ ...this.#target, ...login });
      client.on('error', () => this.#clients.delete(client));
      try {
        await client.connect();
        this.#clients.add(client);
      } catch (thrown) {
        const { code } = thrown as { code?: string };
        assert.equal(code, '53300', String(thrown));
        this.#refused += 1;
        await sleep(5);
      }
    }
  }
}

test('exhausted: a primary without free slots keeps its role and its sessions, and newcomers are told so or wait', async t => {
  const settings = { max_connections: '20', superuser_reserved_connections: '3' };
  const pg1 = await PostgresNode.create({
    name: 'pg1',
    binaries: embeddedBinaries(),
    password: PASSWORD,
    settings,
  });
  t.after(() => pg1.dispose());
  await pg1.start(); // before it is copied, for a standby must not have less slots than its data say
  const pg2 = await PostgresNode.cloneAsStandby(pg1, { name: 'pg2' });
  t.after(() => pg2.dispose());
  await pg2.start();
  await pg1.query(`CREATE ROLE app LOGIN PASSWORD '${PASSWORD}'`);
  await pg1.query(`CREATE ROLE probe LOGIN PASSWORD '${PASSWORD}'`);
  await pg1.query(CREATE_LEDGER);
  await pg1.query('GRANT ALL ON ledger TO app');
  const run = await runPointsman({
    frontends: {
      rw: { bind: '127.0.0.1:0', backend: 'app', route: 'primary' },
      ro: { bind: '127.0.0.1:0', backend: 'app', route: 'replica' },
    },
    backends: {
      app: {
        protocol: 'postgres',
        check: { user: 'probe', password: PASSWORD, database: 'postgres' },
        servers: { pg1: `127.0.0.1:${pg1.port}`, pg2: `127.0.0.1:${pg2.port}` },
      },
    },
  });
  t.after(() => run.stop());
  const backend = async () => {
    const [app] = (await run.state()).backends;
    return app ?? assert.fail('there is a backend');
  };
  await until('both roles', async () => {
    const app = await backend();
    return app.primary === 'pg1' && app.servers[1]?.role === 'replica';
  });
  const { epoch } = await backend();

  const target = { ...run.frontend('rw'), ...login };
  const writers = Array.from({ length: WRITERS }, (_, id) => new LedgerWriter(target, id, systemClock));
  t.after(() => Promise.all(writers.map(writer => writer.stop())));
  writers.forEach(writer => writer.start());
  await until('every writer to write', () => writers.every(w => w.acknowledged.length > 5));

  const crowd = new Crowd(pg1.port);
  t.after(() => crowd.leave().catch(() => undefined)); // its server may be gone by then
  await until('no slot to be free', () => crowd.refused > 0);
  const newcomers = new Newcomers(target, 100);
  const readers = new Newcomers({ ...run.frontend('ro'), ...login }, 100);
  t.after(() => Promise.all([newcomers.stop(), readers.stop()]));
  const exhaustedAt = performance.now();
  /** What the checks of the primary come to, which stays what it is. `meanwhile`: given the newest. */
  const watch = async (
    meanwhile = async (_code: string): Promise<void> => {},
  ): Promise<readonly string[]> => {
    const codes = new Set<string>();
    const from = performance.now();
    while (performance.now() - from < EXHAUSTED_MS) {
      const app = await backend();
      assert.deepEqual([app.primary, app.epoch, app.servers[0]?.health], ['pg1', epoch, 'up']);
      const code = app.servers[0]?.last_check?.code ?? 'none';
      codes.add(code);
      await meanwhile(code);
      await sleep(50);
    }
    return [...codes];
  };
  assert.deepEqual(await watch(), ['L7OK'], 'the probe has a session of its own');
  const told = newcomers.errors.length;
  assert.ok(told >= 3, 'who comes is told by the server that there is no room');
  /** Whose slot is free for a moment: the crowd's, or the probe's again. */
  const throwOut = async (code: string): Promise<void> => {
    if (code !== 'L7OK') return;
    await pg1
      .query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'probe'`)
      .catch((thrown: unknown) => assert.equal((thrown as { code?: string }).code, '53300'));
  };
  await until('the probe to be refused too', async () => {
    const code = (await backend()).servers[0]?.last_check?.code ?? 'none';
    await throwOut(code);
    return code === 'L7BUSY';
  });
  // Now and then its turn comes, and it is let in.
  const codes = await watch(throwOut);
  assert.ok(
    codes.includes('L7BUSY') && codes.every(code => ['L7BUSY', 'L7OK', 'L4LOST'].includes(code)),
    codes.join(),
  );
  const servedMeanwhile = newcomers.served;
  const exhaustedMs = performance.now() - exhaustedAt;
  t.diagnostic(
    `${newcomers.served} newcomers served meanwhile, ${told} told by the server in the first half, ${newcomers.errors.length - told} in the second`,
  );
  await crowd.leave();
  await until('newcomers to be served again', () => newcomers.served > servedMeanwhile + 5);
  assert.equal(await newcomers.stop(), 0, 'nobody hangs');
  assert.equal(await readers.stop(), 0);
  await Promise.all(writers.map(writer => writer.stop()));

  const errors = writers.flatMap(writer => writer.errors);
  assert.deepEqual(errors, [], 'no session was closed');
  assert.ok(writers.every(({ acknowledged }) => (acknowledged.at(-1)?.at ?? 0) > exhaustedAt + exhaustedMs));
  assert.deepEqual(readers.errors, []);
  assert.ok(readers.served >= 5);
  for (const { error } of newcomers.errors)
    assert.match(error, /too many clients|remaining connection slots/);
  const after = await backend();
  assert.deepEqual([after.primary, after.epoch], ['pg1', epoch]);
});
