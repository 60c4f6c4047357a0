// Two PostgreSQL that both take writes, behind the whole program, once for each policy: nobody is led to one of them before
// evidence or an operator has decided. What each policy does stands in docs/configuration.md, `multiple_writers`.

import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { Client, DatabaseError } from 'pg';
import { embeddedBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { PostgresNode } from '../../src/cli/demo/postgres-node.ts';
import { runPointsman, type PointsmanProcess } from '../support/pointsman.ts';
import { until } from '../support/wait.ts';

const PASSWORD = 'secret of both';
const TOKEN = 'token-of-the-operator';
const policies = ['newest', 'keep', 'block', 'ordered'] as const;
type Policy = (typeof policies)[number];
/** Whom each policy leads clients to; `null`: nobody. */
type Verdict = Readonly<Record<Policy, 'pg1' | 'pg2' | null>>;

interface Both {
  readonly pg1: PostgresNode;
  readonly pg2: PostgresNode;
}

async function create(t: TestContext, name: string): Promise<PostgresNode> {
  const node = await PostgresNode.create({ name, binaries: embeddedBinaries(), password: PASSWORD });
  t.after(() => node.dispose());
  return node;
}

/** Two that have nothing to do with each other, as after a restore into an empty directory. */
async function unrelated(t: TestContext): Promise<Both> {
  const [pg1, pg2] = await Promise.all([create(t, 'pg1'), create(t, 'pg2')]);
  await Promise.all([pg1.start(), pg2.start()]);
  return { pg1, pg2 };
}

async function primaryAndStandby(t: TestContext): Promise<Both> {
  const pg1 = await create(t, 'pg1');
  const pg2 = await PostgresNode.cloneAsStandby(pg1, { name: 'pg2' });
  t.after(() => pg2.dispose());
  await Promise.all([pg1.start(), pg2.start()]);
  return { pg1, pg2 };
}

/** The standby was promoted, and the old primary lives: two timelines. */
async function promoted(t: TestContext): Promise<Both> {
  const both = await primaryAndStandby(t);
  await both.pg2.promote();
  return both;
}

/** A copy of the data directory, started as it is: one timeline, and nothing to tell them apart by. */
async function copied(t: TestContext): Promise<Both> {
  const pg1 = await create(t, 'pg1');
  const pg2 = await PostgresNode.cloneAsStandby(pg1, { name: 'pg2' });
  t.after(() => pg2.dispose());
  rmSync(join(pg2.dataDirectory, 'standby.signal'));
  await Promise.all([pg1.start(), pg2.start()]);
  return { pg1, pg2 };
}

/** One backend for each policy, with the same two servers. */
async function pointsmanFor(t: TestContext, { pg1, pg2 }: Both): Promise<PointsmanProcess> {
  const run = await runPointsman({
    admin: { bind: '127.0.0.1:0', token: TOKEN },
    frontends: Object.fromEntries(
      policies.map(policy => [
        policy,
        { bind: '127.0.0.1:0', backend: policy, route: 'primary', hold: '200ms' },
      ]),
    ),
    backends: Object.fromEntries(
      policies.map(policy => [
        policy,
        {
          protocol: 'postgres',
          check: { user: 'postgres', password: PASSWORD, interval: '100ms' },
          multiple_writers: policy,
          servers: { pg1: `127.0.0.1:${pg1.port}`, pg2: `127.0.0.1:${pg2.port}` },
        },
      ]),
    ),
  });
  t.after(() => run.stop());
  return run;
}

/** The name of the server that a client reaches; `null`: it waited in vain and was told so. */
async function reached({ pg1, pg2 }: Both, run: PointsmanProcess, policy: Policy): Promise<string | null> {
  const client = new Client({
    ...run.frontend(policy),
    user: 'postgres',
    password: PASSWORD,
    database: 'postgres',
  });
  client.on('error', () => undefined); // a session that is closed between its answer and its end
  try {
    await client.connect();
    const { rows } = await client.query<{ port: number }>('SELECT inet_server_port() AS port');
    await client.end();
    return [pg1, pg2].find(({ port }) => port === rows[0]?.port)?.name ?? 'a stranger';
  } catch (thrown) {
    assert.ok(thrown instanceof DatabaseError, String(thrown));
    assert.equal(thrown.code, '57P03', thrown.message);
    return null;
  }
}

async function verdict(both: Both, run: PointsmanProcess): Promise<Verdict> {
  const entries = await Promise.all(
    policies.map(async policy => [policy, await reached(both, run, policy)] as const),
  );
  return Object.fromEntries(entries) as Verdict;
}

/** Until every backend has heard from both that they take writes. */
async function bothHeard(run: PointsmanProcess): Promise<void> {
  await until('both to be seen as writable', async () =>
    (await run.state()).backends.every(({ servers }) =>
      servers.every(({ health, writable }) => health === 'up' && writable === true),
    ),
  );
}

async function reasons(run: PointsmanProcess, policy: Policy): Promise<string> {
  const { backends } = await run.state();
  return backends.find(({ name }) => name === policy)?.reasons.join('; ') ?? '';
}

async function operate(run: PointsmanProcess, policy: Policy, server: string, state: string): Promise<void> {
  const answer = await fetch(`${run.admin}/api/v1/backends/${policy}/servers/${server}/${state}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, connection: 'close' },
  });
  assert.equal(answer.status, 200, await answer.text());
}

const atStart: readonly {
  readonly what: string;
  readonly make: (t: TestContext) => Promise<Both>;
  readonly verdict: Verdict;
}[] = [
  {
    what: 'of two clusters',
    make: unrelated,
    verdict: { newest: null, keep: null, block: null, ordered: 'pg1' },
  },
  {
    what: 'on two timelines of one cluster',
    make: promoted,
    verdict: { newest: 'pg2', keep: null, block: null, ordered: 'pg1' },
  },
  {
    what: 'on the same timeline',
    make: copied,
    verdict: { newest: null, keep: null, block: null, ordered: 'pg1' },
  },
];

describe('two writers at the start', { concurrency: 1 }, () => {
  for (const { what, make, verdict: expected } of atStart) {
    test(`two writers ${what}: nobody is led to one of them without evidence, until an operator decides`, async t => {
      const both = await make(t);
      const run = await pointsmanFor(t, both);
      await bothHeard(run);
      assert.deepEqual(await verdict(both, run), expected);
      assert.match(
        await reasons(run, 'keep'),
        /pg1 and pg2 claim to be writable and nothing tells them apart/,
      );
      assert.match(
        await reasons(run, 'block'),
        /pg1 and pg2 all claim to be writable; multiple_writers: block/,
      );
      const { backends } = await run.state();
      assert.deepEqual(
        backends.filter(backend => backend.split_brain).map(({ name }) => name),
        ['newest', 'keep', 'block'],
      );
      for (const policy of ['keep', 'block'] as const) {
        await operate(run, policy, 'pg1', 'maintenance');
        assert.equal(await reached(both, run, policy), 'pg2', 'the operator has decided');
        await operate(run, policy, 'pg1', 'ready');
      }
      assert.equal(await reached(both, run, 'keep'), 'pg2', 'the decision holds when the other is back');
      assert.equal(await reached(both, run, 'block'), null);
    });
  }
});

test('two writers, later: a standby is promoted while the primary lives', async t => {
  const both = await primaryAndStandby(t);
  const run = await pointsmanFor(t, both);
  await until('all to know their primary', async () =>
    (await run.state()).backends.every(({ primary }) => primary === 'pg1'),
  );
  assert.deepEqual(await verdict(both, run), { newest: 'pg1', keep: 'pg1', block: 'pg1', ordered: 'pg1' });
  await both.pg2.promote();
  await bothHeard(run);
  assert.deepEqual(await verdict(both, run), { newest: 'pg2', keep: 'pg1', block: null, ordered: 'pg1' });
  assert.match(await reasons(run, 'newest'), /pg1 is refused: it is writable on the old timeline 1/);
});
