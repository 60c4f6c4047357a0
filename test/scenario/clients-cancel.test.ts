// Cancelling a query through Pointsman: the request comes on a connection of its own and must find the right server.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { Client } from 'pg';
import { type Address } from '../../src/core/address.ts';
import { type PostgresNode } from '../../src/cli/demo/postgres-node.ts';
import {
  clientOptions,
  runBefore,
  startPsql,
  startStage,
  untilEmpty,
  type Stage,
} from '../support/clients.ts';
import { type PointsmanProcess } from '../support/pointsman.ts';
import { until } from '../support/wait.ts';

const CANCELLED = /57014: canceling statement due to user request/;
/** Far below the 20 s that the query would take. */
const SOON_MS = 8_000;

const isAsleep = (node: PostgresNode, name: string): Promise<void> =>
  until(`${name} to sleep on ${node.name}`, async () => {
    const rows = await node.query(
      "select from pg_stat_activity where application_name = $1 and wait_event = 'PgSleep'",
      [name],
    );
    return rows.length > 0;
  }).then(() => undefined);

/** PostgreSQL documentation, 55.7 "Message Formats", CancelRequest. Resolves when the connection has been closed. */
async function sendCancel({ host, port }: Address, pid: number, key: number): Promise<void> {
  const packet = Buffer.alloc(16);
  packet.writeInt32BE(16, 0);
  packet.writeInt32BE(80_877_102, 4);
  packet.writeInt32BE(pid, 8);
  packet.writeInt32BE(key, 12);
  const socket = connect({ host, port });
  const closed = once(socket, 'close');
  socket.resume().write(packet);
  await closed;
}

describe('cancelling through Pointsman', () => {
  let stage: Stage;
  let pointsman: PointsmanProcess;
  before(async () => {
    stage = await startStage();
    pointsman = await runBefore(stage, {
      frontends: {
        'app-rw': {},
        'app-ro': { route: 'replica-or-primary' },
        'app-any': { route: 'any', balance: 'roundrobin' },
        'app-full': { max_connections: 1 },
      },
    });
  });
  after(async () => {
    await pointsman?.stop();
    await stage?.dispose();
  });

  for (const [frontend, nodeName] of [
    ['app-rw', 'pg1'],
    ['app-ro', 'pg2'],
    ['app-full', 'pg1'],
  ] as const) {
    for (const PGSSLMODE of ['disable', 'require']) {
      test(`psql: Ctrl-C cancels at once on ${frontend} (sslmode=${PGSSLMODE})`, async t => {
        const name = `psql-${frontend}-${PGSSLMODE}`;
        const { child, ended } = startPsql(pointsman.frontend(frontend), 'select pg_sleep(20)', {
          env: { PGSSLMODE, PGAPPNAME: name },
        });
        t.after(() => child.kill('SIGKILL'));
        await isAsleep(stage[nodeName], name);
        const interruptedAt = performance.now();
        child.kill('SIGINT');
        const { code, stderr } = await ended;
        assert.ok(performance.now() - interruptedAt < SOON_MS);
        assert.equal(code, 1);
        assert.match(stderr, CANCELLED);
        await untilEmpty(pointsman);
      });
    }
  }

  test('node-postgres: a second connection cancels the query of the first on either server of one port, and no other', async () => {
    const at = pointsman.frontend('app-any');
    const clients = await Promise.all(
      ['one', 'two'].map(async name => {
        const client = new Client({ ...clientOptions(at), application_name: name });
        await client.connect();
        return client;
      }),
    );
    const [one, two] = clients as [Client, Client];
    const ports = await Promise.all(
      clients.map(
        async client => (await client.query('select inet_server_port() as port')).rows[0]?.port as number,
      ),
    );
    assert.deepEqual(ports.toSorted(), [stage.pg1.port, stage.pg2.port].toSorted(), 'one is on each server');

    const nodeOf = (index: number): PostgresNode => (ports[index] === stage.pg1.port ? stage.pg1 : stage.pg2);
    const outcome = (client: Client): Promise<string> =>
      client.query('select pg_sleep(20)').then(
        () => 'slept',
        (error: Error & { code?: string }) => error.code ?? error.message,
      );
    const sleeping = [outcome(one), outcome(two)];
    await isAsleep(nodeOf(0), 'one');
    await isAsleep(nodeOf(1), 'two');

    const second = keyOf(two);
    await sendCancel(at, second.pid, second.key);
    assert.equal(await sleeping[1], '57014');
    assert.ok(!nodeOf(0).logText().includes('cancel request'), 'the other server was not even asked');

    const first = keyOf(one);
    await sendCancel(at, first.pid, first.key ^ 1);
    await isAsleep(nodeOf(0), 'one');
    await sendCancel(at, first.pid, first.key);
    assert.equal(await sleeping[0], '57014');
    for (const client of clients) {
      assert.equal((await client.query('select 1 as one')).rows[0]?.one, 1, 'the session goes on');
      await client.end();
    }
    await untilEmpty(pointsman);
  });
});

/** node-postgres keeps the key on the client, without a type for it. */
function keyOf(client: Client): { pid: number; key: number } {
  const { processID, secretKey } = client as unknown as { processID: unknown; secretKey: unknown };
  assert.ok(typeof processID === 'number' && typeof secretKey === 'number');
  return { pid: processID, key: secretKey };
}
