// Every rule of the session as a row: what happens, and what must be done after each event.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HELD_CLIENT_MAX_BYTES } from '../../../src/core/limits.ts';
import { type SessionEvent, type SessionRules } from '../../../src/proxy/session-model.ts';
import { newSession, step } from '../../../src/proxy/session.ts';
import { cancelPacket, directTls, gssRequest, sslRequest, startupPacket } from '../../support/tcp-packets.ts';
import {
  nobodyLeads,
  on,
  pg1Doubted,
  pg1Leads,
  pg2Leads,
  play,
  primaryRules,
} from '../../support/tcp-session-script.ts';

interface Case {
  readonly name: string;
  readonly rules?: Partial<SessionRules>;
  /** Each event with the actions it must bring about. */
  readonly script: readonly (readonly [SessionEvent, ...string[]])[];
  readonly ends: string;
}

const startup = startupPacket();
const hello = [
  [on.accepted(), 'deadline 10000'],
  [on.received(startup), 'deadline none', 'route'],
] as const;
const dialed = [...hello, [on.candidates(pg1Leads, ['pg1']), 'dial 1 pg1']] as const;
const relayed = [...dialed, [on.connected(1, pg1Leads), `relay pg1 ${startup.length}`]] as const;
const held = [...hello, [on.nobody(nobodyLeads, 100), 'deadline 30100', 'hold']] as const;
const pg1Moved = {
  ...pg1Leads,
  servers: pg1Leads.servers.map(one => ({ ...one, address: { ...one.address, host: '10.0.0.2' } })),
};

const cases: readonly Case[] = [
  {
    name: 'a client is joined to the primary and its first bytes go first',
    script: relayed,
    ends: 'relaying',
  },
  {
    name: 'a first packet in pieces is waited for',
    script: [
      [on.accepted(), 'deadline 10000'],
      [on.received(startup.subarray(0, 3))],
      [on.received(startup.subarray(3, 11))],
      [on.received(startup.subarray(11)), 'deadline none', 'route'],
    ],
    ends: 'routing',
  },
  {
    name: 'a client that sends nothing is closed at the deadline',
    script: [
      [on.accepted(), 'deadline 10000'],
      [on.just('deadline', 10_000), 'deadline none', 'close reset rejected first-bytes-timeout'],
    ],
    ends: 'closed',
  },
  {
    name: 'bytes of another protocol are refused',
    script: [
      [on.accepted(), 'deadline 10000'],
      [on.received(Buffer.from('GET / HTTP/1.1')), 'deadline none', 'close reset rejected bad-first-bytes'],
    ],
    ends: 'closed',
  },
  {
    name: 'a client that goes before its first packet is no rejection',
    script: [
      [on.accepted(), 'deadline 10000'],
      [on.just('client-ended'), 'deadline none', 'close end left'],
    ],
    ends: 'closed',
  },
  {
    name: 'a primary that lost its epoch between dial and connect gets nobody',
    script: [
      ...dialed,
      [on.connected(1, { ...pg1Leads, epoch: 2 }), 'abort-dial 1', 'route'],
      [on.candidates({ ...pg1Leads, epoch: 2 }, ['pg1']), 'dial 2 pg1'],
    ],
    ends: 'dialing',
  },
  {
    name: 'a primary in doubt at the moment of connect gets nobody',
    script: [...dialed, [on.connected(1, pg1Doubted), 'abort-dial 1', 'route']],
    ends: 'routing',
  },
  {
    name: 'a primary whose result has aged during the dial gets nobody',
    script: [...dialed, [on.connected(1, pg1Leads, 2351), 'abort-dial 1', 'route']],
    ends: 'routing',
  },
  {
    name: 'a result exactly as old as the bound still counts',
    script: [...dialed, [on.connected(1, pg1Leads, 2350), `relay pg1 ${startup.length}`]],
    ends: 'relaying',
  },
  {
    name: 'a dial to a demoted primary is aborted, and its late success changes nothing',
    script: [
      ...dialed,
      [on.changed(pg2Leads), 'abort-dial 1', 'route'],
      [on.candidates(pg2Leads, ['pg2']), 'dial 2 pg2'],
      [on.connected(1, pg2Leads)],
      [on.connected(2, pg2Leads), `relay pg2 ${startup.length}`],
    ],
    ends: 'relaying',
  },
  {
    name: 'a change that leaves the target good leaves the dial alone',
    script: [...dialed, [on.changed(pg1Leads)]],
    ends: 'dialing',
  },
  {
    name: 'a refused connection leads to the next candidate',
    rules: { route: 'any' },
    script: [
      ...hello,
      [on.candidates(pg1Leads, ['pg1', 'pg2']), 'dial 1 pg1'],
      [on.refused(1), 'dial 2 pg2'],
      [on.connected(2, pg1Leads), `relay pg2 ${startup.length}`],
    ],
    ends: 'relaying',
  },
  {
    name: 'a primary that refuses does not fail the client while there is time to hold',
    script: [
      ...dialed,
      [on.refused(1, 10), 'deadline 30000', 'hold pause'],
      [on.just('released', 40), 'deadline none', 'route waited'],
      [on.candidates(pg1Leads, ['pg1'], 40), 'dial 2 pg1'],
      [on.refused(2, 50), 'deadline 30000', 'hold again pause'],
      [on.just('released', 80), 'deadline none', 'route waited'],
      [on.candidates(pg1Leads, ['pg1'], 80), 'dial 3 pg1'],
      [on.connected(3, pg1Leads, 90), 'unhold served 80', `relay pg1 ${startup.length}`],
    ],
    ends: 'relaying',
  },
  {
    name: 'with hold 0 a refused connection is told at once',
    rules: { holdMs: 0 },
    script: [
      ...dialed,
      [on.refused(1, 10), 'deadline 10010', 'deadline none', 'close answer rejected connect-failed'],
    ],
    ends: 'closed',
  },
  {
    name: 'with hold 0 all candidates are tried before the client is refused',
    rules: { holdMs: 0, route: 'any' },
    script: [
      ...hello,
      [on.candidates(pg1Leads, ['pg1', 'pg2']), 'dial 1 pg1'],
      [on.refused(1, 5), 'dial 2 pg2'],
      [on.refused(2, 9), 'deadline 10009', 'deadline none', 'close answer rejected connect-failed'],
    ],
    ends: 'closed',
  },
  {
    name: 'a dial that fails after the hold is over is the last one',
    rules: { route: 'any' },
    script: [
      ...hello,
      [on.candidates(pg1Leads, ['pg1', 'pg2']), 'dial 1 pg1'],
      [on.refused(1, 30_000), 'deadline 40000', 'deadline none', 'close answer rejected connect-failed'],
    ],
    ends: 'closed',
  },
  {
    name: 'no descriptor for the server: the client is refused and gives its own back',
    script: [
      ...dialed,
      [on.noDescriptor(1), 'deadline 10000', 'deadline none', 'close answer rejected descriptors'],
    ],
    ends: 'closed',
  },
  {
    name: 'with hold 0 and no server the client is refused at once',
    rules: { holdMs: 0 },
    script: [
      ...hello,
      [on.nobody(nobodyLeads, 7), 'deadline 10007', 'deadline none', 'close answer rejected no-server'],
    ],
    ends: 'closed',
  },
  {
    name: 'a held client is released and joined; its wait is reported once',
    script: [
      ...held,
      [on.just('released', 350), 'deadline none', 'route waited'],
      [on.candidates(pg2Leads, ['pg2'], 350), 'dial 1 pg2'],
      [on.connected(1, pg2Leads, 352), 'unhold served 252', `relay pg2 ${startup.length}`],
    ],
    ends: 'relaying',
  },
  {
    name: 'a held client that was released in vain keeps its first deadline',
    script: [
      ...held,
      [on.just('released', 350), 'deadline none', 'route waited'],
      [on.nobody(nobodyLeads, 350), 'deadline 30100', 'hold again'],
    ],
    ends: 'holding',
  },
  {
    name: 'a hold that ends without a server is answered',
    script: [
      ...held,
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
    name: 'a full hold is answered and counts as no wait',
    script: [
      ...held,
      [on.just('hold-full', 100), 'deadline 10100', 'deadline none', 'close answer rejected hold-full'],
    ],
    ends: 'closed',
  },
  {
    name: 'a client that leaves the hold is forgotten',
    script: [...held, [on.just('client-ended', 150), 'unhold left 50', 'deadline none', 'close end left']],
    ends: 'closed',
  },
  {
    name: 'a client that resets while dialed for takes its dial along',
    script: [...dialed, [on.just('client-reset'), 'abort-dial 1', 'deadline none', 'close reset left']],
    ends: 'closed',
  },
  {
    name: 'a held client that sends too much is no longer read, told once',
    script: [
      ...held,
      [on.received(new Uint8Array(HELD_CLIENT_MAX_BYTES)), 'stop-reading'],
      [on.received(new Uint8Array(10))],
    ],
    ends: 'holding',
  },
  {
    name: 'an SSLRequest goes to the server untouched',
    script: [
      [on.accepted(), 'deadline 10000'],
      [on.received(sslRequest), 'deadline none', 'route'],
      [on.candidates(pg1Leads, ['pg1']), 'dial 1 pg1'],
      [on.connected(1, pg1Leads), 'relay pg1 8'],
    ],
    ends: 'relaying',
  },
  {
    name: 'a refused client that asks for TLS and GSS is told no, and then why',
    script: [
      [on.accepted(), 'deadline 10000'],
      [on.received(gssRequest), 'deadline none', 'route'],
      [on.nobody(nobodyLeads), 'deadline 30000', 'hold'],
      [on.just('deadline', 30_000), 'unhold expired 30000', 'deadline 40000', 'answer N'],
      [on.received(sslRequest, 30_001), 'answer N'],
      [on.received(startup.subarray(0, 5), 30_002)],
      [on.received(startup.subarray(5), 30_003), 'deadline none', 'close answer rejected hold-timeout'],
    ],
    ends: 'closed',
  },
  {
    name: 'a refused client that asks for encryption again and again is closed',
    script: [
      [on.overLimit(), 'deadline 10000'],
      [on.received(Buffer.concat([sslRequest, gssRequest])), 'answer N', 'answer N'],
      [on.received(sslRequest), 'deadline none', 'close reset rejected max-connections'],
    ],
    ends: 'closed',
  },
  {
    name: 'a refused client that says nothing is closed at the deadline',
    script: [
      [on.overLimit(), 'deadline 10000'],
      [on.just('deadline', 10_000), 'deadline none', 'close reset rejected max-connections'],
    ],
    ends: 'closed',
  },
  {
    name: 'a refused client that speaks TLS at once is only closed',
    script: [
      [on.overLimit(), 'deadline 10000'],
      [on.received(directTls), 'deadline none', 'close end rejected max-connections'],
    ],
    ends: 'closed',
  },
  {
    name: 'a CancelRequest is carried out without a wait or a session',
    script: [
      [on.accepted(), 'deadline 10000'],
      [on.received(cancelPacket(4711, 1)), 'deadline 5000', 'cancel 4711'],
      [on.just('client-ended', 1)],
      [on.just('cancel-done', 2), 'deadline none', 'close end cancel'],
    ],
    ends: 'closed',
  },
  {
    name: 'a CancelRequest is carried out above the limit of connections too',
    script: [
      [on.overLimit(), 'deadline 10000'],
      [on.received(cancelPacket(4711, 1)), 'deadline 5000', 'cancel 4711'],
      [on.just('deadline', 5000), 'deadline none', 'close reset cancel'],
    ],
    ends: 'closed',
  },
  {
    name: 'half-close of the client is passed on, and the session ends with the server',
    script: [
      ...relayed,
      [on.just('client-ended'), 'half-close server'],
      [on.just('server-ended'), 'deadline none', 'close end session client'],
    ],
    ends: 'closed',
  },
  {
    name: 'half-close of the server is passed on, and the session ends with the client',
    script: [
      ...relayed,
      [on.just('server-ended'), 'half-close client'],
      [on.just('client-ended'), 'deadline none', 'close end session server'],
    ],
    ends: 'closed',
  },
  {
    name: 'a reset of the client resets the server',
    script: [...relayed, [on.just('client-reset'), 'deadline none', 'close reset session client-reset']],
    ends: 'closed',
  },
  {
    name: 'a reset of the server resets the client',
    script: [...relayed, [on.just('server-reset'), 'deadline none', 'close reset session server-reset']],
    ends: 'closed',
  },
  {
    name: 'a server that ended and then resets does not cost the client the last words',
    script: [
      ...relayed,
      [on.just('server-ended'), 'half-close client'],
      [on.just('server-reset'), 'deadline none', 'close cut session server'],
    ],
    ends: 'closed',
  },
  {
    name: 'a demotion cuts the server off',
    script: [...relayed, [on.demoted(), 'deadline none', 'close cut session demotion']],
    ends: 'closed',
  },
  {
    name: 'an idle session is ended politely',
    script: [...relayed, [on.idle(), 'deadline none', 'close end session idle']],
    ends: 'closed',
  },
  {
    name: 'a shutdown leaves a joined session alone',
    script: [...relayed, [on.just('shutdown')]],
    ends: 'relaying',
  },
  {
    name: 'a shutdown refuses a held client',
    script: [
      ...held,
      [
        on.just('shutdown', 200),
        'unhold closed 100',
        'deadline 10200',
        'deadline none',
        'close answer rejected shutdown',
      ],
    ],
    ends: 'closed',
  },
  {
    name: 'a shutdown refuses a client that is dialed for',
    script: [
      ...dialed,
      [
        on.just('shutdown'),
        'abort-dial 1',
        'deadline 10000',
        'deadline none',
        'close answer rejected shutdown',
      ],
    ],
    ends: 'closed',
  },
  {
    name: 'a shutdown in the greeting waits for the startup packet',
    script: [
      [on.accepted(), 'deadline 10000'],
      [on.just('shutdown', 50), 'deadline 10050'],
      [on.received(startup, 60), 'deadline none', 'close answer rejected shutdown'],
    ],
    ends: 'closed',
  },
  {
    name: 'a name that stands for another address by now is not joined to',
    rules: { route: 'any' },
    script: [
      ...dialed,
      [on.connected(1, pg1Moved), 'abort-dial 1', 'route'],
      [on.candidates(pg1Moved, ['pg1']), 'dial 2 pg1'],
      [on.connected(2, pg1Moved), `relay pg1 ${startup.length}`],
    ],
    ends: 'relaying',
  },
  {
    name: 'a dial to a server that is no longer a member is given up',
    rules: { route: 'any' },
    script: [
      ...dialed,
      [on.changed({ ...pg1Leads, servers: pg1Leads.servers.slice(1) }), 'abort-dial 1', 'route'],
    ],
    ends: 'routing',
  },
  {
    name: 'what sockets and timers tell after the end is ignored',
    script: [
      ...relayed,
      [on.demoted(), 'deadline none', 'close cut session demotion'],
      [on.just('client-ended')],
      [on.just('server-reset')],
      [on.demoted()],
      [on.just('deadline')],
      [on.received(startup)],
    ],
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

test('session: an event that the state rules out throws, naming both', () => {
  const rows: readonly (readonly [readonly SessionEvent[], SessionEvent, RegExp])[] = [
    [[], on.received(startup), /event received in session state new/],
    [[on.accepted()], on.accepted(), /event accepted in session state greeting/],
    [[on.accepted()], on.just('released'), /event released in session state greeting/],
    [[on.accepted()], on.connected(1, pg1Leads), /event connected in session state greeting/],
    [[on.accepted(), on.received(startup)], on.received(startup), /event received in session state routing/],
    [held.map(([event]) => event), on.demoted(), /event evicted in session state holding/],
    [dialed.map(([event]) => event), on.connected(2, pg1Leads), /event connected in session state dialing/],
    [relayed.map(([event]) => event), on.received(startup), /event received in session state relaying/],
    [[on.overLimit()], on.just('server-ended'), /event server-ended in session state refusing/],
    [
      [on.accepted(), on.received(cancelPacket(1, 1))],
      on.demoted(),
      /event evicted in session state cancelling/,
    ],
  ];
  for (const [before, event, message] of rows) {
    const { state } = play(before);
    assert.throws(() => step(state, event, primaryRules), message);
  }
  assert.throws(() => step(newSession, on.just('shutdown'), primaryRules), { code: 'INTERNAL' });
});

test('session: the bytes a client sent while it waited reach the server whole', () => {
  const more = Buffer.from('pipelined');
  const state = play([...held.map(([event]) => event), on.received(more), on.just('released')]).state;
  const dialing = step(state, on.candidates(pg2Leads, ['pg2']), primaryRules).state;
  const { actions } = step(dialing, on.connected(1, pg2Leads), primaryRules);
  const relay = actions.find(action => action.kind === 'relay');
  assert.ok(relay);
  assert.deepEqual(Buffer.from(relay.first), Buffer.concat([startup, more]));
});
