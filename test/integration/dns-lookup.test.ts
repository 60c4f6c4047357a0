// Questions to a real DNS server, and to the system: what is there, what isn't, and what nobody answers.

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import { type Address } from '../../src/core/address.ts';
import { DNS_ADDRESSES_MAX } from '../../src/core/limits.ts';
import { readHostPort } from '../../src/config/units.ts';
import { Lookup } from '../../src/health/probers/dns/lookup.ts';
import { type DnsAnswer } from '../../src/health/result.ts';
import { DnsServer } from '../support/dns.ts';

function addressOf(text: string): Address {
  const read = readHostPort(text);
  return read.ok ? read.value : assert.fail(read.reason);
}

const lookupAt = (...servers: readonly string[]): Lookup =>
  new Lookup({ servers: servers.map(addressOf), timeoutMs: 3000 }, systemClock);

/** Hosts (and ports) in an order of their own, or the kind of the answer. */
function brief(answer: DnsAnswer): string {
  if (answer.kind !== 'found') return answer.kind;
  return answer.records
    .map(({ name, host, port }) => `${name} ${host}${port === null ? '' : ` ${port}`}`)
    .sort()
    .join(', ');
}

/** Takes questions and answers none. */
async function silentServer(t: TestContext): Promise<string> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  return `127.0.0.1:${socket.address().port}`;
}

test('lookup: addresses of both families with their time to live; a name without any, and one that is not ours', async t => {
  const dns = await DnsServer.start(t, {
    'both.internal': ['10.0.0.1', 'fd00::1', '10.0.0.2'],
    'six.internal': ['fd00::6'],
  });
  const lookup = lookupAt(dns.address);
  const both = await lookup.ask({ name: 'both.internal', type: 'a' });
  assert.equal(brief(both), 'both.internal 10.0.0.1, both.internal 10.0.0.2, both.internal fd00::1');
  assert.equal(both.kind === 'found' && both.ttlMs, 1000);
  assert.equal(brief(await lookup.ask({ name: 'six.internal', type: 'a' })), 'six.internal fd00::6');
  const none = await lookup.ask({ name: 'none.internal', type: 'a' });
  assert.deepEqual(none, { kind: 'none', detail: 'queryAaaa ENOTFOUND none.internal' });
  assert.equal(brief(await lookup.ask({ name: 'foreign.example', type: 'a' })), 'failed');
});

test('lookup: of thousands of addresses the same few are told, in whatever order they come', async t => {
  const many = Array.from({ length: 300 }, (_, index) => `10.1.${index >> 8}.${index & 255}`);
  const dns = await DnsServer.start(t, { 'many.internal': many });
  const lookup = lookupAt(dns.address);
  const first = await lookup.ask({ name: 'many.internal', type: 'a' });
  assert.equal(first.kind === 'found' && first.records.length, DNS_ADDRESSES_MAX);
  assert.equal(brief(await lookup.ask({ name: 'many.internal', type: 'a' })), brief(first));
});

test('lookup: SRV records are targets with their addresses and ports; a target without an address is left out', async t => {
  const service = '_db._tcp.internal';
  const dns = await DnsServer.start(
    t,
    { 'n1.internal': ['10.0.0.1'], 'n2.internal': ['10.0.0.2', 'fd00::2'] },
    [`${service},n1.internal,5433`, `${service},n2.internal,5434`, `${service},n3.internal,5435`],
  );
  const lookup = lookupAt(dns.address);
  assert.equal(
    brief(await lookup.ask({ name: service, type: 'srv' })),
    'n1.internal 10.0.0.1 5433, n2.internal 10.0.0.2 5434, n2.internal fd00::2 5434',
  );
  assert.equal(brief(await lookup.ask({ name: 'n1.internal', type: 'srv' })), 'none');
});

test('lookup: of two DNS servers one is enough, and a silent one costs the time for an answer and no more', async t => {
  const silent = await silentServer(t);
  const dns = await DnsServer.start(t, { 'a.internal': ['10.0.0.1'] });
  const question = { name: 'a.internal', type: 'a' } as const;
  assert.equal(brief(await lookupAt(silent, dns.address).ask(question)), 'a.internal 10.0.0.1');
  const alone = new Lookup({ servers: [addressOf(silent)], timeoutMs: 50 }, systemClock);
  assert.equal(brief(await alone.ask(question)), 'failed');
});

test('lookup: without DNS servers of its own it asks the system, which knows localhost', async () => {
  const lookup = lookupAt();
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => lookup.ask({ name: 'localhost', type: 'a' })),
  );
  for (const answer of answers) assert.match(brief(answer), /localhost (127\.0\.0\.1|::1)/);
  assert.equal(answers[0]?.kind === 'found' && answers[0].ttlMs, null);
  assert.match(brief(await lookup.ask({ name: 'nonexistent.invalid', type: 'a' })), /^(none|failed)$/);
});
