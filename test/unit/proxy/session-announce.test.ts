// A client that a trusted proxy announces: what is read first, who is asked, and that it goes on as if it had only now come.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeV1, encodeV2 } from '../../../src/protocol/proxy-protocol/encode.ts';
import { PROXY_HEADER_TIMEOUT_MS } from '../../../src/core/limits.ts';
import { type Protocol } from '../../../src/config/schema.ts';
import {
  type SessionAction,
  type SessionEvent,
  type SessionState,
} from '../../../src/proxy/session-model.ts';
import { newSession, step } from '../../../src/proxy/session.ts';
import { startupPacket } from '../../support/tcp-packets.ts';
import { on, pg1Leads } from '../../support/tcp-session-script.ts';

const ends = {
  source: { host: '192.0.2.7', port: 4711 },
  destination: { host: '10.0.0.5', port: 5432 },
};
const header = encodeV1(ends);
const admit = { kind: 'admit', counted: false } as const;

/** Takes events one after the other; keeps the state and all that was to be done. */
function play(protocol: Protocol) {
  let state: SessionState = newSession;
  const rules = {
    protocol,
    route: 'primary',
    maxLagMs: null,
    limits: [],
    synchronousOnly: false,
    holdMs: 1000,
    connectTimeoutMs: 200,
  } as const;
  return {
    take(...events: readonly SessionEvent[]): readonly SessionAction[] {
      return events.flatMap(event => {
        const next = step(state, event, rules);
        ({ state } = next);
        return next.actions;
      });
    },
    get state() {
      return state;
    },
  };
}

const kinds = (actions: readonly SessionAction[]): readonly string[] => actions.map(({ kind }) => kind);

test('announcement: in whatever pieces it comes, it is read first, and the client asked for', () => {
  for (const bytes of [header, encodeV2(ends, new Uint8Array(0), true)]) {
    for (let cut = 0; cut < bytes.length; cut += 1) {
      const session = play('tcp');
      const asked = session.take(
        on.proxyAccepted(),
        on.received(bytes.subarray(0, cut)),
        on.received(bytes.subarray(cut)),
      );
      assert.deepEqual(asked.at(-1), { kind: 'admit', client: ends.source });
      assert.deepEqual(kinds(session.take(on.admitted(admit))), ['route']);
    }
  }
});

test('announcement: what the client sent behind it is kept, and the header is not', () => {
  const session = play('postgres');
  session.take(on.proxyAccepted(), on.received(Buffer.concat([header, startupPacket()])));
  const begun = session.take(on.admitted(admit));
  assert.equal(kinds(begun).at(-1), 'route');
  assert.ok(session.state.kind === 'routing');
  const { waiting } = session.state;
  assert.deepEqual([...waiting.bytes], [...startupPacket()]);
  assert.equal(waiting.skipped, header.length);
  const [dial] = session.take(on.candidates(pg1Leads, ['pg1']));
  assert.ok(dial?.kind === 'dial');
  assert.deepEqual(dial.announced?.ends, ends);
});

test('announcement: who says nothing behind it is waited for as ever', () => {
  const session = play('postgres');
  session.take(on.proxyAccepted(), on.received(header));
  assert.deepEqual(kinds(session.take(on.admitted(admit, 100))), ['deadline']);
  assert.equal(session.state.kind, 'greeting');
});

test('announcement: LOCAL and UNKNOWN leave the peer what it is', () => {
  for (const bytes of [encodeV1(null), encodeV2(null, new Uint8Array(0), false)]) {
    const session = play('tcp');
    const asked = session.take(on.proxyAccepted(), on.received(bytes));
    assert.deepEqual(asked.at(-1), { kind: 'admit', client: null });
  }
});

test('announcement: the announced is refused in its protocol, or dropped, as any client is', () => {
  const told = play('mysql');
  told.take(on.proxyAccepted(), on.received(header));
  const refused = told.take(on.admitted({ kind: 'refuse', reason: 'max-connections' }));
  assert.deepEqual(refused.at(-1), {
    kind: 'close',
    mode: 'answer',
    outcome: { kind: 'rejected', reason: 'max-connections' },
  });
  const dropped = play('mysql');
  dropped.take(on.proxyAccepted(), on.received(header));
  assert.deepEqual(dropped.take(on.admitted({ kind: 'drop', reason: 'denied' })).at(-1), {
    kind: 'close',
    mode: 'reset',
    outcome: { kind: 'rejected', reason: 'denied' },
  });
});

test('announcement: a bad one, and one that does not come in time, is closed unheard', () => {
  const reset = {
    kind: 'close',
    mode: 'reset',
    outcome: { kind: 'rejected', reason: 'bad-proxy-header' },
  };
  assert.deepEqual(
    play('http')
      .take(on.proxyAccepted(), on.received(Buffer.from('GET / ')))
      .at(-1),
    reset,
  );
  const late = play('http');
  assert.deepEqual(late.take(on.proxyAccepted()), [{ kind: 'deadline', at: PROXY_HEADER_TIMEOUT_MS }]);
  assert.deepEqual(late.take(on.received(header.subarray(0, 9)), on.just('deadline')).at(-1), reset);
});

test('announcement: a proxy that connects and leaves is nobody who was turned away', () => {
  const session = play('tcp');
  assert.deepEqual(session.take(on.proxyAccepted(), on.just('client-ended')).at(-1), {
    kind: 'close',
    mode: 'end',
    outcome: { kind: 'left' },
  });
});

test('announcement: a request behind one is sent again, where it may be, without it', () => {
  const request = Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const session = play('http');
  session.take(on.proxyAccepted(), on.received(Buffer.concat([header, request])));
  session.take(on.admitted(admit), on.candidates(pg1Leads, ['pg1', 'pg2']), on.connected(1, pg1Leads));
  assert.equal(session.state.kind, 'relaying');
  const again = session.take(on.mute('server-reset', header.length + request.length));
  assert.deepEqual(kinds(again), ['unjoin', 'route']);
  // Had the client sent more, nobody could say what the server has of it.
  const other = play('http');
  other.take(on.proxyAccepted(), on.received(Buffer.concat([header, request])));
  other.take(on.admitted(admit), on.candidates(pg1Leads, ['pg1']), on.connected(1, pg1Leads));
  assert.ok(
    !kinds(other.take(on.mute('server-reset', header.length + request.length + 1))).includes('unjoin'),
  );
});
