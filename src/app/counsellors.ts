// Who is asked about a backend beside its servers, and how their words become one counsel: the table from configuration to
// clients. What is done with the counsel is up to the caller: orchestrators.ts, and `pointsman check --live`.

import { type BackendConfig, type DnsConfig } from '../config/schema.ts';
import { formatAddress, type Address } from '../core/address.ts';
import { type Clock } from '../core/clock.ts';
import { DnsClient } from '../health/probers/dns/client.ts';
import { PatroniClient } from '../health/probers/patroni/client.ts';
import { PgafClient } from '../health/probers/pg-auto-failover/client.ts';
import { SentinelClient } from '../health/probers/sentinel/client.ts';
import { type Counsel } from '../topology/sources/counsel.ts';
import { dnsCounsel } from '../topology/sources/dns.ts';
import { patroniCounsel, type PatroniWord } from '../topology/sources/patroni.ts';
import { pgafCounsel } from '../topology/sources/pg-auto-failover.ts';
import { sentinelCounsel, type SentinelWord } from '../topology/sources/sentinel.ts';

/** One that is asked, over sessions of its own. */
export interface Counsellor {
  start(): void;
  stop(): void;
  askNow(): void;
}

export type Follow = (counsel: Counsel) => void;

/** Empty where nobody is asked. `follow` is called at every new word, from when all have had their say on. */
export function createCounsellors(
  config: BackendConfig,
  dns: DnsConfig,
  clock: Clock,
  follow: Follow,
): readonly Counsellor[] {
  const { dns: discovery } = config;
  if (discovery !== null) {
    const question = { name: discovery.name, type: discovery.type };
    return [new DnsClient({ question, dns, clock }, answer => follow(dnsCounsel(discovery, answer)))];
  }
  switch (config.protocol) {
    case 'redis':
      return sentinels(config, clock, follow);
    case 'postgres':
      return [...monitors(config, clock, follow), ...patronis(config, clock, follow)];
    default:
      return [];
  }
}

type RedisBackend = Extract<BackendConfig, { protocol: 'redis' }>;
type PostgresBackend = Extract<BackendConfig, { protocol: 'postgres' }>;

function sentinels(
  { sentinel, check }: RedisBackend,
  clock: Clock,
  follow: Follow,
): readonly SentinelClient[] {
  if (sentinel === null) return [];
  const { addresses } = sentinel;
  const hear = gather<SentinelWord>(addresses, words => follow(sentinelCounsel(words, clock.now())));
  return addresses.map(address => {
    const name = formatAddress(address);
    return new SentinelClient({ address, sentinel, ...check, clock }, (answer, detail) =>
      hear(address, { sentinel: name, answer, detail }),
    );
  });
}

function patronis(
  { patroni, check }: PostgresBackend,
  clock: Clock,
  follow: Follow,
): readonly PatroniClient[] {
  if (patroni === null) return [];
  const { addresses } = patroni;
  const hear = gather<PatroniWord>(addresses, words => follow(patroniCounsel(words, clock.now())));
  const { intervalMs, fastIntervalMs, timeoutMs } = check;
  return addresses.map(address => {
    const endpoint = formatAddress(address);
    const options = { address, tls: patroni.tls, intervalMs, fastIntervalMs, timeoutMs, clock };
    return new PatroniClient(options, (answer, detail) => hear(address, { endpoint, answer, detail }));
  });
}

function monitors(
  { pgAutoFailover, check }: PostgresBackend,
  clock: Clock,
  follow: Follow,
): readonly PgafClient[] {
  if (pgAutoFailover === null) return [];
  const { intervalMs, fastIntervalMs, timeoutMs } = check;
  const monitor = formatAddress(pgAutoFailover.monitor);
  const options = { monitor: pgAutoFailover, intervalMs, fastIntervalMs, timeoutMs, clock };
  return [
    new PgafClient(options, (answer, detail) =>
      follow(pgafCounsel({ monitor, answer, detail }, clock.now())),
    ),
  ];
}

/** Before all have spoken or had their time to, the first word could be that of the one that is wrong. */
function gather<Word>(
  addresses: readonly Address[],
  follow: (words: readonly Word[]) => void,
): (from: Address, word: Word) => void {
  const words = new Map<string, Word>();
  return (from, word) => {
    words.set(formatAddress(from), word);
    if (words.size === addresses.length) follow([...words.values()]);
  };
}
