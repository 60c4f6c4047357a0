// The state file under the built CLI and real PostgreSQL: what a restart knows, what kill -9 leaves, what a failing disk does.
// pg1 and pg2 are one cluster copied byte for byte, both writable on the same timeline: nothing in them tells them apart.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { Client } from 'pg';
import { embeddedBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { PostgresNode } from '../../src/cli/demo/postgres-node.ts';
import { seededRandom } from '../../src/core/random.ts';
import { readState, type SavedBackend } from '../../src/topology/saved.ts';
import { configFile } from '../support/clients.ts';
import { pointsman, runPointsman, type PointsmanProcess } from '../support/pointsman.ts';
import { sleep, until } from '../support/wait.ts';

const TOKEN = 'the-token-of-this-test';
const ROUNDS = 4;
const nodes: PostgresNode[] = [];

before(async () => {
  const pg1 = await PostgresNode.create({ name: 'pg1', binaries: embeddedBinaries() });
  nodes.push(pg1);
  const pg2 = await PostgresNode.cloneAsStandby(pg1, { name: 'pg2' });
  nodes.push(pg2);
  rmSync(join(pg2.dataDirectory, 'standby.signal'));
  await pg1.start();
});

after(async () => {
  for (const node of nodes.splice(0)) await node.dispose();
});

function configWith(stateFile?: string) {
  return {
    admin: { bind: '127.0.0.1:0', token: TOKEN },
    ...(stateFile === undefined ? {} : { state_file: stateFile }),
    frontends: { rw: { bind: '127.0.0.1:0', backend: 'app', hold: '5s' } },
    backends: {
      app: {
        protocol: 'postgres',
        check: { user: 'postgres', interval: '200ms' },
        multiple_writers: 'newest',
        servers: Object.fromEntries(nodes.map(({ name, port }) => [name, `127.0.0.1:${port}`])),
      },
    },
  };
}

function stateDirectory(t: TestContext): { directory: string; path: string } {
  const directory = mkdtempSync(join(tmpdir(), 'pointsman-state-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return { directory, path: join(directory, 'state.json') };
}

/** Runs until the test ends, if it isn't ended before. */
async function running(t: TestContext, stateFile?: string): Promise<PointsmanProcess> {
  const process = await runPointsman(configWith(stateFile));
  t.after(() => process.stop());
  return process;
}

const backendOf = async (process: PointsmanProcess) => {
  const [backend] = (await process.state()).backends;
  return backend ?? assert.fail('there is no backend');
};

const primaryOf = async (process: PointsmanProcess): Promise<string | null> =>
  (await backendOf(process)).primary;

async function reached(process: PointsmanProcess): Promise<unknown> {
  const client = new Client({ ...process.frontend('rw'), user: 'postgres', database: 'postgres' });
  await client.connect();
  const { rows } = await client.query<{ port: number }>('SELECT inet_server_port() AS port');
  await client.end();
  return rows[0]?.port;
}

async function decide(process: PointsmanProcess, server: string, admin: string): Promise<void> {
  const url = `${process.admin}/api/v1/backends/app/servers/${server}/${admin}`;
  const headers = { authorization: `Bearer ${TOKEN}`, connection: 'close' };
  const response = await fetch(url, { method: 'POST', headers });
  assert.ok(response.ok, `${response.status} ${await response.text()}`);
}

function savedIn(path: string): SavedBackend {
  const read = readState(readFileSync(path, 'utf8'));
  assert.ok(read.ok, JSON.stringify(read));
  return read.state.get('app') ?? assert.fail('the backend is not saved');
}

test('state file: of two equal writers a restart follows the one of before, and without the file nobody', async t => {
  const { path } = stateDirectory(t);
  const [pg1, pg2] = nodes;
  const first = await running(t, path);
  await until('pg1 to be the primary', async () => (await primaryOf(first)) === 'pg1');
  await pg2?.start();
  await until('both to claim', async () => (await backendOf(first)).split_brain);
  assert.equal(await reached(first), pg1?.port);
  const { epoch } = await backendOf(first);
  await first.stop();

  const without = await running(t);
  await until('both to claim', async () => (await backendOf(without)).split_brain);
  assert.equal(await primaryOf(without), null);
  assert.equal((await fetch(`${without.admin}/readyz`)).status, 503);
  await without.stop();

  const second = await running(t, path);
  await until('both to claim', async () => (await backendOf(second)).split_brain);
  assert.equal(await primaryOf(second), 'pg1');
  assert.equal(await reached(second), pg1?.port);
  assert.equal((await backendOf(second)).epoch, epoch);
});

test('state file: kill -9 amid changes of the primary leaves a file that is read, and an epoch that grows', async t => {
  const { directory, path } = stateDirectory(t);
  await until('pg2 to run', () => nodes[1]?.running);
  const random = seededRandom(5);
  let epoch = 0;
  let changes = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const process = await runPointsman(configWith(path));
    t.after(() => process.signal('SIGKILL'));
    // Where nothing is known, one of them must be taken out for the other to be the primary.
    let turn = round;
    const flip = async (): Promise<void> => {
      const [out, back] = turn % 2 === 0 ? ['pg1', 'pg2'] : ['pg2', 'pg1'];
      turn += 1;
      await decide(process, back, 'ready');
      await decide(process, out, 'maintenance');
    };
    await flip();
    await until('a primary', () => primaryOf(process));
    let isOver = false;
    const flipping = (async () => {
      while (!isOver) await flip().catch((thrown: unknown) => assert.ok(isOver, String(thrown)));
    })();
    const enough = turn + 2 + Math.floor(random() * 4);
    await until('some changes', () => turn >= enough, { everyMs: 1 });
    await sleep(random() * 10);
    isOver = true;
    process.signal('SIGKILL');
    await process.exited;
    await flipping;
    const saved = savedIn(path);
    assert.ok(saved.epoch >= epoch, `${saved.epoch} after ${epoch}`);
    changes += saved.epoch - epoch;
    epoch = saved.epoch;
  }
  assert.ok(changes >= ROUNDS, `${changes} changes of the primary were seen on disk`);
  const last = await running(t, path);
  await until('the start to be over', async () => (await backendOf(last)).epoch >= epoch);
  await last.stop();
  assert.deepEqual(readdirSync(directory), ['state.json'], 'no damage, no lock, nothing half-written');
});

test('state file: while the disk fails, clients are served as ever; it is counted, told, and made good; a second Pointsman is refused', async t => {
  const { directory, path } = stateDirectory(t);
  const process = await running(t, path);
  await decide(process, 'pg2', 'maintenance');
  await until('pg1 to be the primary', async () => (await primaryOf(process)) === 'pg1');
  await until('it to be saved', () => existsSync(path) && savedIn(path).primary === 'pg1');
  const client = new Client({ ...process.frontend('rw'), user: 'postgres', database: 'postgres' });
  await client.connect();
  const away = `${directory}-away`;
  renameSync(directory, away);
  t.after(() => rmSync(away, { recursive: true, force: true }));
  await decide(process, 'pg2', 'drain');
  await until('the failure to be counted', async () =>
    /^pointsman_state_file_errors_total [1-9]/m.test(await process.metrics()),
  );
  assert.equal((await client.query('SELECT 1 AS one')).rowCount, 1, 'open sessions go on');
  await client.end();
  assert.equal(await reached(process), nodes[0]?.port, 'new ones are made');
  renameSync(away, directory);
  await decide(process, 'pg2', 'maintenance');
  await decide(process, 'pg2', 'drain');
  await until('it to be saved', () => savedIn(path).servers.get('pg2')?.admin === 'drain');
  const told = process.log().map(({ msg }) => String(msg));
  const of = (start: string): number => told.filter(line => line.startsWith(start)).length;
  assert.equal(of('the state file cannot be written'), 1);
  await until('the end of it to be told', () =>
    process.log().some(({ msg }) => msg === 'the state file is written again'),
  );
  const second = await pointsman(['run', '-c', configFile(t, configWith(path))]);
  assert.equal(second.code, 1);
  assert.match(
    second.stderr,
    new RegExp(`"code":"STATE_FILE_IN_USE".*another Pointsman uses it, process ${process.pid};`),
  );
});

test('state file: a start that could not keep its promise fails with a code, and is warned of', async t => {
  const { directory } = stateDirectory(t);
  const missing = configFile(t, configWith(join(directory, 'missing', 'state.json')));
  const { code, stderr } = await pointsman(['run', '-c', missing]);
  assert.equal(code, 1);
  assert.match(stderr, /"code":"STATE_FILE_UNUSABLE".*missing does not exist/);
  assert.match(stderr, /state_file: needs its directory, and that does not exist \(warning\)/);
});
