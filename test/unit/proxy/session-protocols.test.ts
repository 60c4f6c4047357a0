// The session of every protocol but PostgreSQL's: how its clients are routed, wait, and are told no.
// The rules that hold for all are in session.test.ts, HTTP's own second chance in session-repeat.test.ts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SessionEvent, type SessionRules } from '../../../src/proxy/session-model.ts';
import { directTls } from '../../support/tcp-packets.ts';
import { nobodyLeads, on, pg1Leads, play, primaryRules } from '../../support/tcp-session-script.ts';

interface Case {
  readonly name: string;
  readonly rules: Partial<SessionRules>;
  /** Each event with the actions it must bring about. */
  readonly script: readonly (readonly [SessionEvent, ...string[]])[];
  readonly ends: string;
}

const heldSilently = [
  [on.accepted(), 'route'],
  [on.nobody(nobodyLeads, 100), 'deadline 30100', 'hold'],
] as const;
/** HTTP clients are routed when they have said something, or have taken too long to. */
const heldInSilence = (protocol: 'redis' | 'http') =>
  protocol === 'redis'
    ? heldSilently
    : ([
        [on.accepted(-10_000), 'deadline 0'],
        [on.just('deadline', 0), 'route'],
        [on.nobody(nobodyLeads, 100), 'deadline 30100', 'hold'],
      ] as const);

const cases: readonly Case[] = [
  ...(['mysql', 'redis', 'tcp'] as const).map(protocol => ({
    name: `a ${protocol} client is routed before it has said a word, and its bytes go first if there are any`,
    rules: { protocol },
    script: [
      [on.accepted(), 'route'],
      [on.candidates(pg1Leads, ['pg1']), 'dial 1 pg1'],
      [on.received(Buffer.from('PING'))],
      [on.connected(1, pg1Leads), 'relay pg1 4'],
    ] as const,
    ends: 'relaying',
  })),
  {
    name: 'a mysql client is refused in place of the greeting, at once',
    rules: { protocol: 'mysql' },
    script: [[on.overLimit(), 'deadline none', 'close answer rejected max-connections']],
    ends: 'closed',
  },
  {
    name: 'a held mysql client that has said nothing is told when its wait ends',
    rules: { protocol: 'mysql' },
    script: [
      ...heldSilently,
      [
        on.just('deadline', 30_100),
        'unhold expired 30000',
        'deadline none',
        'close answer rejected hold-timeout',
      ],
    ],
    ends: 'closed',
  },
  {
    name: 'a held mysql client that leaves is noticed',
    rules: { protocol: 'mysql' },
    script: [
      ...heldSilently,
      [on.just('client-ended', 150), 'unhold left 50', 'deadline none', 'close end left'],
    ],
    ends: 'closed',
  },
  ...(['redis', 'http'] as const).flatMap((protocol): Case[] => [
    {
      name: `a refused ${protocol} client is told once it has asked`,
      rules: { protocol },
      script: [
        [on.overLimit(), 'deadline 10000'],
        [on.received(Buffer.from('G'), 3000), 'deadline none', 'close answer rejected max-connections'],
      ],
      ends: 'closed',
    },
    {
      name: `a held ${protocol} client that asked while it waited is told when its wait ends`,
      rules: { protocol },
      script: [
        ...heldInSilence(protocol),
        [on.received(Buffer.from('GET / HTTP/1.1\r\n'), 200)],
        [
          on.just('deadline', 30_100),
          'unhold expired 30000',
          'deadline 40100',
          'deadline none',
          'close answer rejected hold-timeout',
        ],
      ],
      ends: 'closed',
    },
    {
      name: `a refused ${protocol} connection that is merely open is told nothing, and ended after a while`,
      rules: { protocol },
      script: [
        ...heldInSilence(protocol),
        [on.just('shutdown', 200), 'unhold closed 100', 'deadline 10200'],
        [on.just('deadline', 10_200), 'deadline none', 'close end rejected shutdown'],
      ],
      ends: 'closed',
    },
    {
      name: `a refused ${protocol} client that leaves unheard is not answered`,
      rules: { protocol },
      script: [
        [on.overLimit(), 'deadline 10000'],
        [on.just('client-ended', 5), 'deadline none', 'close end rejected max-connections'],
      ],
      ends: 'closed',
    },
    {
      name: `a refused ${protocol} client that speaks TLS is only closed`,
      rules: { protocol },
      script: [
        [on.overLimit(), 'deadline 10000'],
        [on.received(directTls), 'deadline none', 'close end rejected max-connections'],
      ],
      ends: 'closed',
    },
  ]),
  {
    name: 'a refused client of an unknown protocol is closed without a word',
    rules: { protocol: 'tcp' },
    script: [[on.overLimit(), 'deadline none', 'close reset rejected max-connections']],
    ends: 'closed',
  },
];

for (const { name, rules, script, ends } of cases) {
  test(`session: ${name}`, () => {
    const { state, trace } = play(
      script.map(([event]) => event),
      { ...primaryRules, ...rules },
    );
    assert.deepEqual(
      trace,
      script.map(([, ...actions]) => actions),
    );
    assert.equal(state.kind, ends);
  });
}
