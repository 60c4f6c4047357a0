// The commands that ask real servers, as scripts and people use them: what they say, their exit codes, and that no
// password shows up anywhere.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import {
  configFile,
  muteServer,
  psql,
  STAGE_PASSWORD,
  startStage,
  stageConfig,
  untilEmpty,
  type Stage,
} from '../support/clients.ts';
import { pointsman, runPointsman } from '../support/pointsman.ts';
import { until } from '../support/wait.ts';

const WRONG_PASSWORD = 'Wr0ng-but-Distinctive';

describe('commands that ask real servers', () => {
  let stage: Stage;
  let url: string;
  const secret = { STAGE_PASSWORD };
  before(async () => {
    stage = await startStage();
    url = `postgres://postgres@127.0.0.1:${stage.pg1.port}/postgres`;
    await until(
      'the replica to stream',
      async () => (await stage.pg1.query('select from pg_stat_replication')).length,
    );
  });
  after(() => stage?.dispose());

  test('probe: says what a primary and a replica are, as a table and as JSON', async () => {
    const env = { PGPASSWORD: STAGE_PASSWORD };
    const table = await pointsman(['probe', url], env);
    assert.deepEqual([table.code, table.stderr], [0, '']);
    assert.match(table.stdout, /^result +L7OK: /m);
    assert.match(table.stdout, /^role +primary$/m);
    assert.match(table.stdout, /^version +15\./m);
    const json = await pointsman(['probe', url, '--json'], env);
    const { result, role, writable, timeline } = JSON.parse(json.stdout) as Record<string, unknown>;
    assert.deepEqual([result, role, writable, timeline], ['L7OK', 'primary', true, 1]);
    const lower = await pointsman([
      'probe',
      `postgres://postgres:${STAGE_PASSWORD}@127.0.0.1:${stage.pg2.port}/postgres?sslmode=require`,
      '--json',
    ]);
    const replica = JSON.parse(lower.stdout) as Record<string, unknown>;
    assert.deepEqual(
      [replica['role'], replica['writable'], replica['replicating']],
      ['replica', false, true],
    );
    for (const { stdout, stderr } of [table, json, lower])
      assert.ok(!(stdout + stderr).includes(STAGE_PASSWORD));
  });

  test('probe: a refused connection and a wrong password are exit code 1, told apart by their code', async t => {
    const { server, port } = await muteServer(t);
    server.close();
    const refused = await pointsman(['probe', `postgres://u@127.0.0.1:${port}/db`, '--json']);
    assert.deepEqual([refused.code, refused.stderr], [1, '']);
    assert.equal((JSON.parse(refused.stdout) as { result: string }).result, 'L4CON');
    const wrong = await pointsman(['probe', url], { PGPASSWORD: WRONG_PASSWORD });
    assert.equal(wrong.code, 1);
    assert.match(wrong.stdout, /^result +L7AUTH: /m);
    assert.ok(!(wrong.stdout + wrong.stderr).includes(WRONG_PASSWORD));
  });

  test('check --live: 0 when every server answers and one takes writes; 1 when one refuses, which is named', async t => {
    const config = stageConfig(stage) as { backends: Record<string, { check: object; servers: object }> };
    const fine = await pointsman(['check', '--live', '-c', configFile(t, config)], secret);
    assert.deepEqual([fine.code, fine.stderr], [0, ''], fine.stdout);
    assert.match(fine.stdout, /^app +pg1 +127\.0\.0\.1:\d+ +L7OK +primary +yes /m);
    assert.match(fine.stdout, /^app +pg2 +127\.0\.0\.1:\d+ +L7OK +replica +no /m);

    const { app } = config.backends;
    assert.ok(app);
    config.backends['other'] = { ...app, check: { user: 'postgres', password: WRONG_PASSWORD } };
    const wrong = await pointsman(['check', '--live', '-c', configFile(t, config)], secret);
    assert.equal(wrong.code, 1);
    assert.match(wrong.stdout, /^app +pg1 .*L7OK/m);
    assert.match(wrong.stdout, /^other +pg1 .*L7AUTH/m);
    assert.match(wrong.stdout, /^other: no server takes writes/m);
    assert.match(wrong.stderr, /backends\.other\.check\.password: .*a password in clear.*\(warning\)/);
    for (const text of [fine.stdout, wrong.stdout, wrong.stderr]) {
      assert.ok(!text.includes(WRONG_PASSWORD) && !text.includes(STAGE_PASSWORD), text);
    }
  });

  test('run: no password is in the log at its most talkative, the metrics, the state, the incidents or the console', async () => {
    const { pg1 } = stage;
    const config = stageConfig(stage) as { frontends: object; backends: Record<string, object> };
    const app = config.backends['app'];
    const other = { ...app, check: { user: 'postgres', password: WRONG_PASSWORD } };
    const running = await runPointsman(
      { log: { level: 'debug' }, frontends: config.frontends, backends: { ...config.backends, other } },
      { env: secret },
    );
    try {
      await until('both backends to be asked', async () => {
        const [good, bad] = (await running.state()).backends;
        return (
          good?.primary === 'pg1' && bad?.servers.every(({ last_check }) => last_check?.code === 'L7AUTH')
        );
      });
      assert.equal((await psql(running.frontend('app-rw'), 'select 1')).code, 0);
      await pg1.stop();
      await until('an incident', async () => (await running.state()).backends[0]?.primary === null);
      await pg1.start();
      await until('its end', async () => (await running.incidents()).some(({ outcome }) => outcome !== null));
      await untilEmpty(running);
      const pages = await Promise.all(
        ['/', '/metrics', '/readyz?verbose', '/api/v1/state', '/api/v1/incidents'].map(async path => {
          const response = await fetch(running.admin + path);
          return `${path}: ${await response.text()}`;
        }),
      );
      const everything = [...pages, ...running.log().map(line => JSON.stringify(line))];
      assert.ok(everything.length > 15, 'there is something to search');
      for (const text of everything) {
        assert.ok(!text.includes(WRONG_PASSWORD) && !text.includes(STAGE_PASSWORD), text);
      }
      const commandLine = readFileSync(`/proc/${running.pid}/cmdline`, 'utf8');
      assert.equal(commandLine.replaceAll('\0', '').trim(), 'pointsman');
    } finally {
      await running.stop();
    }
  });
});
