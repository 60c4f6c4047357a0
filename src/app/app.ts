// The composition root: builds topology, monitors, proxy, metrics and admin server, joins them, starts and ends them.
// No logic of its own but the order of things.

import { type Address, formatAddress } from '../core/address.ts';
import { type ConfigStatus } from '../admin/api.ts';
import { adminRoutes } from '../admin/routes.ts';
import { startAdminServer, type AdminServer } from '../admin/server.ts';
import { type LoadResult } from '../config/load.ts';
import { type ReloadOutcome } from '../config/reload-plan.ts';
import { type Config } from '../config/schema.ts';
import { type Clock } from '../core/clock.ts';
import { type Logger } from '../core/logger.ts';
import { type Random } from '../core/random.ts';
import { forgetLabels } from '../metrics/forget.ts';
import { createGauges } from '../metrics/gauges.ts';
import { createMetrics } from '../metrics/metrics.ts';
import { incidentMetrics, reloadMetrics, revisedLossMetrics, topologyMetrics } from '../metrics/observers.ts';
import { describeChange } from '../topology/describe.ts';
import { type Topic } from '../core/topic.ts';
import { type Inherited, type Waiting } from '../proxy/driver.ts';
import { type Proxy } from '../proxy/proxy.ts';
import { IncidentRecorder, type Incident } from '../topology/incidents.ts';
import { hasRoles, type BackendChange } from '../topology/model.ts';
import { writeState } from '../topology/saved.ts';
import { Topology } from '../topology/topology.ts';
import { ConfigWatch } from './config-watch.ts';
import { directivesOf, keptIn } from '../runbook/runbooks.ts';
import { createBackups } from './backups.ts';
import { chooseEngine } from './engine.ts';
import { type LeveledLogger } from './log.ts';
import { backendSpecs, createMonitors, type Monitors } from './monitors.ts';
import { createOrchestrators } from './orchestrators.ts';
import { createProxyObserver } from './proxy-observer.ts';
import { createRateLimitStore } from './rate-limits/create.ts';
import { type Succession } from './handover.ts';
import { ADMIN_NAME, type InheritedSockets } from './inherited.ts';
import { type Predecessor } from './predecessor.ts';
import { Reloader } from './reload.ts';
import { Restarter } from './restart.ts';
import { Resolver } from './resolver.ts';
import { createRunbooks, deskOf, runbookOf } from './runbooks.ts';
import { StateFile } from './state-file.ts';
import { CertificateKeeper } from './tls/keeper.ts';
import { warmedUp } from './warm-up.ts';

/** For the answer to the very call that moved it. */
const ADMIN_LINGER_MS = 1000;

export interface AppDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger & Partial<Pick<LeveledLogger, 'level'>>;
  readonly version: string;
  readonly node: string;
  /** From where a changed configuration is read; `null`: this one is for good. */
  readonly source: ConfigSource | null;
  /** What programs that are run inherit. */
  readonly environment?: Readonly<Record<string, string>>;
  /** What this process was born with, and from whom; `null`: it has no successor either. */
  readonly birth: Birth | null;
}

export interface Birth {
  readonly inherited: InheritedSockets;
  readonly predecessor: Predecessor | null;
  /** Why it can't be replaced by another process, if it can't. */
  readonly impediment: string | null;
}

interface ConfigSource {
  load(): LoadResult;
  /** Those that were read last. */
  readonly files: readonly string[];
}

export interface App {
  readonly admin: Address;
  /** Bound addresses by frontend name (they differ from the config where it says port 0). */
  readonly frontends: ReadonlyMap<string, Address>;
  readonly topology: Topology;
  readonly incidents: IncidentRecorder;
  /** The one that is in force. */
  config(): Config;
  /** Applies what the configuration is now, or nothing of it. `who`: asked for it. */
  reload(who: string): Promise<ReloadOutcome>;
  /** Hands the ports to a successor; what has been accepted goes on here. `who`: asked for it. Never rejects. */
  restart(who: string): Promise<Succession>;
  /** The process id of the successor that has taken over. */
  readonly succeeded: Topic<number>;
  /** Whether clients are served: no worker is missing or hangs. */
  isAlive(): boolean;
  /** Stops accepting, lets sessions end until the deadline, closes the rest, then everything else. */
  drain(deadlineMs: number, waiting: Waiting): Promise<void>;
  /** Ends everything now. */
  close(): Promise<void>;
}

/** Opens every socket or none: a failed bind closes what was opened and throws BIND_FAILED. The state file's errors come first. */
export async function startApp(config: Config, deps: AppDeps): Promise<App> {
  const { clock, random, log, version, node, source, birth, environment = {} } = deps;
  const createEngine = await chooseEngine(config);
  const predecessor = birth?.predecessor ?? null;
  const known = await predecessor?.claim();
  const specs = backendSpecs(config);
  const stateFile = config.stateFile === null ? null : await StateFile.open(config.stateFile, { clock, log });
  const saved = known ?? stateFile?.saved;
  const kept = keptIn(saved ?? new Map(), backend =>
    log.error(
      { backend },
      'what the state file holds of its runbook is not understood, and counts as nothing',
    ),
  );
  const topology = new Topology(specs, clock, saved, directivesOf(kept, config));
  const incidents = new IncidentRecorder(clock);
  const metrics = createMetrics({ version, node });
  const tls = new CertificateKeeper(config, { clock, log, metrics });
  // The order is the contract: the incident is on record before the proxy closes sessions and counts them into it.
  topology.changes.subscribe(change => incidents.observe(change));
  // The monitors are made last: they report into all of this.
  const askNow: Monitors['askNow'] = (...server) => {
    monitors.askNow(...server);
    resolver.askNow(...server);
  };
  const observer = createProxyObserver(metrics, incidents, log, askNow);
  const inherited: Inherited = (...place) => birth?.inherited.take(...place) ?? [];
  const proxy = createEngine({ topology, clock, random, observer, log, inherited, tls });
  const sessionsOf: Proxy['sessionsOf'] = (...of) => proxy.sessionsOf(...of);
  const reloadMetered = reloadMetrics(metrics, clock);
  let status: ConfigStatus = { generation: 1, appliedAt: clock.wall(), lastReload: null };
  const runbooks = createRunbooks(config, kept, {
    topology,
    proxy,
    stateFile,
    incidents,
    metrics,
    clock,
    log,
    environment,
    config: () => reloader.config,
  });
  const openUntil: Proxy['openUntil'] = (...of) => proxy.openUntil(...of);
  const tables: Proxy['tables'] = () => proxy.tables();
  const live = {
    views: () => topology.views(),
    frontends: () => proxy.frontends(),
    sessionsOf,
    runbook: (backend: string) => runbookOf(runbooks, backend, clock),
    openUntil,
    tables,
  };
  const gauges = createGauges(metrics, live, clock);
  topology.removals.subscribe(({ name }) => incidents.forget(name));
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
  const backups = createBackups(config, { topology, clock, log, metrics, env: process.env });
  const orchestrators = createOrchestrators(config, { topology, resolver, clock, log, askNow });

  let admin: AdminServer | undefined;
  /** At an address that a reload has left, with its last answers. */
  const formerAdmins = new Set<AdminServer>();
  const reloader = new Reloader(config, {
    load: () => source?.load() ?? { ok: true, config, warnings: [] },
    parts: { topology, proxy, monitors, resolver, orchestrators, tls },
    openAdmin: ({ admin: { bind } }) => startAdminServer(bind, routes, log, [], tls),
    applied(before, after, moved) {
      log.level = after.log.level;
      watch.set(after.reloadOnChange);
      runbooks.configure(after);
      backups.follow(after);
      for (const labels of goneLabels(before, after)) void forgetLabels(metrics, labels);
      if (moved === null || admin === undefined) return;
      const former = admin;
      admin = moved;
      log.info({ admin: formatAddress(moved.address) }, 'reload: the admin server has another address');
      formerAdmins.add(former);
      clock.schedule(ADMIN_LINGER_MS, () => void former.close().then(() => formerAdmins.delete(former)));
    },
    told(outcome) {
      reloadMetered(outcome);
      const { generation, kind } = outcome;
      const at = clock.wall();
      const appliedAt = kind === 'applied' ? at : status.appliedAt;
      status = { generation, appliedAt, lastReload: { at, outcome: kind } };
    },
    clock,
    log,
  });
  const watch = new ConfigWatch({
    clock,
    files: () => source?.files ?? [],
    changed: () => void reloader.reload('a changed file'),
  });
  const rateLimits = createRateLimitStore(config, {
    frontends: () => reloader.config.frontends,
    tables,
    metrics,
    clock,
    log,
  });
  const restarter = new Restarter({
    clock,
    log,
    impediment() {
      if (birth === null) return 'this one is not to be restarted';
      const running = Object.keys(reloader.config.backends).find(
        backend => (runbooks.status(backend)?.run ?? null) !== null,
      );
      return running === undefined ? birth.impediment : `a runbook of ${running} is under way`;
    },
    sockets: () => {
      const { address, descriptors } = admin ?? { address: config.admin.bind, descriptors: [] };
      const ours = descriptors.map(fd => ({ name: ADMIN_NAME, fd, address }));
      return [...proxy.listening(), ...ours].map(socket => ({
        ...socket,
        isKept: birth?.inherited.isKept(socket.fd) ?? false,
      }));
    },
    async lend() {
      await stateFile?.lend();
      return writeState(runbooks.save(topology.save()));
    },
    takeBack: () => stateFile?.takeBack(),
  });
  restarter.succeeded.subscribe(() => {
    watch.set(false);
    void reloader.end();
    runbooks.stop();
    admin?.stop();
    clock.schedule(ADMIN_LINGER_MS, () => void admin?.close());
  });
  async function close(): Promise<void> {
    restarter.end();
    watch.set(false);
    await reloader.end();
    runbooks.stop();
    rateLimits?.stop();
    tls.stop();
    orchestrators.stop();
    resolver.stop();
    monitors.stop();
    await proxy.close();
    await backups.stop();
    await admin?.close();
    for (const former of formerAdmins) await former.close();
    await stateFile?.close();
  }
  const startedAt = new Date(clock.wall()).toISOString();
  const routes = adminRoutes({
    config: {
      get admin() {
        return reloader.config.admin;
      },
      get frontends() {
        return reloader.config.frontends;
      },
      get backends() {
        return reloader.config.backends;
      },
    },
    topology,
    proxy,
    log,
    state: { ...live, version, startedAt, clock, config: () => status },
    metrics,
    refreshMetrics() {
      gauges.refresh();
      backups.refreshMetrics();
    },
    incidents: () => incidents.list(),
    runbooks: deskOf(runbooks, topology),
    reload: who => reloader.reload(who),
    restart: who => restarter.restart(who),
  });
  async function openPorts(): Promise<AdminServer> {
    const { bind } = config.admin;
    const opened = (admin = await startAdminServer(bind, routes, log, inherited(ADMIN_NAME, bind), tls));
    await proxy.listen();
    birth?.inherited.closeRest(log);
    return opened;
  }
  function startAsking(): void {
    // The file follows first, and hears last: whoever serves clients has heard of a change before it is written.
    stateFile?.follow(
      topology,
      () => metrics.stateFileErrors.inc(),
      state => runbooks.save(state),
    );
    // Of a successor those of the one before have stopped: it may persist nothing since the file was lent.
    runbooks.start();
    monitors.start();
    resolver.start();
    orchestrators.start();
  }
  let opened: AdminServer;
  try {
    // Whoever succeeds another takes clients when it has servers for them: until then the other one does.
    if (predecessor !== null) {
      startAsking();
      await warmedUp(proxy, topology, clock);
    }
    opened = await openPorts();
    if (predecessor === null) startAsking();
  } catch (thrown) {
    await close();
    throw thrown;
  }
  tls.start();
  watch.set(config.reloadOnChange);
  rateLimits?.start();
  backups.start();
  const frontends = new Map(proxy.frontends().map(({ name, bind }) => [name, bind]));
  log.info(
    {
      version,
      admin: formatAddress(opened.address),
      frontends: Object.fromEntries([...frontends].map(([name, bind]) => [name, formatAddress(bind)])),
    },
    'pointsman runs',
  );
  return {
    admin: opened.address,
    frontends,
    topology,
    incidents,
    config: () => reloader.config,
    restart: who => restarter.restart(who),
    succeeded: restarter.succeeded,
    isAlive: () => proxy.isAlive(),
    reload: who => reloader.reload(who),
    async drain(deadlineMs, waiting) {
      await proxy.drain(deadlineMs, waiting);
      await close();
    },
    close,
  };
}

/** The labels of what the configuration has no more; a frontend's go with its last session (metrics/gauges.ts). */
function goneLabels(before: Config, after: Config): readonly Readonly<Record<string, string>>[] {
  return Object.entries(before.backends).flatMap(([backend, { servers }]) => {
    const now = after.backends[backend];
    if (now === undefined) return [{ backend }];
    const left = Object.keys(servers).filter(server => !Object.hasOwn(now.servers, server));
    return left.map(server => ({ backend, server }));
  });
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
