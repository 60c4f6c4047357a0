// One question to DNS: the addresses of a name, or the servers that SRV records list, with the address of each.
// Asks the configured DNS servers (RFC 1035; SRV: RFC 2782), or the system (getaddrinfo, which reads /etc/hosts as well).
// No schedule and no meaning for servers: client.ts beside this, topology/sources. Never rejects, and keeps to its time.

import { lookup, type LookupAddress } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import { type DnsConfig } from '../../../config/schema.ts';
import { formatAddress } from '../../../core/address.ts';
import { type Clock } from '../../../core/clock.ts';
import { describeError } from '../../../core/errors.ts';
import { DNS_ADDRESSES_MAX, DNS_TARGETS_MAX, LOOKUPS_MAX, truncate } from '../../../core/limits.ts';
import { type DnsAnswer, type DnsRecord } from '../../result.ts';

export interface DnsQuestion {
  readonly name: string;
  readonly type: 'a' | 'srv';
}

/** The addresses of one name, of one family or of both. */
type Hosts =
  | { readonly kind: 'found'; readonly hosts: readonly string[]; readonly ttlMs: number | null }
  | { readonly kind: 'none' | 'failed'; readonly detail: string };

type Refusal = Exclude<Hosts, { kind: 'found' }>;

/** A first round of all servers, and a second one of twice the time each. */
const TRIES = 2;
const SHARES_OF_TIME = 3;

/** What says that there is nothing, and not that nobody answers. */
const nothing: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA', 'ENONAME']);

export class Lookup {
  readonly #options: Pick<DnsConfig, 'servers' | 'timeoutMs'>;
  readonly #clock: Clock;
  /** What was found last, by name and family: it stands in where one of several questions gets no answer. */
  readonly #found = new Map<string, readonly string[]>();
  #giveUp: () => void = () => undefined;

  constructor(options: Pick<DnsConfig, 'servers' | 'timeoutMs'>, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** Gives up the question under way, which gets no answer then. */
  close(): void {
    this.#giveUp();
  }

  /** One at a time. */
  ask({ name, type }: DnsQuestion): Promise<DnsAnswer> {
    const { servers, timeoutMs } = this.#options;
    const resolver = type === 'srv' || servers.length > 0 ? this.#resolver() : null;
    return new Promise(resolve => {
      const timer = this.#clock.schedule(timeoutMs, () => {
        resolve({ kind: 'failed', detail: `no answer about ${name} within ${timeoutMs} ms` });
        resolver?.cancel();
      });
      this.#giveUp = () => {
        timer.cancel();
        resolver?.cancel();
      };
      const asked =
        resolver !== null && type === 'srv' ? this.#targets(name, resolver) : this.#records(name, resolver);
      void asked.then(answer => {
        timer.cancel();
        resolve(answer);
      });
    });
  }

  async #records(name: string, resolver: Resolver | null): Promise<DnsAnswer> {
    const answer = await this.#hosts(name, resolver);
    if (answer.kind !== 'found') return answer;
    const records = answer.hosts.map(host => ({ name, host, port: null }));
    return { kind: 'found', records, ttlMs: answer.ttlMs };
  }

  async #targets(name: string, resolver: Resolver): Promise<DnsAnswer> {
    let targets: readonly { readonly name: string; readonly port: number }[];
    try {
      targets = atMost(DNS_TARGETS_MAX, await resolver.resolveSrv(name), target =>
        formatAddress({ host: target.name, port: target.port }),
      );
    } catch (thrown) {
      return refusalOf(thrown);
    }
    const names = [...new Set(targets.map(target => target.name))];
    const answers = new Map(
      await Promise.all(
        names.map(async target => [target, await this.#remembered(target, resolver)] as const),
      ),
    );
    const records = targets.flatMap(({ name: target, port }): DnsRecord[] => {
      const answer = answers.get(target);
      return answer?.kind === 'found' ? answer.hosts.map(host => ({ name: target, host, port })) : [];
    });
    const refusals = [...answers.values()].filter(answer => answer.kind !== 'found');
    const [refusal] = [...refusals.filter(({ kind }) => kind === 'failed'), ...refusals];
    if (records.length === 0) return refusal ?? { kind: 'none', detail: `${name} has no SRV records` };
    return { kind: 'found', records, ttlMs: shortest([...answers.values()]) };
  }

  /** Of a target that nobody answers for, the last that was known. */
  async #remembered(name: string, resolver: Resolver): Promise<Hosts> {
    const answer: Hosts =
      isIP(name) === 0 ? await this.#hosts(name, resolver) : { kind: 'found', hosts: [name], ttlMs: null };
    if (answer.kind === 'found') this.#found.set(name, answer.hosts);
    const hosts = this.#found.get(name);
    return answer.kind === 'failed' && hosts !== undefined ? { kind: 'found', hosts, ttlMs: null } : answer;
  }

  async #hosts(name: string, resolver: Resolver | null): Promise<Hosts> {
    if (resolver === null || this.#options.servers.length === 0) return systemHosts(name);
    const [four, six] = await Promise.all([
      this.#family(name, 4, () => resolver.resolve4(name, { ttl: true })),
      this.#family(name, 6, () => resolver.resolve6(name, { ttl: true })),
    ]);
    if (four.kind === 'found' || six.kind === 'found') {
      // One family that gets no answer takes no address away while the other one does.
      const hosts = [this.#lastOf(name, 4, four), this.#lastOf(name, 6, six)].flat();
      return { kind: 'found', hosts, ttlMs: shortest([four, six]) };
    }
    return four.kind === 'failed' ? four : six;
  }

  #lastOf(name: string, family: 4 | 6, { kind }: Hosts): readonly string[] {
    return kind === 'none' ? [] : (this.#found.get(`${name} ${family}`) ?? []);
  }

  async #family(
    name: string,
    family: 4 | 6,
    ask: () => Promise<readonly { readonly address: string; readonly ttl: number }[]>,
  ): Promise<Hosts> {
    try {
      const records = await ask();
      const hosts = distinct(records);
      this.#found.set(`${name} ${family}`, hosts);
      return { kind: 'found', hosts, ttlMs: 1000 * Math.min(...records.map(({ ttl }) => ttl)) };
    } catch (thrown) {
      return refusalOf(thrown);
    }
  }

  /** Another one for each question: of the system's servers, those of now. */
  #resolver(): Resolver {
    const { servers, timeoutMs } = this.#options;
    const shares = SHARES_OF_TIME * Math.max(1, servers.length);
    const resolver = new Resolver({ timeout: Math.max(1, Math.ceil(timeoutMs / shares)), tries: TRIES });
    if (servers.length > 0) resolver.setServers(servers.map(formatAddress));
    return resolver;
  }
}

const distinct = (records: readonly { readonly address: string }[]): readonly string[] =>
  atMost(DNS_ADDRESSES_MAX, [...new Set(records.map(({ address }) => address))], host => host);

/** The same ones in whatever order they come, or servers would come and go with every answer. */
function atMost<T>(count: number, items: readonly T[], keyOf: (item: T) => string): readonly T[] {
  if (items.length <= count) return items;
  const keyed = items.map(item => ({ key: keyOf(item), item }));
  return keyed
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .slice(0, count)
    .map(({ item }) => item);
}

function shortest(answers: readonly Hosts[]): number | null {
  const known = answers.flatMap(answer => (answer.kind === 'found' ? (answer.ttlMs ?? []) : []));
  return known.length === 0 ? null : Math.min(...known);
}

function refusalOf(thrown: unknown): Refusal {
  const { code, message } = describeError(thrown);
  return { kind: nothing.has(code) ? 'none' : 'failed', detail: truncate(message) };
}

/** By name: what the system looks up, or is to. Who asks for the same waits for the same answer, so they don't pile up. */
const lookups = new Map<string, Promise<Hosts>>();
const waiting: (() => void)[] = [];
let underWay = 0;

function systemHosts(name: string): Promise<Hosts> {
  const asked = lookups.get(name);
  if (asked !== undefined) return asked;
  const answer = new Promise<Hosts>(resolve => {
    waiting.push(() =>
      lookup(name, { all: true }, (error, found) => {
        lookups.delete(name);
        underWay -= 1;
        beginNext();
        resolve(error ? refusalOf(error) : hostsIn(name, found));
      }),
    );
  });
  lookups.set(name, answer);
  beginNext();
  return answer;
}

/** Each look-up takes a thread of the few that files and encryption need as well. */
function beginNext(): void {
  if (underWay >= LOOKUPS_MAX) return;
  const begin = waiting.shift();
  if (begin === undefined) return;
  underWay += 1;
  begin();
}

function hostsIn(name: string, found: readonly LookupAddress[]): Hosts {
  const hosts = distinct(found);
  return hosts.length === 0
    ? { kind: 'none', detail: `${name} has no address` }
    : { kind: 'found', hosts, ttlMs: null };
}
