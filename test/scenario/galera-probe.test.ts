// The prober on a real Galera cluster: a member that has lost its place answers logins and SELECT 1 all the same.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { startGalera } from '../support/galera-cluster.ts';
import { factsIn, proberFor } from '../support/mysql-probe.ts';
import { until } from '../support/wait.ts';

it('galera probe: all members are writable; one that is desynced or the last of three is not to be used', async t => {
  const cluster = await startGalera();
  t.after(() => cluster.dispose());
  const nodes = cluster.nodes.map(({ server }) => server);
  const probers = nodes.map(node => proberFor(t, node).prober);
  const [first, ...others] = nodes;
  const [prober] = probers;
  assert.ok(first && prober);

  const clusters = new Set<string | null>();
  for (const each of probers) {
    const facts = await until('every member to be in step', async () => {
      const found = factsIn(await each.probe());
      return found.writable ? found : null;
    });
    assert.equal(facts.role, 'primary');
    assert.equal(facts.history, null);
    clusters.add(facts.systemId);
  }
  assert.equal(clusters.size, 1);
  assert.match([...clusters][0] ?? '', /^[0-9a-f-]{36}$/);

  await first.sql('set global wsrep_desync = on');
  const desynced = await prober.probe();
  assert.deepEqual([factsIn(desynced).role, factsIn(desynced).writable], ['unknown', false]);
  assert.match(desynced.detail, /Donor\/Desynced/);
  await first.sql('set global wsrep_desync = off');
  await until('it is in step again', async () => factsIn(await prober.probe()).writable);

  await Promise.all(others.map(node => node.kill()));
  const lonely = await until('it to notice that the others are gone', async () => {
    const answer = await prober.probe();
    return /quorum/.test(answer.detail) ? answer : null;
  });
  assert.deepEqual([factsIn(lonely).role, factsIn(lonely).writable], ['unknown', false]);
  assert.deepEqual(await first.sql('select 1 as one'), [{ one: 1 }]);
  await assert.rejects(first.sql('create table app.late (id int)'), { errno: 1047 });
});
