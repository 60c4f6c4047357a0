// The command line as scripts and people use it: exit codes, what goes to stdout and what to stderr, and that a password
// is in neither.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { configFile, muteServer } from '../support/clients.ts';
import { MAIN, pointsman } from '../support/pointsman.ts';
import { readRepositoryFile } from '../support/repository.ts';
import { until } from '../support/wait.ts';

const PASSWORD = 'A-Distinctive-Passw0rd';
const commands = [
  ...['run', 'check', 'probe', 'status', 'explain', 'drain', 'maintenance', 'ready'],
  ...['backup', 'restore', 'schema', 'demo'],
];

describe('usage', () => {
  test('--version: the version of the package', async () => {
    const { version } = JSON.parse(readRepositoryFile('package.json')) as { version: string };
    assert.deepEqual(await pointsman(['--version']), { code: 0, stdout: `${version}\n`, stderr: '' });
  });

  test('--help: names every command; that of a command has an example', async () => {
    const { code, stdout, stderr } = await pointsman(['--help']);
    assert.deepEqual([code, stderr], [0, '']);
    await Promise.all(
      commands.map(async command => {
        assert.match(stdout, new RegExp(`^  pointsman ${command}\\b.+\\w`, 'm'), command);
        const own = await pointsman([command, '--help']);
        assert.equal(own.code, 0);
        assert.match(own.stdout, /Examples:\n.*pointsman /, command);
      }),
    );
  });

  for (const [what, args, complaint] of [
    ['an unknown command', ['fly'], /Unknown (command|argument): fly/],
    ['an unknown option', ['check', '--wet'], /Unknown argument: wet/],
    ['no command', [], /Name a command/],
    ['an option without its value', ['run', '-c'], /Not enough arguments following: c/],
    ['a missing argument', ['probe'], /Not enough non-option arguments/],
    ['a timeout that is none', ['probe', 'postgres://h', '--timeout', 'soon'], /timeout must be/],
  ] as const) {
    test(`usage: ${what} is exit code 2, with the reason and the help on stderr`, async () => {
      const { code, stdout, stderr } = await pointsman(args);
      assert.deepEqual([code, stdout], [2, '']);
      assert.match(stderr, complaint);
      assert.match(stderr, /--help/);
    });
  }

  test('schema: is a JSON Schema with every section', async () => {
    const { code, stdout, stderr } = await pointsman(['schema']);
    assert.deepEqual([code, stderr], [0, '']);
    const schema = JSON.parse(stdout) as { $schema?: string; properties?: object };
    assert.match(schema.$schema ?? '', /^https:\/\/json-schema\.org\//);
    for (const section of ['admin', 'frontends', 'backends']) {
      assert.ok(Object.hasOwn(schema.properties ?? {}, section), section);
    }
  });

  test('check: a good file is exit code 0; a bad one 1, every error with its line and column', async t => {
    const servers = { pg1: '127.0.0.1:5432' };
    const good = configFile(t, {
      frontends: { 'app-rw': { bind: '127.0.0.1:0', backend: 'app' } },
      backends: { app: { protocol: 'postgres', check: { user: 'probe' }, servers } },
    });
    const fine = await pointsman(['check', '-c', good]);
    assert.deepEqual(fine, { code: 0, stdout: `${good}: valid (1 frontend, 1 backend)\n`, stderr: '' });

    const bad = configFile(
      t,
      [
        'frontends:',
        '  app-rw:',
        '    bind: 127.0.0.1:0',
        '    backend: ap',
        '    hold: 30 sec',
        'backends:',
        '  app:',
        '    protocol: postgres',
        `    check: { user: probe, password: ${PASSWORD}, intervall: 1s }`,
        '    servers: { pg1: 127.0.0.1:5432 }',
        '',
      ].join('\n'),
    );
    const { code, stdout, stderr } = await pointsman(['check', '-c', bad]);
    assert.deepEqual([code, stdout], [1, '']);
    for (const expected of [
      '4:14 frontends.app-rw.backend: ',
      '5:11 frontends.app-rw.hold: ',
      '9:61 backends.app.check.intervall: ',
    ]) {
      assert.ok(stderr.includes(`${bad}:${expected}`), `${expected} is not in:\n${stderr}`);
    }
    assert.match(stderr, /did you mean "interval"\?/);
    assert.ok(!stderr.includes(PASSWORD));

    const missing = await pointsman(['check', '-c', '/nowhere/pointsman.yaml']);
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /^\/nowhere\/pointsman\.yaml:1:1: .*cannot be read/);
  });

  test('run: an invalid file is exit code 1, before anything is opened', async t => {
    const file = configFile(t, 'frontends: {}\nbackends: {}\n');
    const { code, stdout, stderr } = await pointsman(['run', '-c', file]);
    assert.deepEqual([code, stdout], [1, '']);
    assert.ok(stderr.includes(`${file}:1:12 frontends`), stderr);
  });

  test('run: a taken port is exit code 1 and a log line that names the frontend', async t => {
    const { port } = await muteServer(t);
    const config = (frontend: number, admin: number): object => ({
      admin: { bind: `127.0.0.1:${admin}` },
      frontends: { 'app-rw': { bind: `127.0.0.1:${frontend}`, backend: 'app' } },
      backends: { app: { protocol: 'postgres', check: { user: 'probe' }, servers: { pg1: '127.0.0.1:1' } } },
    });
    for (const [file, who] of [
      [configFile(t, config(port, 0)), 'app-rw'],
      [configFile(t, config(0, port)), 'admin'],
    ] as const) {
      const { code, stdout, stderr } = await pointsman(['run', '-c', file]);
      assert.deepEqual([code, stdout], [1, ''], stderr);
      const line = stderr.split('\n').find(text => text.includes('BIND_FAILED')) ?? '';
      const { level, msg } = JSON.parse(line) as { level: string; msg: string };
      assert.equal(level, 'error');
      assert.ok(msg.includes(who) && msg.includes(`127.0.0.1:${port}`) && msg.includes('EADDRINUSE'), msg);
    }
  });

  test('probe: a URL that is not understood is exit code 2, and its password is not repeated', async () => {
    for (const [url, complaint] of [
      ['not a url', /this is not a URL/],
      [`ftp://u:${PASSWORD}@h/db`, /scheme "ftp" is not supported/],
      [`postgres://u:${PASSWORD}@h/db?bogus=1`, /parameter "bogus" is not known/],
      [`postgres://u:${PASSWORD}@h/db?sslmode=maybe`, /sslmode "maybe" is not one of/],
    ] as const) {
      const { code, stdout, stderr } = await pointsman(['probe', url]);
      assert.deepEqual([code, stdout], [2, ''], url);
      assert.match(stderr, complaint);
      assert.ok(!stderr.includes(PASSWORD), stderr);
    }
  });

  test('probe: the password in the URL is gone from the process list while it runs', async t => {
    const { port } = await muteServer(t);
    const url = `postgres://u:${PASSWORD}@127.0.0.1:${port}/db`;
    const child = spawn(process.execPath, [MAIN, 'probe', url], { stdio: 'ignore' });
    const exited = once(child, 'exit');
    const commandLine = (): string => readFileSync(`/proc/${child.pid}/cmdline`, 'utf8');
    await until('the title to be set', () => commandLine().startsWith('pointsman probe'));
    assert.ok(!commandLine().includes(PASSWORD));
    child.kill();
    await exited;
  });
});
