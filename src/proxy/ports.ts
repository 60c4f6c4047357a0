// Where the ports of a changed configuration come from: kept, taken over from a frontend that gives its port up, or opened.
// Pure. Asked by proxy.ts and, for the sockets that it opens for its workers, by drivers/kernel/pool.ts.

import { type Config } from '../config/schema.ts';
import { formatAddress } from '../core/address.ts';

type Frontends = Config['frontends'];

/** `from`: the frontend, perhaps the same, that has the port now; `null`: it is to be opened. */
export type PortPlan = ReadonlyMap<string, { readonly from: string | null }>;

/** Two frontends may swap their ports: a port is asked of the system only where none of ours has it. */
export function planPorts(before: Frontends, after: Frontends): PortPlan {
  const holders = new Map<string, string>();
  for (const [name, { bind }] of Object.entries(before)) {
    // Who asked for any port keeps the one it got, and nobody else asked for that.
    if (bind.port !== 0) holders.set(formatAddress(bind), name);
  }
  return new Map(
    Object.entries(after).map(([name, { bind }]) => {
      const own = before[name];
      if (own !== undefined && formatAddress(own.bind) === formatAddress(bind)) return [name, { from: name }];
      return [name, { from: holders.get(formatAddress(bind)) ?? null }];
    }),
  );
}
