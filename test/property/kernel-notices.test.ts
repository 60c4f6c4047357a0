// Notices from a worker: whatever is gathered is played in the same order with the same values.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createGatherer, play, type NoticeBatch } from '../../src/proxy/drivers/kernel/notices.ts';
import {
  closeReasons,
  connectErrors,
  rejectReasons,
  type CloseReason,
  type ConnectError,
  type ProxyObserver,
  type RejectReason,
} from '../../src/proxy/events.ts';
import { FakeClock } from '../support/fake-clock.ts';

type Call = {
  [K in keyof ProxyObserver]: readonly [K, ...Parameters<ProxyObserver[K]>];
}[keyof ProxyObserver];

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('app', 'pg1', '', 'ünïcode \u{1F600}', '\0'),
);
const ms = fc.double({ min: 0, max: 1e9, noNaN: true });
const count = fc.nat();
const bytes = fc.maxSafeNat();
const plain = { noNullPrototype: true };
const address = fc.record({ host: text, port: fc.nat(65_535) }, plain);
const reject = fc.constantFrom(...(Object.keys(rejectReasons) as RejectReason[]));
const close = fc.constantFrom(...(Object.keys(closeReasons) as CloseReason[]));
const error = fc.constantFrom(...(Object.keys(connectErrors) as ConnectError[]));
const outcome = fc.constantFrom('served', 'left', 'expired', 'closed');
const end = fc.record(
  {
    frontend: text,
    backend: text,
    server: text,
    client: address,
    reason: close,
    bytesUp: bytes,
    bytesDown: bytes,
    totalMs: ms,
    heldMs: ms,
    connectMs: ms,
  },
  plain,
);
const named = <K extends Call[0]>(kind: K): fc.Arbitrary<K> => fc.constant(kind);

const call: fc.Arbitrary<Call> = fc.oneof(
  fc.tuple(named('accepted'), text, count),
  fc.tuple(named('rejected'), text, reject, address, count),
  fc.tuple(named('circuit'), text, text, fc.boolean()),
  fc.tuple(named('held'), text),
  fc.tuple(named('holdEnded'), text, text, ms, outcome),
  fc.tuple(named('connectFailed'), text, text, error, text),
  fc.tuple(named('connected'), text, text, ms),
  fc.tuple(named('sessionEnded'), end),
  fc.tuple(named('sessionsClosed'), text, text, close, count),
  fc.tuple(named('acceptError'), text, text, text),
);

function tell(observer: ProxyObserver, [kind, ...values]: Call): void {
  (observer[kind] as (...values: readonly unknown[]) => void)(...values);
}

/** Writes down what it is told. */
function recorder(): { readonly calls: Call[]; readonly observer: ProxyObserver } {
  const calls: Call[] = [];
  const observer = Object.fromEntries(
    (
      [
        'accepted',
        'rejected',
        'held',
        'holdEnded',
        'connectFailed',
        'connected',
        'sessionEnded',
        'sessionsClosed',
        'acceptError',
        'circuit',
      ] as const
    ).map(kind => [kind, (...values: unknown[]) => void calls.push([kind, ...values] as unknown as Call)]),
  ) as unknown as ProxyObserver;
  return { calls, observer };
}

test('notices: what is gathered is played in the same order, with the same values', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(call, fc.constant(null)), { maxLength: 80 }), events => {
      const batches: NoticeBatch[] = [];
      const gatherer = createGatherer(new FakeClock(), batch => batches.push(structuredClone(batch)));
      // `null`: a flush.
      for (const event of events) {
        if (event === null) gatherer.flush();
        else tell(gatherer.observer, event);
      }
      gatherer.flush();
      const { calls, observer } = recorder();
      for (const batch of batches) play(batch, observer);
      const told = events.filter(event => event !== null);
      assert.deepEqual(calls, told);
      assert.ok(
        batches.every(({ numbers }) => numbers.length > 0),
        'nothing to tell is not told',
      );
    }),
    { numRuns: 300 },
  );
});

test('notices: they go together after a moment, many at once earlier, and none twice', async () => {
  const clock = new FakeClock();
  const batches: NoticeBatch[] = [];
  const { observer } = createGatherer(clock, batch => batches.push(batch));
  observer.accepted('app', 1);
  await clock.advance(1);
  observer.held('app');
  assert.equal(batches.length, 0);
  await clock.advance(100);
  assert.equal(batches.length, 1);
  await clock.advance(1000);
  assert.equal(batches.length, 1);
  for (let i = 0; i < 10_000; i += 1) observer.accepted('app', 1);
  assert.equal(batches.length, 2);
  await clock.advance(100);
  const { calls, observer: listener } = recorder();
  for (const batch of batches) play(batch, listener);
  assert.equal(calls.length, 10_002);
  assert.ok(
    batches.every(({ texts }) => texts.length === 1),
    'a name is sent once a batch',
  );
});

test('notices: a failure to connect is told at once, those that follow on its heels together', async () => {
  const clock = new FakeClock();
  const batches: NoticeBatch[] = [];
  const { observer } = createGatherer(clock, batch => batches.push(batch));
  observer.accepted('app', 1);
  observer.connectFailed('db', 'pg1', 'refused', '');
  assert.equal(batches.length, 1, 'with what was gathered before');
  for (let i = 0; i < 100; i += 1) observer.connectFailed('db', 'pg1', 'refused', '');
  assert.equal(batches.length, 1);
  await clock.advance(5);
  assert.equal(batches.length, 2);
  observer.accepted('app', 1);
  await clock.advance(20);
  assert.equal(batches.length, 2, 'what nobody acts on waits as ever');
  observer.connectFailed('db', 'pg1', 'refused', '');
  assert.equal(batches.length, 3);
  await clock.advance(100);
  assert.equal(batches.length, 3);
  assert.equal(clock.pending, 0);
});
