// Who is measured: a proxy that is put in front of some servers for one round. Here the interface and Pointsman; HAProxy has
// a file of its own. Called by run.ts.

import { formatAddress, type Address } from '../../src/core/address.ts';
import { type WriterTarget } from '../../src/cli/demo/ledger-writer.ts';
import { runPointsman } from '../../test/support/pointsman.ts';
import { until } from '../../test/support/wait.ts';

interface FleetNode {
  readonly name: string;
  readonly address: Address;
  /** Of its Patroni. */
  readonly rest?: Address;
}

/** The servers of one round. */
export interface Fleet {
  readonly nodes: readonly FleetNode[];
  /** Name of the one that is the primary now; the others are its standbys. */
  readonly primary: string;
  /** How an application connects: through a proxy’s port, or straight to a node. */
  target(through: Address): WriterTarget;
  /** What Pointsman is told beside the servers: keys of its backend. */
  readonly backend: object;
}

export interface RunningProxy {
  /** Where applications reach the primary. */
  readonly port: Address;
  /** Ends every process, thread and file of it. */
  stop(): Promise<void>;
}

export interface Contender {
  readonly name: string;
  /** Resolves when it knows which of the servers is the primary. */
  start(fleet: Fleet): Promise<RunningProxy>;
}

/** As installed: no setting but where the servers are, and who manages them. */
export const pointsman: Contender = {
  name: 'Pointsman',
  async start({ nodes, primary, backend }) {
    const servers = nodes.map(({ name, address }) => [name, formatAddress(address)] as const);
    const running = await runPointsman({
      frontends: { 'app-rw': { bind: '127.0.0.1:0', backend: 'app' } },
      backends: { app: { protocol: 'postgres', servers: Object.fromEntries(servers), ...backend } },
    });
    try {
      await until(`${primary} to be primary and the others to stream`, async () => {
        const [seen] = (await running.state()).backends;
        const others = seen?.servers.filter(({ name }) => name !== primary) ?? [];
        return seen?.primary === primary && others.every(({ replicating }) => replicating === true);
      });
    } catch (thrown) {
      await running.stop();
      throw thrown;
    }
    return { port: running.frontend('app-rw'), stop: () => running.stop() };
  },
};
