// HTTP's session: it reads the first bytes before it routes, and takes them to another server if the first goes without a
// word. When it must not is as important as when it does.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HELD_CLIENT_MAX_BYTES } from '../../../src/core/limits.ts';
import { closeReasons, type CloseReason } from '../../../src/proxy/events.ts';
import { type SessionEvent } from '../../../src/proxy/session-model.ts';
import { nobodyLeads, on, pg1Leads, play, primaryRules } from '../../support/tcp-session-script.ts';

interface Case {
  readonly name: string;
  /** Each event with the actions it must bring about. */
  readonly script: readonly (readonly [SessionEvent, ...string[]])[];
  readonly ends: string;
}

const get = Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
const post = Buffer.from('POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n');
const both = ['pg1', 'pg2'];

const asked = (bytes: Uint8Array) =>
  [
    [on.accepted(), 'deadline 10000'],
    [on.received(bytes), 'deadline none', 'route'],
    [on.candidates(pg1Leads, both), 'dial 1 pg1'],
  ] as const;
const joined = (bytes: Uint8Array) =>
  [...asked(bytes), [on.connected(1, pg1Leads), `relay pg1 ${bytes.length}`]] as const;
const silent = { fromClient: get.length, fromServer: 0 };

const cases: readonly Case[] = [
  {
    name: 'a client is routed when it has said something',
    script: [
      ...asked(get.subarray(0, 3)),
      [on.received(get.subarray(3))],
      [on.connected(1, pg1Leads), `relay pg1 ${get.length}`],
    ],
    ends: 'relaying',
  },
  {
    name: 'a client that says nothing is routed all the same, after a while',
    script: [
      [on.accepted(), 'deadline 10000'],
      [on.just('deadline', 10_000), 'route'],
      [on.candidates(pg1Leads, both), 'dial 1 pg1'],
      [on.connected(1, pg1Leads), 'relay pg1 0'],
      [on.mute('server-reset', get.length), 'deadline none', 'close reset session server-reset'],
    ],
    ends: 'closed',
  },
  {
    name: 'a client that goes before it has said anything has left',
    script: [
      [on.accepted(), 'deadline 10000'],
      [on.just('client-ended'), 'deadline none', 'close end left'],
    ],
    ends: 'closed',
  },
  {
    name: 'a client that sends more than is kept is read no further, and not repeated',
    script: [
      [on.accepted(), 'deadline 10000'],
      [on.received(Buffer.alloc(HELD_CLIENT_MAX_BYTES + 1)), 'deadline none', 'stop-reading', 'route'],
      [on.candidates(pg1Leads, both), 'dial 1 pg1'],
      [on.connected(1, pg1Leads), `relay pg1 ${HELD_CLIENT_MAX_BYTES + 1}`],
      [
        on.mute('server-reset', HELD_CLIENT_MAX_BYTES + 1),
        'deadline none',
        'close reset session server-reset',
      ],
    ],
    ends: 'closed',
  },
  {
    name: 'a client that ended its half behind its question is answered; nobody else is asked',
    script: [
      ...asked(get),
      [on.just('client-ended')],
      [on.refused(1), 'dial 2 pg2'],
      [on.connected(2, pg1Leads), `relay pg2 ${get.length}`, 'half-close server'],
      [on.mute('server-reset', get.length), 'deadline none', 'close reset session server-reset'],
    ],
    ends: 'closed',
  },
  {
    name: 'a client that ended its half is not waited with',
    script: [
      ...asked(get),
      [on.just('client-ended')],
      [on.refused(1), 'dial 2 pg2'],
      [on.refused(2), 'deadline none', 'close end left'],
    ],
    ends: 'closed',
  },
  ...(['server-ended', 'server-reset'] as const).map((kind): Case => {
    const reason = kind === 'server-ended' ? 'server' : 'server-reset';
    return {
      name: `a ${kind} before any answer takes the request to the next server, which gets the same bytes`,
      script: [
        ...joined(get),
        [on.mute(kind, get.length), `unjoin ${reason}`, 'route'],
        [on.candidates(pg1Leads, ['pg2']), 'dial 2 pg2'],
        [on.connected(2, pg1Leads), `relay pg2 ${get.length}`],
        [on.just('answered')],
        [on.just('client-ended'), 'half-close server'],
      ],
      ends: 'relaying',
    };
  }),
  {
    name: 'no request goes out more often again than there are servers',
    script: [
      ...joined(get),
      [on.mute('server-reset', get.length), 'unjoin server-reset', 'route'],
      [on.candidates(pg1Leads, both), 'dial 2 pg1'],
      [on.connected(2, pg1Leads), `relay pg1 ${get.length}`],
      [on.mute('server-reset', get.length), 'unjoin server-reset', 'route'],
      [on.candidates(pg1Leads, both), 'dial 3 pg1'],
      [on.connected(3, pg1Leads), `relay pg1 ${get.length}`],
      [on.mute('server-reset', get.length), 'deadline none', 'close reset session server-reset'],
    ],
    ends: 'closed',
  },
  {
    name: 'a request that finds nobody the second time may wait as long as at first, and its waits end once each',
    script: [
      [on.accepted(), 'deadline 10000'],
      [on.received(get), 'deadline none', 'route'],
      [on.nobody(nobodyLeads, 100), 'deadline 30100', 'hold'],
      [on.just('released', 150), 'deadline none', 'route waited'],
      [on.candidates(pg1Leads, ['pg1'], 150), 'dial 1 pg1'],
      [on.connected(1, pg1Leads, 160), 'unhold served 60', `relay pg1 ${get.length}`],
      [on.mute('server-reset', get.length, 20_000), 'unjoin server-reset', 'route'],
      [on.nobody(nobodyLeads, 20_000), 'deadline 50000', 'hold'],
      [
        on.just('deadline', 50_000),
        'unhold expired 30000',
        'deadline 60000',
        'deadline none',
        'close answer rejected hold-timeout',
      ],
    ],
    ends: 'closed',
  },
  {
    name: 'a client that leaves while its request is repeated has left',
    script: [
      ...joined(get),
      [on.mute('server-reset', get.length), 'unjoin server-reset', 'route'],
      [on.candidates(pg1Leads, ['pg2']), 'dial 2 pg2'],
      [on.just('client-reset'), 'abort-dial 2', 'deadline none', 'close reset left'],
    ],
    ends: 'closed',
  },
  {
    name: 'a second request that came meanwhile goes along, and is not repeated',
    script: [
      ...joined(get),
      [on.mute('server-reset', get.length), 'unjoin server-reset', 'route'],
      [on.candidates(pg1Leads, ['pg2']), 'dial 2 pg2'],
      [on.received(get)],
      [on.connected(2, pg1Leads), `relay pg2 ${2 * get.length}`],
      [on.mute('server-reset', 2 * get.length), 'deadline none', 'close reset session server-reset'],
    ],
    ends: 'closed',
  },
  {
    name: 'a server that has answered is not replaced',
    script: [
      ...joined(get),
      [on.just('answered')],
      [on.mute('server-reset', get.length), 'deadline none', 'close reset session server-reset'],
    ],
    ends: 'closed',
  },
  {
    name: 'nor is one whose first byte was read and not yet told of',
    script: [
      ...joined(get),
      [
        on.evicted('server-down', { ...silent, fromServer: 1 }),
        'deadline none',
        'close cut session server-down',
      ],
    ],
    ends: 'closed',
  },
  {
    name: 'a client that has sent more than is kept is not repeated',
    script: [...joined(get), [on.mute('server-ended', get.length + 1), 'half-close client']],
    ends: 'relaying',
  },
  {
    name: 'a client that has ended its half is not repeated',
    script: [
      ...joined(get),
      [on.just('client-ended'), 'half-close server'],
      [on.mute('server-ended', get.length), 'deadline none', 'close end session client'],
    ],
    ends: 'closed',
  },
  {
    name: 'a POST is never repeated',
    script: [
      ...joined(post),
      [on.mute('server-reset', post.length), 'deadline none', 'close reset session server-reset'],
    ],
    ends: 'closed',
  },
  ...(Object.keys(closeReasons) as CloseReason[]).map((reason): Case => {
    const repeats = ['server-down', 'server-left', 'maintenance'].includes(reason);
    const mode = ['idle', 'max-age', 'shutdown', 'switchover'].includes(reason) ? 'end' : 'cut';
    return {
      name: `a client whose server is taken away by ${reason} before an answer is ${repeats ? '' : 'not '}repeated`,
      script: [
        ...joined(get),
        repeats
          ? [on.evicted(reason, silent), `unjoin ${reason}`, 'route']
          : [on.evicted(reason, silent), 'deadline none', `close ${mode} session ${reason}`],
      ],
      ends: repeats ? 'routing' : 'closed',
    };
  }),
];

for (const { name, script, ends } of cases) {
  test(`session of http: ${name}`, () => {
    const { state, trace } = play(
      script.map(([event]) => event),
      { ...primaryRules, protocol: 'http', route: 'any' },
    );
    assert.deepEqual(
      trace,
      script.map(([, ...actions]) => actions),
    );
    assert.equal(state.kind, ends);
  });
}

test('session of tcp: what looks like a request is lost with its server: nobody knows that it is one', () => {
  const { trace } = play(
    [
      on.accepted(),
      on.candidates(pg1Leads, both),
      on.received(get),
      on.connected(1, pg1Leads),
      on.mute('server-reset', get.length),
    ],
    { ...primaryRules, protocol: 'tcp', route: 'any' },
  );
  assert.deepEqual(trace.slice(-2), [
    [`relay pg1 ${get.length}`],
    ['deadline none', 'close reset session server-reset'],
  ]);
});
