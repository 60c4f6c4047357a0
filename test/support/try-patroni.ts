import { writeFileSync } from 'node:fs';
import { startPatroniCluster, type PatroniNode } from './patroni-cluster.ts';
import { sleep } from './wait.ts';
const t0 = performance.now();
const log = (m: string): void => console.log(`${((performance.now() - t0) / 1000).toFixed(2)} ${m}`);
const cluster = await startPatroniCluster(process.argv[2] === 'nofs' ? { failsafe: false } : {});
log('started');
const lines: string[] = [];
let stop = false;
async function watch(node: PatroniNode): Promise<void> {
  let before = '';
  while (!stop) {
    const sent = performance.now();
    let now: string;
    try {
      const { status, text } = await node.ask('/cluster');
      now = `${status} ${text}`;
    } catch (thrown) {
      const e = thrown as Error & { cause?: { code?: string; message?: string } };
      now = `FAIL ${e.message} ${e.cause?.code} ${e.cause?.message}`;
    }
    const ms = performance.now() - sent;
    const key = now.replace(/"lag": \d+/g, '"lag": N');
    if (key !== before)
      lines.push(`${((performance.now() - t0) / 1000).toFixed(2)} ${node.name} (${ms.toFixed(0)} ms) ${now}`);
    before = key;
    await sleep(20);
  }
}
async function sql(node: PatroniNode): Promise<void> {
  let before = '';
  while (!stop) {
    let now: string;
    try {
      const rows = await node.query(
        "select pg_is_in_recovery() r, current_setting('transaction_read_only') ro",
      );
      now = JSON.stringify(rows[0]);
    } catch (thrown) {
      now = `FAIL ${(thrown as Error).message}`;
    }
    if (now !== before) lines.push(`${((performance.now() - t0) / 1000).toFixed(2)} ${node.name} SQL ${now}`);
    before = now;
    await sleep(50);
  }
}
const mark = (m: string): void => {
  log(m);
  lines.push(`${((performance.now() - t0) / 1000).toFixed(2)} ===== ${m}`);
};
const watches = cluster.nodes.flatMap(n => [watch(n), sql(n)]);
try {
  let { leader, others } = await cluster.settled();
  if (process.argv[2] === 'nofs') {
    await sleep(300);
    mark('etcd stop');
    await cluster.stopEtcd();
    await sleep(12000);
    mark('etcd start');
    await cluster.startEtcd();
    ({ leader } = await cluster.settled());
    mark('settled ' + leader.name);
  } else {
    await sleep(300);
    mark('kill ' + leader.name);
    await leader.kill();
    await sleep(9000);
    mark('start ' + leader.name);
    await leader.start();
    ({ leader, others } = await cluster.settled());
    mark('settled ' + leader.name);
    mark('switchover');
    await cluster.switchover(leader, others[0]!);
    mark('switchover done');
    ({ leader, others } = await cluster.settled());
    mark('settled ' + leader.name);
    mark('freeze ' + leader.name);
    leader.freeze();
    await sleep(9000);
    mark('thaw');
    leader.thaw();
    ({ leader, others } = await cluster.settled());
    mark('settled ' + leader.name);
    mark('etcd stop');
    await cluster.stopEtcd();
    await sleep(10000);
    mark('etcd start');
    await cluster.startEtcd();
    mark('etcd is back');
    await sleep(3000);
    ({ leader, others } = await cluster.settled());
    mark('settled ' + leader.name);
    mark('pause');
    await cluster.pause(true);
    await sleep(2000);
    mark('kill PostgreSQL only, paused');
    await leader.killPostgres();
    await sleep(8000);
    mark('resume');
    await cluster.pause(false);
    ({ leader, others } = await cluster.settled());
    mark('settled ' + leader.name);
    mark('kill PostgreSQL only');
    await leader.killPostgres();
    await sleep(5000);
    ({ leader, others } = await cluster.settled());
    mark('settled ' + leader.name);
    mark('pause');
    await cluster.pause(true);
    await sleep(2000);
    mark('kill whole node, paused');
    await leader.kill();
    await sleep(9000);
    mark('resume');
    await cluster.pause(false);
    await sleep(4000);
    mark('start');
    await leader.start();
    ({ leader, others } = await cluster.settled());
    mark('settled ' + leader.name);
  }
} catch (e) {
  console.log(e);
} finally {
  stop = true;
  await Promise.all(watches);
  writeFileSync(`/tmp/h/pat/capture-${process.argv[2] ?? 'main'}.txt`, lines.join('\n') + '\n');
  for (const n of cluster.nodes)
    writeFileSync(`/tmp/h/pat/${process.argv[2] ?? 'main'}-${n.name}.log`, n.logText());
  await cluster.dispose();
}
