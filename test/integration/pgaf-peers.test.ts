// The client of pg_auto_failover's monitor against monitors that tell too much, or hang up.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import { PgafClient } from '../../src/health/probers/pg-auto-failover/client.ts';
import { dataRow, frame, int32, scriptedPeer, welcome, type ScriptedPeer } from '../support/scripted-peer.ts';
import { until } from '../support/wait.ts';

const node = {
  nodename: 'node_1',
  nodehost: '10.0.0.1',
  nodeport: 5432,
  current_group_state: 'primary',
  assigned_group_state: 'primary',
};
const listening = Buffer.concat([frame('C', 'LISTEN\0'), frame('Z', 'I')]);
const answer = Buffer.concat([
  dataRow(['f', JSON.stringify([node]), '["default"]', '[0]']),
  frame('C', 'SELECT 1\0'),
  frame('Z', 'I'),
]);
const notification = frame('A', Buffer.concat([int32(7), Buffer.from('state\0{}\0')]));
const FAST_MS = 40;

function ask(monitor: ScriptedPeer) {
  const heard: (string | null)[] = [];
  const client = new PgafClient(
    {
      monitor: {
        monitor,
        formation: 'default',
        group: 0,
        user: 'probe',
        password: null,
        database: 'pg_auto_failover',
        tls: { mode: 'disable', caFile: null, serverName: null },
      },
      intervalMs: 60_000,
      fastIntervalMs: FAST_MS,
      timeoutMs: 5000,
      clock: systemClock,
    },
    (said, detail) => heard.push(said === null ? detail : null),
  );
  client.start();
  return { client, heard };
}

test('pg_auto_failover client: a flood of notifications makes it ask no more than a hundred times a second', async t => {
  let flood: NodeJS.Timeout | undefined;
  const monitor = await scriptedPeer(t, socket => {
    let asked = 0;
    socket.on('data', () => {
      asked += 1;
      socket.write(asked === 1 ? welcome : asked === 2 ? listening : answer);
      flood ??= setInterval(() => socket.write(Buffer.concat(Array<Buffer>(200).fill(notification))), 1);
    });
  });
  t.after(() => clearInterval(flood));
  const began = performance.now();
  const { client, heard } = ask(monitor);
  await until('21 answers', () => heard.length > 20);
  client.stop();
  assert.ok(performance.now() - began > 150, 'it asked as fast as it was told');
  assert.ok(
    heard.every(detail => detail === null),
    String(heard.find(detail => detail !== null)),
  );
});

test('pg_auto_failover client: a monitor that hangs up after each answer is connected to at the fast interval, not in a loop', async t => {
  const monitor = await scriptedPeer(t, socket => {
    let asked = 0;
    socket.on('data', () => {
      asked += 1;
      if (asked < 3) socket.write(asked === 1 ? welcome : listening);
      else socket.end(answer);
    });
  });
  const began = performance.now();
  const { client } = ask(monitor);
  await until('6 connections', () => monitor.connections() > 5);
  client.stop();
  assert.ok(performance.now() - began > 4 * FAST_MS, 'it connects as fast as it can');
});
