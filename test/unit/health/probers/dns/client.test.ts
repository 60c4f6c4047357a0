import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DnsClient } from '../../../../../src/health/probers/dns/client.ts';
import { type DnsAnswer } from '../../../../../src/health/result.ts';
import { FakeClock } from '../../../../support/fake-clock.ts';

const found = (ttlMs: number | null): DnsAnswer => ({ kind: 'found', records: [], ttlMs });

/** A client whose questions the test answers; `asked` are the times. */
function asking(answers: (number: number) => DnsAnswer | Promise<DnsAnswer>, intervalMs = 5000) {
  const clock = new FakeClock();
  const begin = clock.now();
  const asked: number[] = [];
  const heard: DnsAnswer[] = [];
  const client = new DnsClient(
    {
      question: { name: 'a.internal', type: 'a' },
      dns: { servers: [], intervalMs, timeoutMs: 2000 },
      clock,
    },
    answer => heard.push(answer),
    { ask: () => Promise.resolve(answers(asked.push(clock.now() - begin))), close: () => undefined },
  );
  return { client, clock, asked, heard };
}

for (const [title, answer, intervalMs, times] of [
  ['every interval', found(null), 5000, [0, 5000, 10_000]],
  ['when its answer has lived, if that is sooner', found(3000), 5000, [0, 3000, 6000, 9000]],
  ['after the interval though its answer lives longer', found(60_000), 5000, [0, 5000, 10_000]],
  [
    'no sooner than after a second, however short its answer lives',
    found(0),
    5000,
    Array.from({ length: 11 }, (_, i) => i * 1000),
  ],
  [
    'again after a second without an answer',
    { kind: 'failed', detail: '' },
    5000,
    Array.from({ length: 11 }, (_, i) => i * 1000),
  ],
  ['every interval of less than a second', found(0), 400, Array.from({ length: 26 }, (_, i) => i * 400)],
] as const) {
  test(`dns client: a name is asked about ${title}`, async () => {
    const { client, clock, asked } = asking(() => answer, intervalMs);
    client.start();
    for (let step = 0; step < 100; step += 1) await clock.advance(100);
    assert.deepEqual(asked, times);
    client.stop();
  });
}

test('dns client: it asks at once when told to, and no more than twice a second', async () => {
  const { client, clock, asked } = asking(() => found(null));
  client.start();
  await clock.advance(2000);
  for (let step = 0; step < 10; step += 1) {
    client.askNow();
    await clock.advance(100);
  }
  assert.deepEqual(asked, [0, 2000, 2500, 3000]);
  client.stop();
});

test('dns client: what is told while a question is under way is asked again after it', async () => {
  let answer: (value: DnsAnswer) => void = () => assert.fail('nobody has asked');
  const { client, clock, asked, heard } = asking(number =>
    number === 1 ? new Promise(resolve => (answer = resolve)) : found(null),
  );
  client.start();
  await clock.advance(100);
  client.askNow();
  await clock.advance(100);
  assert.deepEqual(asked, [0]);
  answer(found(null));
  await clock.advance(0);
  await clock.advance(300);
  assert.deepEqual([asked, heard.length], [[0, 500], 2]);
  client.stop();
});

test('dns client: once stopped it neither asks nor tells', async () => {
  let answer: (value: DnsAnswer) => void = () => assert.fail('nobody has asked');
  const { client, clock, asked, heard } = asking(() => new Promise(resolve => (answer = resolve)));
  client.start();
  client.stop();
  answer(found(null));
  await clock.advance(20_000);
  client.askNow();
  client.start();
  await clock.advance(20_000);
  assert.deepEqual([asked, heard], [[0], []]);
});
