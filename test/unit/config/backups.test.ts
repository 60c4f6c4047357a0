// The keys of backups and the rules between them and the backends.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AROUND, configOf, errors, VALID, warnings } from './kit.ts';

const backups = (more: string, name = 'nightly'): string => `${VALID}backups:
  ${name}:
    backend: app
    directory: /var/backups/app
    database: app
    user: backup
    password: \${BACKUP_PASSWORD}
${more}`;
const env = { ...AROUND, env: { ...AROUND.env, BACKUP_PASSWORD: 'x' } };
const errorsIn = (more: string): string => errors(backups(more), env).join('\n');

test('backups: what is left out is as safe as can be', () => {
  const { nightly } = configOf(backups(''), env).backups;
  assert.deepEqual(nightly?.source, { server: 'replica-or-primary', maxLagMs: 60_000 });
  assert.deepEqual(nightly.keep, { count: 24, ageMs: null });
  assert.deepEqual([nightly.everyMs, nightly.format, nightly.verify], [3_600_000, 'custom', null]);
  assert.deepEqual(warnings(backups(''), env), []);
  assert.deepEqual(configOf(VALID, env).backups, {});
});

test('backups: a month may be kept, though no other duration is that long', () => {
  const { nightly } = configOf(backups('    keep: { count: 100, age: 30d }\n'), env).backups;
  assert.deepEqual(nightly?.keep, { count: 100, ageMs: 30 * 86_400_000 });
  assert.match(errorsIn('    keep: { age: 4000d }\n'), /longer than 3650d/);
  assert.match(errorsIn('    keep: { age: 0 }\n'), /too short/);
});

test('backups: the backend and the server must be there', () => {
  const other = (text: string): string =>
    errors(backups('').replace('backend: app\n    directory', text), env).join();
  assert.match(other('backend: ap\n    directory'), /backups\.nightly\.backend: "ap" is no backend/);
  assert.match(errorsIn('    server: pg9\n'), /backups\.nightly\.server: "pg9" is no server of app/);
  assert.equal(errorsIn('    server: pg1\n'), '');
});

test('backups: options that would do nothing are errors', () => {
  assert.match(errorsIn('    compress: none\n'), /does nothing with format custom/);
  assert.equal(errorsIn('    compress: none\n    format: plain\n'), '');
});

test('backups: a single one that is kept, and passwords in clear, are warned of', () => {
  const more = '    keep: { count: 1 }\n    verify: { address: "10.0.0.9:5432", user: v, password: clear }\n';
  const told = warnings(backups(more), env).join('\n');
  assert.match(told, /keep\.count: keeps a single backup/);
  assert.match(told, /verify\.password: a password in clear/);
  assert.doesNotMatch(told, /nightly\.password/);
});
