// Joins the Sentinels of the Redis backends to the topology: their answers become its opinion and, where the servers aren't
// configured, its members; what they name is probed at once. No weighing here (topology/sources/sentinel.ts does that).
// Owned by app.

import { type BackendConfig, type Config } from '../config/schema.ts';
import { formatAddress, type Address } from '../core/address.ts';
import { type Clock } from '../core/clock.ts';
import { type Logger } from '../core/logger.ts';
import { SentinelClient } from '../health/probers/sentinel/client.ts';
import {
  assignSlots,
  membersOf,
  opinionOf,
  slotNames,
  type SentinelWord,
} from '../topology/sources/sentinel.ts';
import { type Topology } from '../topology/topology.ts';
import { isLearned, type Monitors } from './monitors.ts';

/** Of every learned server: there is nothing to tell them apart by. */
const WEIGHT = 100;

export interface SentinelDeps {
  readonly topology: Topology;
  readonly clock: Clock;
  readonly log: Logger;
  readonly askNow: Monitors['askNow'];
}

export interface Sentinels {
  start(): void;
  stop(): void;
}

export function createSentinels(config: Config, deps: SentinelDeps): Sentinels {
  const clients = Object.entries(config.backends).flatMap(([name, backend]) =>
    backend.protocol === 'redis' ? clientsOf(name, backend, deps) : [],
  );
  return {
    start: () => clients.forEach(client => client.start()),
    stop: () => clients.forEach(client => client.stop()),
  };
}

type RedisBackend = Extract<BackendConfig, { protocol: 'redis' }>;

function clientsOf(backend: string, config: RedisBackend, deps: SentinelDeps): readonly SentinelClient[] {
  const { sentinel, check } = config;
  if (sentinel === null) return [];
  const words = new Map<string, SentinelWord | null>(
    sentinel.addresses.map(address => [formatAddress(address), null]),
  );
  const follow = createFollower(backend, config, deps);
  return sentinel.addresses.map(address => {
    const name = formatAddress(address);
    return new SentinelClient({ address, sentinel, ...check, clock: deps.clock }, (answer, detail) => {
      words.set(name, { sentinel: name, answer, detail });
      const heard = [...words.values()].filter(word => word !== null);
      // Before all have spoken or had their time to, the first word could be that of the one that is wrong.
      if (heard.length === words.size) follow(heard);
    });
  });
}

/** Brings what changed to those it concerns. */
function createFollower(
  backend: string,
  config: RedisBackend,
  { topology, clock, log, askNow }: SentinelDeps,
): (words: readonly SentinelWord[]) => void {
  const names = slotNames(config.sentinel?.maxServers ?? 0);
  let slots: ReadonlyMap<string, Address> = new Map();
  let before: string | null = null;
  let saidBefore: string | null = null;
  let notesBefore: readonly string[] = [];

  function learn(words: readonly SentinelWord[]): readonly string[] {
    const listed = membersOf(words);
    if (!isLearned(config) || listed.length === 0) return [];
    const { taken, left } = assignSlots(slots, listed, names);
    slots = taken;
    topology.setMembers(
      backend,
      [...taken].map(([name, address]) => ({ name, address, weight: WEIGHT })),
    );
    return left.map(address => `${formatAddress(address)} is left out: max_servers is ${names.length}`);
  }

  function name({ host, port }: Address): void {
    const { servers } = topology.view(backend);
    const server = servers.find(({ address }) => address.host === host && address.port === port);
    if (server !== undefined) askNow(backend, server.name);
  }

  return words => {
    const left = learn(words);
    const { opinion, notes } = opinionOf(words, clock.now());
    const all = [...notes, ...left];
    for (const note of all.filter(text => !notesBefore.includes(text))) log.warn({ backend }, note);
    for (const note of notesBefore.filter(text => !all.includes(text))) {
      log.info({ backend }, `no more: ${note}`);
    }
    notesBefore = all;
    const now = opinion && `${opinion.source} name ${formatAddress(opinion.primary)}`;
    const said = now ?? 'the Sentinels name nobody';
    const key = `${said} ${opinion?.process}`;
    if (key === before) return;
    before = key;
    if (said !== saidBefore) log.info({ backend }, said);
    saidBefore = said;
    topology.reportOpinion(backend, opinion);
    if (opinion !== null) name(opinion.primary);
  };
}
