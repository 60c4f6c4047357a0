// Which path answers what: the table of the contract's read-only endpoints.
// Not HTTP itself (server.ts). Wired by app.

import { type Metrics } from '../metrics/metrics.ts';
import { type Incident } from '../topology/incidents.ts';
import { incidentJson, stateJson, type StateSource } from './api.ts';
import { consolePage } from './console.ts';
import { json, text, type Route } from './server.ts';

export interface RoutesSource {
  readonly state: StateSource;
  readonly metrics: Metrics;
  refreshMetrics(): void;
  incidents(): readonly Incident[];
}

export function adminRoutes(source: RoutesSource): Readonly<Record<string, Route>> {
  const { state, metrics } = source;
  return {
    '/': () => consolePage,
    '/livez': () => text('ok\n'),
    '/readyz': url => readyz(state, url.searchParams.has('verbose')),
    '/metrics': async () => {
      source.refreshMetrics();
      return { status: 200, type: metrics.registry.contentType, body: await metrics.registry.metrics() };
    },
    '/api/v1/state': () => json(stateJson(state)),
    '/api/v1/incidents': () => json({ incidents: source.incidents().map(incidentJson) }),
  };
}

/** 200 when every frontend has a server to give; else 503 with the names of those that have none. */
function readyz(state: StateSource, verbose: boolean) {
  const frontends = state.frontends();
  const waiting = frontends.filter(({ available }) => !available);
  const lines = (verbose ? frontends : waiting).map(
    ({ name, available, backend, route }) =>
      `${available ? 'ok' : 'no server'}: ${name} (${route} of ${backend})`,
  );
  if (waiting.length > 0) return text(`${lines.join('\n')}\n`, 503);
  return text(verbose ? `${lines.join('\n')}\nok\n` : 'ok\n');
}
