// The same Pointsman once on each engine, all before the same servers: what holds of one must hold of all, and what happens
// to the servers happens to all of them at once. For tests with clients of other makers.

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { type Address } from '../../src/core/address.ts';
import { runPointsman, type PointsmanProcess } from './pointsman.ts';
import { until } from './wait.ts';

const engines = {
  net: { driver: 'net' },
  kernel: { driver: 'kernel' },
  'kernel on epoll': { driver: 'kernel', io: 'epoll' },
} as const;

export type EngineName = keyof typeof engines;
const engineNames = Object.keys(engines) as EngineName[];

export interface Member {
  readonly engine: EngineName;
  readonly pointsman: PointsmanProcess;
  at(frontend: string): Address;
}

export class Fleet {
  readonly members: readonly Member[];

  private constructor(members: readonly Member[]) {
    this.members = members;
  }

  /** Starts one of each and waits until every frontend has a server. Binds are filled in. */
  static async start(config: {
    readonly frontends: Readonly<Record<string, object>>;
    readonly backends: object;
  }): Promise<Fleet> {
    const frontends = Object.fromEntries(
      Object.entries(config.frontends).map(([name, own]) => [name, { bind: '127.0.0.1:0', ...own }]),
    );
    const started = await Promise.allSettled(
      engineNames.map(async engine => {
        const pointsman = await runPointsman({ ...config, engine: engines[engine], frontends });
        return { engine, pointsman, at: (name: string) => pointsman.frontend(name) };
      }),
    );
    const fleet = new Fleet(started.flatMap(each => (each.status === 'fulfilled' ? [each.value] : [])));
    try {
      for (const each of started) if (each.status === 'rejected') throw each.reason;
      await fleet.untilReady();
      for (const { engine, pointsman } of fleet.members) assertRunsOn(engine, pointsman);
    } catch (thrown) {
      await fleet.stop();
      throw thrown;
    }
    return fleet;
  }

  of(engine: EngineName): Member {
    return this.members.find(member => member.engine === engine) ?? assert.fail(`nobody runs on ${engine}`);
  }

  /** Does the same with all of them, at the same time. */
  async each<T>(use: (member: Member) => Promise<T>): Promise<readonly T[]> {
    return Promise.all(this.members.map(use));
  }

  /** Every frontend of every member has a server to give. */
  async untilReady(): Promise<void> {
    await this.each(({ pointsman, engine }) =>
      until(`every frontend on ${engine} to have a server`, async () => {
        return (await fetch(`${pointsman.admin}/readyz`)).ok;
      }),
    );
  }

  /** Nobody has a client any more, or a session at a server. */
  async untilEmpty(): Promise<void> {
    await this.each(({ pointsman, engine }) =>
      until(`all clients on ${engine} to be gone`, async () => {
        const { frontends, backends } = await pointsman.state();
        const atServers = backends.flatMap(({ servers }) => servers.map(({ sessions }) => sessions));
        return [...atServers, ...frontends.map(({ connections, held }) => connections + held)].every(
          count => count === 0,
        );
      }),
    );
  }

  async stop(): Promise<void> {
    await this.each(({ pointsman }) => pointsman.stop());
  }
}

/** A kernel driver that quietly ran as something else would be tested twice, and not at all. */
function assertRunsOn(engine: EngineName, pointsman: PointsmanProcess): void {
  const line = pointsman.log().find(({ msg }) => String(msg).startsWith('data plane'));
  assert.equal(line?.['driver'], engines[engine].driver, `${engine}: ${JSON.stringify(line)}`);
}

/** One test for each engine, its name in front. */
export function onEachEngine(
  title: string,
  fleet: () => Fleet,
  body: (member: Member, t: TestContext) => Promise<void>,
): void {
  for (const engine of engineNames) test(`${engine}: ${title}`, t => body(fleet().of(engine), t));
}
