import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAddress } from '../../../../src/core/address.ts';
import { type DnsAnswer, type DnsRecord } from '../../../../src/health/result.ts';
import { dnsCounsel } from '../../../../src/topology/sources/dns.ts';

const a = (...hosts: string[]): readonly DnsRecord[] =>
  hosts.map(host => ({ name: 'db.internal', host, port: null }));
const srv = (name: string, port: number, ...hosts: string[]): readonly DnsRecord[] =>
  hosts.map(host => ({ name, host, port }));
const found = (...records: readonly (readonly DnsRecord[])[]): DnsAnswer => ({
  kind: 'found',
  records: records.flat(),
  ttlMs: null,
});

function membersIn(answer: DnsAnswer, port: number | null = 5432): string | null {
  const { members, notes, opinion } = dnsCounsel({ name: 'db.internal', port }, answer);
  assert.deepEqual([opinion, notes], [null, []]);
  return members?.map(({ address, host }) => `${formatAddress(address)} ${host}`).join(', ') ?? null;
}

test('dns members: every address is one, in an order of its own', () => {
  const both = '10.0.0.1:5432 db.internal, 10.0.0.2:5432 db.internal';
  assert.equal(membersIn(found(a('10.0.0.2', '10.0.0.1'))), both);
  assert.equal(membersIn(found(a('10.0.0.1', '10.0.0.2', '10.0.0.1'))), both);
});

test('dns members: a machine with addresses of both families is no two servers', () => {
  assert.equal(membersIn(found(a('fd00::1', '10.0.0.1'))), '10.0.0.1:5432 db.internal');
  assert.equal(membersIn(found(a('fd00::1'))), '[fd00::1]:5432 db.internal');
});

test('dns members: of a target of SRV records the same address is taken, whatever their order', () => {
  const one = found(
    srv('n1.internal', 5433, '10.0.0.9', '10.0.0.1', 'fd00::1'),
    srv('n2.internal', 1, 'fd00::2'),
  );
  const other = found(
    srv('n2.internal', 1, 'fd00::2'),
    srv('n1.internal', 5433, 'fd00::1', '10.0.0.1', '10.0.0.9'),
  );
  const members = '10.0.0.1:5433 n1.internal, [fd00::2]:1 n2.internal';
  assert.equal(membersIn(one, null), members);
  assert.equal(membersIn(other, null), members);
});

test('dns members: two ports of one target are two servers, port 0 is none', () => {
  const answer = found(
    srv('n1.internal', 1, '10.0.0.1'),
    srv('n1.internal', 2, '10.0.0.1'),
    srv('x', 0, '10.0.0.2'),
  );
  assert.equal(membersIn(answer, null), '10.0.0.1:1 n1.internal, 10.0.0.1:2 n1.internal');
});

for (const [kind, words] of [
  ['none', 'DNS lists no server under db.internal (why): the servers stay as they are'],
  ['failed', 'DNS has no answer about db.internal (why): the servers stay as they are'],
] as const) {
  test(`dns members: an answer of kind ${kind} changes nothing, and says so`, () => {
    const counsel = dnsCounsel({ name: 'db.internal', port: 5432 }, { kind, detail: 'why' });
    assert.deepEqual(counsel, { opinion: null, notes: [words], members: null });
  });
}
