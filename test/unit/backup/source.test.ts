// Which server a backup is taken from, which backups go, and what stands in the arguments of programs: decided from values.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { askCommand, dumpCommand, optionsFileText, restoreCommand } from '../../../src/backup/commands.ts';
import { expired } from '../../../src/backup/keep.ts';
import { environmentFor } from '../../../src/backup/program.ts';
import { chooseSource } from '../../../src/backup/source.ts';
import { backend, fail, pass, passReplica, server } from '../../support/views.ts';

const primary = server('pg1', pass({ position: '0/5000000' }));
const near = server('pg2', passReplica({ lagSeconds: 2, position: '0/4000000' }));
const far = server('pg3', passReplica({ lagSeconds: 300 }));
const cluster = (...servers: Parameters<typeof backend>[0]) => backend(servers, { primary: 'pg1' });

function from(view: ReturnType<typeof backend>, wished: string, maxLagMs = 60_000): string {
  const source = chooseSource(view, { server: wished, maxLagMs }, 0);
  return 'refused' in source ? source.refused : `${source.server.name} ${source.lagMs} ${source.position}`;
}

test('source of a backup: the role that is wished, by what the topology knows', () => {
  const view = cluster(primary, far, near);
  assert.equal(from(view, 'primary'), 'pg1 0 0/5000000');
  assert.equal(from(view, 'replica'), 'pg2 2000 0/4000000');
  assert.equal(from(view, 'replica-or-primary'), 'pg2 2000 0/4000000');
  assert.equal(from(view, 'pg2'), 'pg2 2000 0/4000000');
  assert.equal(from(view, 'pg1'), 'pg1 0 0/5000000');
});

test('source of a backup: a replica that is too far behind is none, and the primary stands in where it may', () => {
  const view = cluster(primary, far);
  assert.match(from(view, 'replica'), /no replica within 1 min of its primary/);
  assert.equal(from(view, 'replica-or-primary'), 'pg1 0 0/5000000');
  assert.match(from(view, 'pg3'), /app\/pg3 is further behind than 1 min/);
});

test('source of a backup: nobody is better than a server that is not proven to be the primary', () => {
  const lost = backend([server('pg1', fail()), near], { primary: 'pg1' });
  assert.match(from(lost, 'primary'), /no primary that takes writes/);
  const splitBrain = backend([server('pg1', pass()), server('pg4', pass())], { primary: null });
  for (const wished of ['primary', 'replica', 'replica-or-primary', 'pg4'])
    assert.doesNotMatch(from(splitBrain, wished), /^pg\d /);
  const demoted = cluster(server('pg1', pass({ writable: false })));
  assert.match(from(demoted, 'replica-or-primary'), /neither a primary/);
  assert.match(from(cluster(primary), 'pg9'), /app\/pg9 serves nobody/);
});

const file = (path: string, ageMs: number) => ({ path, bytes: 1, takenAtMs: -ageMs });
const five = [1, 2, 3, 4, 5].map(age => file(`b${age}`, age));
const none: ReadonlySet<string> = new Set();

test('retention: by number and by age, and never the newest good one', () => {
  const keep = (count: number, ageMs: number | null, good = 'b1') =>
    expired(five, { good, unfit: none }, { count, ageMs }, 0);
  assert.deepEqual(keep(3, null), ['b4', 'b5']);
  assert.deepEqual(keep(24, 2), ['b3', 'b4', 'b5']);
  assert.deepEqual(keep(1, 0), ['b2', 'b3', 'b4', 'b5']);
  assert.deepEqual(keep(1, 0, 'b5'), ['b1', 'b2', 'b3', 'b4'], 'however old it is');
});

test('retention: what could not be restored counts for nothing, and goes', () => {
  const unfit = new Set(['b2', 'b3']);
  assert.deepEqual(expired(five, { good: 'b1', unfit }, { count: 3, ageMs: null }, 0), ['b2', 'b3']);
});

const login = { address: { host: '10.0.0.1', port: 5432 }, user: 'backup', password: 'A-Passw0rd' };
const programs = { find: ([name]: readonly [string, ...string[]]) => `/bin/${name}`, optionsFile: '/tmp/x' };
const custom = { format: 'custom', arguments: ['--exclude-table-data=log'] } as const;

test('programs: a password is in no argument, that of PostgreSQL in the environment, that of MySQL in a file', () => {
  const commands = (['postgres', 'mysql'] as const).flatMap(protocol => [
    dumpCommand(protocol, login, 'app', custom, programs),
    askCommand(protocol, login, null, programs),
    ...(['pg-custom', 'pg-plain', 'mysql'] as const).map(kind =>
      restoreCommand(kind, login, 'app', true, programs),
    ),
  ]);
  for (const { program, args, env } of commands) {
    assert.ok(!args.join(' ').includes(login.password), program);
    if (program.includes('mariadb')) {
      assert.equal(args[0], '--defaults-file=/tmp/x', 'it counts as the first argument only');
      assert.deepEqual(env, {});
    } else {
      assert.equal(env['PGPASSWORD'], login.password);
      assert.ok(args.includes('--no-password'), 'nobody is there to be asked');
    }
  }
  assert.deepEqual(
    dumpCommand('mysql', login, 'app', custom, { ...programs, optionsFile: null }).args[0],
    '--no-defaults',
  );
  assert.ok(
    dumpCommand('postgres', login, 'app', custom, programs).args.includes('--exclude-table-data=log'),
  );
  assert.equal(optionsFileText('a"b\\c'), '[client]\npassword="a\\"b\\\\c"\n');
});

test('programs: of our environment they get what they need to run, and none of our secrets', () => {
  const env = {
    PATH: '/bin',
    HOME: '/home/x',
    ADMIN_TOKEN: 'secret',
    PGSSLMODE: 'verify-full',
    PGPASSWORD: 'old',
  };
  assert.deepEqual(environmentFor({ env }, { PGAPPNAME: 'pointsman' }), {
    PATH: '/bin',
    HOME: '/home/x',
    PGSSLMODE: 'verify-full',
    LC_ALL: 'C',
    PGAPPNAME: 'pointsman',
  });
});
