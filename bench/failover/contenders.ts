// Who is measured: a proxy that is put in front of a pair of servers for one round. Here the interface and Pointsman;
// HAProxy has a file of its own. Called by run.ts.

import { type Address } from '../../src/core/address.ts';
import { startPointsman, type Servers } from '../../test/support/pair.ts';

export interface RunningProxy {
  /** Where applications reach the primary. */
  readonly port: Address;
  /** Ends every process, thread and file of it. */
  stop(): Promise<void>;
}

export interface Contender {
  readonly name: string;
  /** Resolves when it knows which of the two is the primary. */
  start(servers: Servers): Promise<RunningProxy>;
}

/** As installed: no setting but where the servers are. */
export const pointsman: Contender = {
  name: 'Pointsman',
  async start(servers) {
    const running = await startPointsman(servers);
    return { port: running.frontend('app-rw'), stop: () => running.stop() };
  },
};
