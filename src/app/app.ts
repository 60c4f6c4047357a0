// The composition root: builds topology, monitors, proxy, metrics and admin server, joins them, starts and ends them.
// No logic of its own but the order of things.

import { type Address, formatAddress } from '../core/address.ts';
import { adminRoutes } from '../admin/routes.ts';
import { startAdminServer, type AdminServer } from '../admin/server.ts';
import { type Config } from '../config/schema.ts';
import { type Clock } from '../core/clock.ts';
import { type Logger } from '../core/logger.ts';
import { type Random } from '../core/random.ts';
import { createGauges } from '../metrics/gauges.ts';
import { createMetrics } from '../metrics/metrics.ts';
import { incidentMetrics, revisedLossMetrics, topologyMetrics } from '../metrics/observers.ts';
import { describeChange } from '../topology/describe.ts';
import { type Proxy } from '../proxy/proxy.ts';
import { IncidentRecorder, type Incident } from '../topology/incidents.ts';
import { hasRoles, type BackendChange } from '../topology/model.ts';
import { Topology } from '../topology/topology.ts';
import { chooseEngine } from './engine.ts';
import { backendSpecs, createMonitors, type Monitors } from './monitors.ts';
import { createOrchestrators } from './orchestrators.ts';
import { createProxyObserver } from './proxy-observer.ts';
import { Resolver } from './resolver.ts';
import { StateFile } from './state-file.ts';

export interface AppDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly version: string;
  readonly node: string;
}

export interface App {
  readonly admin: Address;
  /** Bound addresses by frontend name (they differ from the config where it says port 0). */
  readonly frontends: ReadonlyMap<string, Address>;
  readonly topology: Topology;
  readonly incidents: IncidentRecorder;
  /** Stops accepting, lets sessions end until the deadline, closes the rest, then everything else. */
  drain(deadlineMs: number): Promise<void>;
  /** Ends everything now. */
  close(): Promise<void>;
}

/** Opens every socket or none: a failed bind closes what was opened and throws BIND_FAILED. The state file's errors come first. */
export async function startApp(config: Config, { clock, random, log, version, node }: AppDeps): Promise<App> {
  const createEngine = await chooseEngine(config);
  const specs = backendSpecs(config);
  const stateFile = config.stateFile === null ? null : await StateFile.open(config.stateFile, { clock, log });
  const topology = new Topology(specs, clock, stateFile?.saved);
  const incidents = new IncidentRecorder(clock);
  const metrics = createMetrics({ version, node });
  // The order is the contract: the incident is on record before the proxy closes sessions and counts them into it.
  topology.changes.subscribe(change => incidents.observe(change));
  // The monitors are made last: they report into all of this.
  const askNow: Monitors['askNow'] = (...server) => {
    monitors.askNow(...server);
    resolver.askNow(...server);
  };
  const observer = createProxyObserver(metrics, incidents, log, askNow);
  const proxy = createEngine({ topology, clock, random, observer, log });
  const sessionsOf: Proxy['sessionsOf'] = (...of) => proxy.sessionsOf(...of);
  const live = { views: () => topology.views(), frontends: () => proxy.frontends(), sessionsOf };
  const gauges = createGauges(metrics, live, clock);
  topology.changes.subscribe(change => gauges.observe(change));
  topology.changes.subscribe(topologyMetrics(metrics));
  topology.changes.subscribe(change => logChange(log, change));
  incidents.ended.subscribe(incidentMetrics(metrics));
  incidents.revised.subscribe(revisedLossMetrics(metrics));
  incidents.revised.subscribe(incident => logRevision(log, incident));
  incidents.ended.subscribe(incident => logIncident(log, incident));
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

  let admin: AdminServer | undefined;
  async function close(): Promise<void> {
    orchestrators.stop();
    resolver.stop();
    monitors.stop();
    await proxy.close();
    await admin?.close();
    await stateFile?.close();
  }
  try {
    const state = { ...live, version, startedAt: new Date(clock.wall()).toISOString(), clock };
    const source = {
      config,
      topology,
      proxy,
      log,
      state,
      metrics,
      refreshMetrics: () => gauges.refresh(),
      incidents: () => incidents.list(),
    };
    admin = await startAdminServer(config.admin.bind, adminRoutes(source), log);
    await proxy.listen();
  } catch (thrown) {
    await close();
    throw thrown;
  }
  // Followed last: whoever serves clients has heard of a change before it is written.
  stateFile?.follow(topology, () => metrics.stateFileErrors.inc());
  monitors.start();
  resolver.start();
  orchestrators.start();
  const frontends = new Map(proxy.frontends().map(({ name, bind }) => [name, bind]));
  log.info(
    {
      version,
      admin: formatAddress(admin.address),
      frontends: Object.fromEntries([...frontends].map(([name, bind]) => [name, formatAddress(bind)])),
    },
    'pointsman runs',
  );
  return {
    admin: admin.address,
    frontends,
    topology,
    incidents,
    async drain(deadlineMs) {
      await proxy.drain(deadlineMs);
      await close();
    },
    close,
  };
}

function logChange(log: Logger, change: BackendChange): void {
  const { before, after } = change;
  const vacant = hasRoles(after.protocol) && after.primary === null;
  const known = new Set(before.faults.map(({ server, code }) => `${server} ${code}`));
  const faulty = after.faults.some(({ server, code }) => !known.has(`${server} ${code}`));
  const disagree = before.disagreement === null && after.disagreement !== null;
  const level = vacant || faulty || disagree || after.splitBrain ? 'warn' : 'info';
  for (const sentence of describeChange(change)) {
    log[level]({ backend: after.name, primary: after.primary, epoch: after.epoch }, sentence);
  }
  if (before.epoch !== after.epoch && after.splitBrain) {
    log.warn({ backend: after.name, reasons: after.reasons }, 'chosen among several writable servers');
  }
}

function logIncident(log: Logger, incident: Incident): void {
  const { id, backend, outcome, oldPrimary, newPrimary, durationMs, sessionsClosed, loss } = incident;
  log.warn(
    { incident: id, backend, outcome, oldPrimary, newPrimary, durationMs, sessionsClosed, loss: loss?.words },
    'incident ended: the backend has a primary again',
  );
}

function logRevision(log: Logger, { id, backend, loss }: Incident): void {
  log.warn({ incident: id, backend, loss: loss?.words }, 'more is known of what an incident lost');
}
