// What DNS tells of a backend whose servers are found in it: its members, and what is odd about the answer. Never an opinion.
// Pure: an answer in, a counsel out. Asks nobody (health/probers/dns). Called by app/counsellors.ts at every answer.

import { formatAddress } from '../../core/address.ts';
import { type DiscoveryConfig } from '../../config/schema.ts';
import { type DnsAnswer, type DnsRecord } from '../../health/result.ts';
import { type Counsel, type Member } from './counsel.ts';

/** An answer that is empty, or none, tells no members: those there are stay. */
export function dnsCounsel(
  { name, port }: Pick<DiscoveryConfig, 'name' | 'port'>,
  answer: DnsAnswer,
): Counsel {
  if (answer.kind !== 'found') {
    const note =
      answer.kind === 'none'
        ? `DNS lists no server under ${name} (${answer.detail}): the servers stay as they are`
        : `DNS has no answer about ${name} (${answer.detail}): the servers stay as they are`;
    return { opinion: null, notes: [note], members: null };
  }
  const members = placesIn(answer.records).flatMap((record): Member[] => {
    const at = record.port ?? port;
    // A target with port 0 says that the service is not there.
    if (at === null || at === 0) return [];
    return [{ address: { host: record.host, port: at }, name: null, host: record.name }];
  });
  const distinct = new Map(members.map(member => [formatAddress(member.address), member]));
  // By address: answers come in any order, and the same ones must give the same servers.
  const sorted = [...distinct].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, member]) => member);
  return { opinion: null, notes: [], members: sorted };
}

/**
 * One family only: a machine with an IPv4 and an IPv6 address would be two servers, both of them writable. A target of SRV
 * records is one server, at the same of its addresses whatever their order.
 */
function placesIn(records: readonly DnsRecord[]): readonly DnsRecord[] {
  const targets = new Map<string, DnsRecord[]>();
  for (const record of records) {
    const key = `${record.name} ${record.port}`;
    targets.set(key, [...(targets.get(key) ?? []), record]);
  }
  return [...targets.values()].flatMap(group => {
    const four = group.filter(({ host }) => !host.includes(':'));
    const family = (four.length > 0 ? four : group).sort((a, b) => (a.host < b.host ? -1 : 1));
    return family[0]?.port === null ? family : family.slice(0, 1);
  });
}
