// How long a successor waits before it takes clients: until it could give them a server at once, or nobody could.
// Its predecessor serves meanwhile, so nobody is held for the sake of a restart. Called by app.ts.

import { type Clock } from '../core/clock.ts';
import { type Proxy } from '../proxy/proxy.ts';
import { type Topology } from '../topology/topology.ts';

/** A server that is silent is down after `fall` timeouts: two seconds with the defaults. */
const WARM_MAX_MS = 5000;

export function warmedUp(
  proxy: Pick<Proxy, 'frontends'>,
  topology: Pick<Topology, 'view' | 'changes'>,
  clock: Clock,
): Promise<void> {
  const isWarm = (): boolean =>
    proxy.frontends().every(({ available, backend }) => {
      const { servers } = topology.view(backend);
      return available || (servers.length > 0 && servers.every(({ health }) => health.kind !== 'unknown'));
    });
  return new Promise(resolve => {
    const end = (): void => {
      timer.cancel();
      unsubscribe();
      resolve();
    };
    const timer = clock.schedule(WARM_MAX_MS, end);
    const unsubscribe = topology.changes.subscribe(() => {
      if (isWarm()) end();
    });
  });
}
