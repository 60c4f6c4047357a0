// Chooses what moves the bytes: the kernel driver in worker threads where it runs, else node:net on the main thread.
// Called by app.ts. What is chosen, and why not the other, is said in one log line.

import { availableParallelism } from 'node:os';
import { type Config } from '../config/schema.ts';
import { PointsmanError } from '../core/errors.ts';
import { type Logger } from '../core/logger.ts';
import { type CreateBeside } from '../proxy/drivers/kernel/beside.ts';
import { loadLibc } from '../proxy/drivers/kernel/libc.ts';
import { WorkerPool } from '../proxy/drivers/kernel/pool.ts';
import { createNetDriver } from '../proxy/drivers/net/driver.ts';
import { type TlsTerms } from '../proxy/drivers/net/handshake.ts';
import { type EngineObserver } from '../proxy/events.ts';
import { createProxy, type Proxy, type ProxyDeps } from '../proxy/proxy.ts';
import { type Topology } from '../topology/topology.ts';

/** Beyond this the main thread, which probes and logs, is what runs out first. */
const WORKERS_MAX = 8;

export interface EngineDeps extends Pick<ProxyDeps, 'clock' | 'random' | 'inherited'> {
  readonly topology: Topology;
  readonly observer: EngineObserver;
  readonly log: Logger;
  readonly tls: TlsTerms;
}

/** Resolves to how the proxy is made. Rejects with ENGINE_UNAVAILABLE when the config insists on what doesn't run here. */
export async function chooseEngine({ engine, frontends }: Config): Promise<(deps: EngineDeps) => Proxy> {
  const loaded = engine.driver === 'net' ? null : await loadLibc();
  if (loaded !== null && loaded.ok) {
    const { libc } = loaded;
    const workers = engine.workers ?? Math.min(WORKERS_MAX, Math.max(1, availableParallelism() - 1));
    return ({ log, tls, ...deps }) => {
      log.info({ driver: 'kernel', workers }, 'data plane: kernel driver');
      const namesOf = (backend: string): readonly string[] => deps.topology.names(backend);
      const createBeside: CreateBeside = beside =>
        createProxy({ ...deps, ...beside, driver: createNetDriver(deps.clock, tls) });
      const { io } = engine;
      return new WorkerPool({ ...deps, frontends, namesOf, libc, workers, io, createBeside });
    };
  }
  if (engine.driver === 'kernel' && loaded !== null) {
    throw new PointsmanError(
      'ENGINE_UNAVAILABLE',
      `engine.driver kernel does not run here: ${loaded.reason}`,
    );
  }
  return ({ log, tls, ...deps }) => {
    if (loaded === null) log.info({ driver: 'net' }, 'data plane: net driver, as configured');
    else
      log.warn({ driver: 'net', reason: loaded.reason }, `data plane: net driver; kernel does not run here`);
    return createProxy({ ...deps, frontends, driver: createNetDriver(deps.clock, tls) });
  };
}
