// Looks at the backends without serving anybody: the topology of a running Pointsman, its probes and its orchestrators, but no
// port and no memory. For commands that need to know who the primary is. Called by `pointsman backup`.

import { type Config } from '../config/schema.ts';
import { type Clock } from '../core/clock.ts';
import { type Logger } from '../core/logger.ts';
import { type Random } from '../core/random.ts';
import { createMetrics } from '../metrics/metrics.ts';
import { Topology } from '../topology/topology.ts';
import { type BackendView } from '../topology/model.ts';
import { backendSpecs, createMonitors, type Monitors } from './monitors.ts';
import { createOrchestrators } from './orchestrators.ts';
import { Resolver } from './resolver.ts';

export interface OnlookerDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly version: string;
  readonly node: string;
}

/** Watches until `isEnough` says so of a backend's view or the time is over, and gives the view of that moment; then ends. */
export async function lookAt(
  config: Config,
  backend: string,
  isEnough: (view: BackendView) => boolean,
  maxMs: number,
  { clock, random, log, version, node }: OnlookerDeps,
): Promise<BackendView> {
  const specs = backendSpecs(config);
  const topology = new Topology(specs, clock);
  const askNow: Monitors['askNow'] = (...server) => {
    monitors.askNow(...server);
    resolver.askNow(...server);
  };
  const metrics = createMetrics({ version, node });
  const resolver = new Resolver(specs, {
    topology,
    dns: config.dns,
    frontends: config.frontends,
    clock,
    log,
    metrics,
  });
  const monitors = createMonitors(config, topology, clock, random, resolver.proberFor);
  const orchestrators = createOrchestrators(config, { topology, resolver, clock, log, askNow });
  monitors.start();
  resolver.start();
  orchestrators.start();
  try {
    return await new Promise<BackendView>(resolve => {
      const done = (): void => {
        limit.cancel();
        unsubscribe();
        resolve(topology.view(backend));
      };
      const limit = clock.schedule(maxMs, done);
      const unsubscribe = topology.changes.subscribe(({ after }) => {
        if (after.name === backend && isEnough(after)) done();
      });
    });
  } finally {
    orchestrators.stop();
    resolver.stop();
    monitors.stop();
  }
}
