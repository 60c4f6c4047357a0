// The built CLI in front of the made-up Redis servers: started, verified, watched from outside, failed over. What it is told is
// a file, what it says comes from its admin port, and what it costs from /proc. Used by built.ts.

import { readdirSync, readlinkSync } from 'node:fs';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { formatAddress, type Address } from '../../src/core/address.ts';
import { runPointsman, type PointsmanProcess } from '../../test/support/pointsman.ts';
import { until } from '../../test/support/wait.ts';
import { Client, whoAnswers } from './client.ts';
import { Events } from './events.ts';
import { addressOf, runIdOf, SERVERS, startRedisServers, type RedisServers } from './servers.ts';

/** Of the failovers of one run; milliseconds from each backend's own. */
export interface Failovers {
  /** To the new primary in the stream of events. */
  readonly knownMs: readonly number[];
  /** To the first answer of the new primary to a client that had a session to the old one. */
  readonly servedMs: readonly number[];
  /** Backends that nothing happened to, and whose primary was another one, or nobody, for a while. */
  readonly disturbed: number;
}

const SETTLE_MAX_MS = 60_000;
const NEWCOMERS_AT_ONCE = 50;

export class RealFleet {
  readonly pointsman: PointsmanProcess;
  readonly #servers: RedisServers;
  /** By backend: the member that should be primary. */
  readonly #primaries: number[];

  private constructor(pointsman: PointsmanProcess, servers: RedisServers, backends: number) {
    this.pointsman = pointsman;
    this.#servers = servers;
    this.#primaries = Array.from({ length: backends }, () => 0);
  }

  static async start(backends: number): Promise<RealFleet> {
    const port = await freePort();
    const servers = await startRedisServers(backends, port);
    try {
      const pointsman = await runPointsman(configOf(backends, port));
      return new RealFleet(pointsman, servers, backends);
    } catch (thrown) {
      await servers.stop();
      throw thrown;
    }
  }

  async stop(): Promise<void> {
    await this.pointsman.stop();
    await this.#servers.stop();
  }

  /** Waits until each backend has the right primary and two replicas; then each frontend must lead to that primary. */
  async verify(): Promise<void> {
    const wanted = this.#primaries.map(member => `r${member + 1}`);
    await until(
      'each backend to have its primary and replicas',
      async () => {
        const { backends } = await this.pointsman.state();
        return backends.every(({ primary, servers, split_brain: splitBrain }, index) => {
          const replicas = servers.filter(({ replicating }) => replicating === true);
          return primary === wanted[index] && !splitBrain && replicas.length === SERVERS - 1;
        });
      },
      { deadlineMs: SETTLE_MAX_MS, everyMs: 250 },
    );
    for (let from = 0; from < wanted.length; from += NEWCOMERS_AT_ONCE) {
      const indexes = [...wanted.keys()].slice(from, from + NEWCOMERS_AT_ONCE);
      await Promise.all(indexes.map(index => this.#verifyFrontend(index)));
    }
  }

  /** Sockets that the process has open. */
  sockets(): number {
    const directory = `/proc/${this.pointsman.pid}/fd`;
    return readdirSync(directory).filter(fd => {
      try {
        return readlinkSync(`${directory}/${fd}`).startsWith('socket:');
      } catch {
        return false; // closed since the listing
      }
    }).length;
  }

  /** Of these backends, each watched by a client if it is among `watched`; spread over `spreadMs`, or all at once. */
  async failOver(
    indexes: readonly number[],
    { crash, spreadMs, watched }: { crash: boolean; spreadMs: number; watched: ReadonlySet<number> },
  ): Promise<Failovers> {
    const events = await Events.open(this.pointsman.admin);
    const clients = new Map([...watched].map(index => [index, new Client(this.#frontend(index))] as const));
    try {
      await until('the clients to have sessions', () =>
        [...clients.values()].every(c => c.reached.length > 0),
      );
      const at = new Map<number, number>();
      const groups = spreadMs === 0 ? [indexes] : indexes.map(index => [index]);
      for (const group of groups) {
        for (const index of group) this.#primaries[index] = (this.#primaries[index]! + 1) % SERVERS;
        const times = await this.#servers.failOver(group, crash);
        group.forEach((index, position) => at.set(index, times[position]!));
        if (spreadMs > 0) await new Promise(resolve => setTimeout(resolve, spreadMs / groups.length));
      }
      const known = (index: number): number | undefined =>
        events.primaries.find(
          event => event.backend === `app-${index}` && event.primary === `r${this.#primaries[index]! + 1}`,
        )?.at;
      const served = (index: number): number | undefined =>
        clients.get(index)?.reached.find(({ runId }) => runId === runIdOf(index, this.#primaries[index]!))
          ?.at;
      await until('each client to reach its new primary', () => [...watched].every(served), { everyMs: 50 });
      const everyKnown = (): boolean => indexes.every(index => known(index) !== undefined);
      await until('an event of each new primary', () => events.failure !== null || everyKnown(), {
        everyMs: 250,
      });
      if (events.failure !== null) throw new Error(events.failure);
      const struck = new Set(indexes.map(index => `app-${index}`));
      const disturbed = events.primaries.filter(
        ({ backend, primary }) => !struck.has(backend) && primary !== this.#nameOf(backend),
      );
      const since = (index: number, moment: number | undefined): number => moment! - at.get(index)!;
      return {
        knownMs: indexes.map(index => since(index, known(index))),
        servedMs: [...watched].map(index => since(index, served(index))),
        disturbed: new Set(disturbed.map(({ backend }) => backend)).size,
      };
    } finally {
      for (const client of clients.values()) client.stop();
      await events.stop();
      await this.#servers.revive();
    }
  }

  async #verifyFrontend(index: number): Promise<void> {
    const runId = await whoAnswers(this.#frontend(index));
    const wanted = runIdOf(index, this.#primaries[index]!);
    if (runId !== wanted) throw new Error(`the frontend of app-${index} leads to ${runId}, not to ${wanted}`);
  }

  /** Of the member that should be its primary. */
  #nameOf(backend: string): string {
    return `r${this.#primaries[Number(backend.slice('app-'.length))]! + 1}`;
  }

  #frontend(index: number): Address {
    return this.pointsman.frontend(`rw-${index}`);
  }
}

function configOf(count: number, port: number): object {
  const indexes = Array.from({ length: count }, (_, index) => index);
  const servers = (index: number): object =>
    Object.fromEntries(
      Array.from({ length: SERVERS }, (_, member) => [
        `r${member + 1}`,
        formatAddress(addressOf(index, member, port)),
      ]),
    );
  return {
    frontends: Object.fromEntries(
      indexes.map(index => [`rw-${index}`, { bind: '127.0.0.1:0', backend: `app-${index}` }]),
    ),
    backends: Object.fromEntries(
      indexes.map(index => [`app-${index}`, { protocol: 'redis', servers: servers(index) }]),
    ),
  };
}
