// Which path answers what: the table of the contract's endpoints.
// Not HTTP itself (server.ts). Wired by app.

import { type ReloadOutcome } from '../config/reload-plan.ts';
import { type Config } from '../config/schema.ts';
import { type Logger } from '../core/logger.ts';
import { type Metrics } from '../metrics/metrics.ts';
import { type Incident } from '../topology/incidents.ts';
import { type Topology } from '../topology/topology.ts';
import { incidentJson, stateJson, type StateSource } from './api.ts';
import { consolePage } from './console.ts';
import { createEvents } from './events.ts';
import { explainRoute } from './explain.ts';
import { operateRoutes } from './operate.ts';
import { reloadRoute } from './reload.ts';
import { restartRoute, type RestartSource } from './restart.ts';
import { type Reply, type Route } from './route.ts';
import { runbookRoutes, type RunbookDesk } from './runbook.ts';
import { json, text } from './server.ts';
import { sessionsRoutes, type SessionsSource } from './sessions.ts';

export interface RoutesSource {
  /** Its parts are read at each request: a reload changes them. */
  readonly config: Pick<Config, 'admin' | 'frontends' | 'backends'>;
  readonly topology: Pick<Topology, 'views' | 'names' | 'setAdmin' | 'imagine' | 'changes'>;
  readonly proxy: SessionsSource['proxy'];
  readonly state: StateSource;
  readonly metrics: Metrics;
  readonly log: Logger;
  refreshMetrics(): void;
  reload(who: string): Promise<ReloadOutcome>;
  restart: RestartSource['restart'];
  incidents(): readonly Incident[];
  readonly runbooks: RunbookDesk;
}

const get = (path: string, answer: Route['answer']): Route => ({ method: 'GET', path, answer });

export function adminRoutes(source: RoutesSource): readonly Route[] {
  const { config, topology, state, metrics, log } = source;
  const operating = {
    topology,
    config,
    proxy: source.proxy,
    log,
    // A reload may bring another one.
    get token() {
      return config.admin.token;
    },
    reload: (who: string) => source.reload(who),
    restart: (who: string) => source.restart(who),
  };
  return [
    get('/', () => consolePage),
    get('/livez', () => text('ok\n')),
    get('/readyz', ({ url }) => readyz(state, url.searchParams.has('verbose'))),
    get('/metrics', async () => {
      source.refreshMetrics();
      return { status: 200, type: metrics.registry.contentType, body: await metrics.registry.metrics() };
    }),
    get('/api/v1/state', () => json(stateJson(state))),
    get('/api/v1/incidents', () => json({ incidents: source.incidents().map(incidentJson) })),
    get('/api/v1/events', createEvents(topology.changes, state.clock)),
    explainRoute({ topology, state, config }),
    ...operateRoutes(operating),
    ...sessionsRoutes(operating),
    reloadRoute(operating),
    ...runbookRoutes(source.runbooks, operating),
    restartRoute(operating),
  ];
}

/** 200 when every frontend has a server to give; else 503 with the names of those that have none. */
function readyz(state: StateSource, verbose: boolean): Reply {
  const frontends = state.frontends().filter(({ leaving }) => leaving !== true);
  const waiting = frontends.filter(({ available }) => !available);
  const lines = (verbose ? frontends : waiting).map(
    ({ name, available, backend, route }) =>
      `${available ? 'ok' : 'no server'}: ${name} (${route} of ${backend})`,
  );
  if (waiting.length > 0) return text(`${lines.join('\n')}\n`, 503);
  return text(verbose ? `${lines.join('\n')}\nok\n` : 'ok\n');
}
