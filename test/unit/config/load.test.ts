import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIssue, loadConfig } from '../../../src/config/load.ts';
import {
  AROUND,
  FILE,
  VALID,
  configOf,
  errors,
  load,
  issuesOf,
  postgresOf,
  variant,
  warnings,
} from './kit.ts';

const unranked = { backup: false, zone: null };

/** One change of the valid configuration, and exactly what is said about it. */
const cases: readonly (readonly [name: string, from: string, to: string, expected: readonly string[]])[] = [
  [
    'a bad duration',
    'hold: 30s',
    'hold: 30 sec',
    ['8:11 frontends.app-rw.hold: "30 sec" is not a duration; write it as 250ms, 2s, 5m, 1h or 0'],
  ],
  [
    'a duration without unit',
    'hold: 30s',
    'hold: 30',
    ['8:11 frontends.app-rw.hold: 30 has no unit; write a duration as 250ms, 2s, 5m, 1h or 0'],
  ],
  [
    'an unknown key',
    'hold_max: 500',
    'hold_mx: 500',
    ['9:5 frontends.app-rw.hold_mx: unknown key "hold_mx"; did you mean "hold_max"?'],
  ],
  [
    'a key of another place',
    'hold: 30s',
    'rise: 3',
    ['8:5 frontends.app-rw.rise: unknown key "rise"; it belongs in backends.<name>.check'],
  ],
  ['an unknown key at the top', 'log:', 'lgo:', ['39:1 lgo: unknown key "lgo"; did you mean "log"?']],
  [
    'an unknown key far from any',
    '  level: info',
    '  zebra: 1',
    ['40:3 log.zebra: unknown key "zebra"; known here: level'],
  ],
  [
    'a missing key',
    '    bind: 0.0.0.0:5432\n',
    '',
    ['4:3 frontends.app-rw.bind: the key "bind" is missing here'],
  ],
  [
    'a missing check',
    'user: probe',
    'database: x',
    [
      '23:5 backends.app.check.user: the key "user" is missing here',
      '26:7 backends.app.check.database: the key "database" stands here a second time; only one can count',
    ],
  ],
  [
    'a wrong choice',
    'route: primary',
    'route: primry',
    [
      '7:12 frontends.app-rw.route: "primry" is none of the choices: primary, replica, replica-or-primary, any; did you mean "primary"?',
    ],
  ],
  [
    'a number as text',
    'user: probe',
    'user: 5',
    ['24:13 backends.app.check.user: 5 is not text; write it in quotes'],
  ],
  [
    'a text as number',
    'hold_max: 500',
    'hold_max: many',
    ['9:15 frontends.app-rw.hold_max: "many" is not a whole number'],
  ],
  [
    'a number out of range',
    'rise: 1',
    'rise: 0',
    ['33:13 backends.app.check.rise: 0 is below the least value, 1'],
  ],
  [
    'a number far out of range',
    'rise: 1',
    'rise: 1000',
    ['33:13 backends.app.check.rise: 1000 is above the greatest value, 100'],
  ],
  [
    'a bad address',
    'pg1: 10.0.0.1:5432',
    'pg1: 10.0.0.1',
    [
      '37:12 backends.app.servers.pg1: "10.0.0.1" is not an address; write host:port, or [address]:port for IPv6',
    ],
  ],
  [
    'a bad port in the long form',
    '10.0.0.2:5432',
    '10.0.0.2:65536',
    ['38:23 backends.app.servers.pg2.address: "10.0.0.2:65536" has a port outside 1–65535'],
  ],
  [
    'a slip in the long form',
    'address: 10',
    'adress: 10',
    [
      '38:7 backends.app.servers.pg2.address: the key "address" is missing here',
      '38:14 backends.app.servers.pg2.adress: unknown key "adress"; did you mean "address"?',
    ],
  ],
  [
    'a bad network',
    '127.0.0.0/8',
    '127.0.0.0/33',
    [
      '11:13 frontends.app-rw.allow[0]: "127.0.0.0/33" is not an address or network; write it as 10.0.0.0/8, 192.0.2.7 or ::1',
    ],
  ],
  [
    'a text for a list',
    'allow: [127.0.0.0/8, 10.0.0.0/8]',
    'allow: 10.0.0.0/8',
    ['11:12 frontends.app-rw.allow: "10.0.0.0/8" is not a list; write it as [one, two]'],
  ],
  [
    'a duplicate key',
    'hold_max: 500',
    'hold: 5s',
    ['9:5 frontends.app-rw.hold: the key "hold" stands here a second time; only one can count'],
  ],
  [
    'an empty mapping key',
    'log:\n  level: info',
    'log:',
    ['39:1 log: an empty value is not a mapping; write its keys below it, indented'],
  ],
  [
    'an empty value',
    'bind: 0.0.0.0:5432',
    'bind:',
    ['5:5 frontends.app-rw.bind: an empty value is not an address; write host:port'],
  ],
  [
    'a bad name',
    '  app-ro:',
    '  "app ro":',
    [
      '14:3 frontends."app ro": "app ro" is not a name: a name starts with a letter or digit, holds up to 63 letters, digits, "_", "." and "-", and is more than a number',
    ],
  ],
  [
    'a numeric name',
    'pg1:',
    '1:',
    [
      '37:7 backends.app.servers.1: "1" is not a name: a name starts with a letter or digit, holds up to 63 letters, digits, "_", "." and "-", and is more than a number',
    ],
  ],
  [
    'a second colon',
    'user: probe',
    'user: pro: be',
    ['24:13: a second "key:" on one line; start a new, deeper line, or put the value in quotes'],
  ],
  ['an open quote', 'level: info', 'level: "info', ['40:10: this quote is never closed']],
  ['a tab', '  level: info', '\tlevel: info', ['40:1: a tab is used as indentation; YAML wants spaces']],
  [
    'a forbidden first character',
    'user: probe',
    'user: @probe',
    ['24:13: a value cannot start with this character; put it in quotes'],
  ],
  [
    'a merge key',
    'level: info',
    '<<: {}',
    ['40:3 log: merge keys ("<<") are not supported; write the keys out'],
  ],
  [
    'a tag',
    'level: info',
    'level: !level info',
    [
      '40:17 log.level: YAML tags (a word with "!" in front) are not supported; write the value alone, in quotes if need be',
    ],
  ],
  [
    'an unknown alias',
    'level: info',
    'level: *info',
    ['40:10 log.level: no anchor of this name stands before the alias'],
  ],
  [
    'a text over several lines',
    'hold: 30s',
    'hold: |\n      30s\n      40s',
    [
      '8:11 frontends.app-rw.hold: a text over several lines is not a duration; write it as 250ms, 2s, 5m, 1h or 0',
    ],
  ],
  [
    'a control character',
    'level: info',
    'level: in\u0000fo',
    ['40:12: the control character U+0000 is not allowed'],
  ],
  ['no UTF-8', 'level: info', 'level: in\uFFFDfo', ['40:12: this is not UTF-8 text']],
  [
    'a second document',
    'log:',
    '---\nlog:',
    ['39:1: a second document starts here; a config is a single one'],
  ],
  [
    'a password that is no text',
    'password: ${PROBE_PASSWORD}',
    'password: 123456',
    ['25:17 backends.app.check.password: the value is not text; write it in quotes'],
  ],
];

for (const [name, from, to, expected] of cases) {
  test(`loading: ${name} is reported at its line and column`, () => {
    assert.deepEqual(errors(variant(from, to), AROUND), expected);
  });
}

test('loading: a valid configuration has neither errors nor warnings, and its defaults are filled in', () => {
  assert.deepEqual(warnings(VALID, AROUND), []);
  const config = configOf(VALID, AROUND);
  assert.deepEqual(Object.keys(config.frontends), ['app-rw', 'app-ro']);
  assert.deepEqual(config.backends['app']?.servers, {
    pg1: {
      address: { host: '10.0.0.1', port: 5432 },
      weight: 100,
      maxConnections: null,
      ...unranked,
      writable: null,
    },
    pg2: {
      address: { host: '10.0.0.2', port: 5432 },
      weight: 100,
      maxConnections: null,
      ...unranked,
      writable: null,
    },
  });
  assert.equal(config.frontends['app-ro']?.holdMs, 30_000);
  assert.equal(config.frontends['app-ro']?.maxLagMs, 10_000);
  assert.equal(postgresOf(config, 'app').check.password, 'correct-horse');
});

test('loading: every mistake is reported at once, in the order of the file', () => {
  const text = variant('level: info', 'level: loud')
    .replace('hold: 30s', 'hold: 30')
    .replace('backend: app\n    route: primary', 'backend: ap\n    route: primary')
    .replace('user: probe', 'user: ${USER}')
    .replace('pg2: { address: 10.0.0.2:5432 }', 'pg2: 10.0.0.1:5432');
  assert.deepEqual(
    errors(text, AROUND).map(line => /^\d+:\d+/.exec(line)?.[0]),
    ['6:14', '8:11', '24:13', '38:12', '40:10'],
  );
});

test('loading: rules between keys are silent about values that are wrong by themselves', () => {
  const text = variant('interval: 1s\n', 'interval: soon\n').replace(
    'fast_interval: 50ms',
    'fast_interval: 2s',
  );
  assert.deepEqual(errors(text, AROUND), [
    '28:17 backends.app.check.interval: "soon" is not a duration; write it as 250ms, 2s, 5m, 1h or 0',
  ]);
});

test('loading: behind a syntax error nothing is guessed, before it everything is said', () => {
  const text = variant('hold: 30s', 'hold: 30')
    .replace('user: probe', 'user: {probe')
    .replace('level: info', 'level: 3');
  const found = errors(text, AROUND);
  assert.match(found[0] ?? '', /^8:11 frontends\.app-rw\.hold: 30 has no unit/);
  assert.ok(found.length > 1 && !found.some(line => line.includes('log.level')), found.join('\n'));
});

test('loading: anchors and aliases share values', () => {
  const text = variant('allow: [127.0.0.0/8, 10.0.0.0/8]', 'allow: &nets [10.0.0.0/8]').replace(
    'max_lag: 10s',
    'allow: *nets',
  );
  assert.deepEqual(configOf(text, AROUND).frontends['app-ro']?.allow, ['10.0.0.0/8']);
});

test('loading: aliases that multiply beyond measure are refused quickly', () => {
  const names = [...'abcdefghij'];
  const bomb = names.map(
    (name, index) =>
      `${name}: &${name} [${Array<string>(9)
        .fill(index === 0 ? '1' : `*${names[index - 1] ?? ''}`)
        .join(', ')}]`,
  );
  assert.deepEqual(
    errors(bomb.join('\n')).map(line => line.replace(/^\d+:\d+/, 'L:C')),
    ['L:C: more than 50000 keys and values, aliases expanded; nothing behind this is read'],
  );
  assert.match(errors('a: &a [*a]\n').join('\n'), /the alias stands within what it names/);
});

test('loading: nesting that would exhaust the parser is refused before it', () => {
  for (const text of [
    '['.repeat(100_000),
    '- '.repeat(100_000),
    '{a: '.repeat(50_000),
    '? '.repeat(50_000),
    'a: '.repeat(50_000),
  ]) {
    assert.match(errors(text).join('\n'), /^1:\d+: nested more than 32 levels deep$/);
  }
});

test('loading: a file above 1 MiB is refused unread', () => {
  assert.deepEqual(errors('#'.repeat(1024 * 1024 + 1)), [
    '1:1: the file is larger than 1 MiB, too large for a configuration',
  ]);
});

test('loading: very many mistakes are cut to 200, the rest is counted', () => {
  const found = errors(Array.from({ length: 3000 }, (_, index) => `k${index}: 1`).join('\n'));
  assert.equal(found.length, 200);
  assert.match(found.at(-1) ?? '', /2803 more are not shown$/);
});

test('loading: a file that cannot be read, is empty or is something else says so', () => {
  assert.deepEqual(
    issuesOf(
      loadConfig('none.yaml', {
        env: {},
        readFile: () => {
          throw Object.assign(new Error('x'), { code: 'ENOENT' });
        },
      }),
    ).map(formatIssue),
    ['none.yaml:1:1: the file cannot be read: there is no such file'],
  );
  for (const text of ['', '\n\n', '# nothing\n', '---\n', '\uFEFF']) {
    assert.deepEqual(
      errors(text),
      ['1:1: the file holds no configuration; it needs "frontends" and "backends"'],
      JSON.stringify(text),
    );
  }
  assert.deepEqual(errors('hunter2'), ['1:1: the file is not a mapping; write its keys below it, indented']);
});

test('loading: a byte order mark does not move the columns', () => {
  assert.deepEqual(
    errors('\uFEFFlgo: 1')
      .filter(line => line.includes('lgo'))
      .map(line => line.slice(0, 4)),
    ['1:1 '],
  );
});

test('loading: names such as "constructor" are names like any other', () => {
  const text = variant(
    '    backend: app\n    route: primary',
    '    backend: constructor\n    route: primary',
  );
  assert.deepEqual(errors(text, AROUND), [
    '6:14 frontends.app-rw.backend: "constructor" is no backend of this file',
  ]);
  assert.match(
    errors('frontends: { __proto__: 1 }\nbackends: {}', AROUND).join('\n'),
    /"__proto__" cannot be a key/,
  );
});

test('loading: the servers keep the order of the file', () => {
  const config = configOf(
    variant('pg1: 10', 'z: 10.0.0.9:5432\n      9a: 10.0.0.8:5432\n      pg1: 10'),
    AROUND,
  );
  assert.deepEqual(Object.keys(config.backends['app']?.servers ?? {}), ['z', '9a', 'pg1', 'pg2']);
});

test('issues: the file, the place and the path stand in front of the message', () => {
  const issue = { file: 'a.yaml', line: 3, column: 5, path: 'log.level', message: 'is wrong' };
  assert.equal(formatIssue(issue), 'a.yaml:3:5 log.level: is wrong');
  assert.equal(formatIssue({ ...issue, path: '' }), 'a.yaml:3:5: is wrong');
  assert.ok(issuesOf(load('x: 1')).every(({ file }) => file === FILE));
});
