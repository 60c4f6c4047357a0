// `GET /api/v1/backends/{backend}/explain?if=SERVER=STATE`: reads the question, has it answered, writes the answer as JSON.
// Changes nothing, so it needs no token. What is true stands in topology/explain.ts.

import { type Config } from '../config/schema.ts';
import { ADMIN_ASSUMPTIONS_MAX } from '../core/limits.ts';
import { assumptionKinds, isAssumptionKind, needsRoles, type Assumption } from '../topology/assumptions.ts';
import { explain, type Explanation } from '../topology/explain.ts';
import { hasRoles, type BackendView } from '../topology/model.ts';
import { type Topology } from '../topology/topology.ts';
import { type StateSource } from './api.ts';
import { type AdminRequest, type Reply, type Route } from './route.ts';
import { json } from './server.ts';

export interface ExplainSource {
  readonly topology: Pick<Topology, 'imagine'>;
  readonly state: StateSource;
  readonly config: Pick<Config, 'frontends' | 'backends'>;
}

export type ExplanationJson = ReturnType<typeof explanationJson>;

export function explainRoute(source: ExplainSource): Route {
  return {
    method: 'GET',
    path: '/api/v1/backends/{backend}/explain',
    answer: request => answer(source, request),
  };
}

function answer({ topology, state, config }: ExplainSource, { params, url }: AdminRequest): Reply {
  const { backend = '' } = params;
  const present = state.views().find(({ name }) => name === backend);
  const options = Object.hasOwn(config.backends, backend) ? config.backends[backend] : undefined;
  if (present === undefined || options === undefined) {
    const backends = state.views().map(({ name }) => name);
    return json({ error: `there is no backend ${JSON.stringify(backend)}`, backends }, 404);
  }
  const assumptions: Assumption[] = [];
  const texts = url.searchParams.getAll('if');
  if (texts.length > ADMIN_ASSUMPTIONS_MAX) {
    return json({ error: `more than ${ADMIN_ASSUMPTIONS_MAX} assumptions at once` }, 400);
  }
  for (const text of texts) {
    const assumption = readAssumption(text, present);
    if ('error' in assumption) return json({ error: assumption.error }, assumption.status);
    assumptions.push(assumption);
  }
  const held = new Map(state.frontends().map(gauge => [gauge.name, gauge.held]));
  const explanation = explain({
    present,
    assumptions,
    outlooks: topology.imagine(backend, assumptions),
    config: options,
    frontends: Object.entries(config.frontends).flatMap(([name, frontend]) =>
      frontend.backend === backend
        ? [
            {
              name,
              config: frontend,
              held: held.get(name) ?? 0,
              sessionsTo: (server: string) => state.sessionsOf(backend, server, name),
            },
          ]
        : [],
    ),
    now: state.clock.now(),
  });
  return json(explanationJson(explanation));
}

/** `pg1=down`. A name holds no `=`. */
function readAssumption(
  text: string,
  { name: backend, protocol, servers }: BackendView,
): Assumption | { readonly status: 400 | 404; readonly error: string } {
  const [, server = '', is = ''] = /^([^=]*)=(.*)$/.exec(text) ?? [];
  const kinds = Object.keys(assumptionKinds).join(', ');
  if (!isAssumptionKind(is)) {
    return { status: 400, error: `${JSON.stringify(text)} is not SERVER=STATE; a state is one of ${kinds}` };
  }
  if (!servers.some(({ name }) => name === server)) {
    const known = servers.map(({ name }) => name).join(', ');
    return {
      status: 404,
      error: `there is no server ${JSON.stringify(server)} in ${backend}; there are ${known}`,
    };
  }
  if (needsRoles(is) && !hasRoles(protocol)) {
    return { status: 400, error: `servers that speak ${protocol} have no roles, so none can be ${is}` };
  }
  return { server, is };
}

function explanationJson(explanation: Explanation) {
  const { backend, assumptions, before, primary, says, steps, frontends } = explanation;
  return {
    backend,
    assumptions: assumptions.map(({ server, is }) => ({ server, is })),
    before,
    primary,
    says,
    steps: steps.map(step => ({
      after_ms: step.afterMs,
      primary: step.primary,
      split_brain: step.splitBrain,
      reasons: step.reasons,
    })),
    servers: explanation.servers,
    orchestrator: explanation.orchestrator,
    disagreement: explanation.disagreement,
    frontends: frontends.map(({ name, route, servedBy, holdMs, held, closed, says: said }) => ({
      name,
      route,
      served_by: servedBy,
      hold_ms: holdMs,
      held,
      closed,
      says: said,
    })),
    notice: explanation.notice,
    takeover: explanation.takeover,
  };
}
