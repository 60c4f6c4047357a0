// `npm run bench:reload`: 100 reloads under 200 busy sessions, then a demotion, through Pointsman and through HAProxy. What is
// counted is sessions, not time: who was dropped, and who is still on the old primary after the demotion. Writes RESULTS.md.

import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { embeddedBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { BusySessions } from '../../test/support/busy-sessions.ts';
import { startServers } from '../../test/support/pair.ts';
import { sleep, until } from '../../test/support/wait.ts';
import { type Contender } from './contender.ts';
import { configText, haproxy } from './haproxy.ts';
import { pointsman } from './pointsman.ts';

const SESSIONS = 200;
const RELOADS = 100;
/** One more session each so many reloads. */
const NEWCOMER_EVERY = 10;
const AFTER_DEMOTION_MS = 10_000;

interface Figures {
  readonly name: string;
  readonly reloadsMs: number;
  readonly droppedByReloads: number;
  readonly processes: number;
  /** Of the sessions of before the first reload, and of those of later: still open after the demotion. */
  readonly oldLeft: number;
  readonly newLeft: number;
  readonly newSessions: number;
}

async function measure({ name, start }: Contender): Promise<Figures> {
  const servers = await startServers(embeddedBinaries(), { synchronous: false });
  const running = await start(servers);
  const target = servers.target({ host: '127.0.0.1', port: running.port });
  const [early, late] = [new BusySessions([target]), new BusySessions([target])];
  try {
    await until('the proxy to lead to the primary', () => late.isServed(target), { everyMs: 200 });
    await early.open(SESSIONS);
    const startedAt = performance.now();
    for (let turn = 1; turn <= RELOADS; turn += 1) {
      await running.reload(turn);
      if (turn % NEWCOMER_EVERY === 0) await late.open(1);
    }
    const reloadsMs = performance.now() - startedAt;
    await sleep(1000);
    const droppedByReloads = early.errors.length + late.errors.length;
    const processes = running.processes();
    // As pg_auto_failover demotes: no more writes here, and the standby takes over.
    await servers.pg1.query('ALTER SYSTEM SET default_transaction_read_only = on');
    await servers.pg1.query('SELECT pg_reload_conf()');
    await servers.pg2.query('SELECT pg_promote()');
    await sleep(AFTER_DEMOTION_MS);
    return {
      name,
      reloadsMs,
      droppedByReloads,
      processes,
      oldLeft: early.count - early.errors.length,
      newLeft: late.count - late.errors.length,
      newSessions: late.count,
    };
  } finally {
    // Sessions that nobody has closed would go on asking.
    await Promise.all([early.end(), late.end()]);
    await running.stop();
    await servers.dispose();
  }
}

function report(all: readonly Figures[]): string {
  const rows = all.map(
    ({ name, reloadsMs, droppedByReloads, processes, oldLeft, newLeft, newSessions }) =>
      `| ${name} | ${(reloadsMs / RELOADS).toFixed(0)} ms | ${droppedByReloads} | ${processes} | ${oldLeft} of ${SESSIONS} | ${newLeft} of ${newSessions} |`,
  );
  return `# Reloads, and the demotion that follows

Written by \`npm run bench:reload\` (${new Date().toISOString().slice(0, 10)}, Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? ''}).
${SESSIONS} sessions ask \`SELECT 1\` five times a second through the proxy while it is reloaded ${RELOADS} times, each time with another
configuration; every ${NEWCOMER_EVERY} reloads one more session comes. Then the primary is made read-only and its standby promoted, as in a
planned switchover. Real PostgreSQL 18, primary and standby.

| proxy | a reload took | sessions dropped by reloads | processes with sessions before the demotion | of before the first reload, still on the old primary ${AFTER_DEMOTION_MS / 1000} s after the demotion | of later |
| --- | --- | --- | --- | --- | --- |
${rows.join('\n')}

HAProxy hands its ports to a new process and leaves the old sessions to the old one, which is stopping: it closes nothing any more
when a server goes down, whatever \`on-marked-down shutdown-sessions\` says. The time of a reload says
little: a signal that comes while its master is still busy is lost, and the bench sends it again after a second. Its configuration:

\`\`\`
${configText('PORT', ['AGENT1', 'AGENT2'], ['5432', '5433'], 0)}\`\`\`
`;
}

const figures: Figures[] = [];
for (const contender of [pointsman, haproxy]) {
  figures.push(await measure(contender));
  process.stdout.write(`${JSON.stringify(figures.at(-1))}\n`);
}
const [own] = figures;
if (own === undefined || own.droppedByReloads + own.oldLeft + own.newLeft > 0) {
  throw new Error('Pointsman dropped a session, or left one on the old primary');
}
const text = report(figures);
writeFileSync(new URL('../../../bench/reload/RESULTS.md', import.meta.url), text);
process.stdout.write(text);
