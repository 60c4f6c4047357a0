// The calls that change something: an operator takes a server out, or puts it back. Asks for the token first, says in one
// log line who did what, and answers with what came of it. What the states mean stands in topology and proxy.

import { adminStates, type AdminState } from '../topology/model.ts';
import { type Topology } from '../topology/topology.ts';
import { refuse, type Guard } from './guard.ts';
import { type AdminRequest, type Reply, type Route } from './route.ts';
import { json } from './server.ts';

export interface OperateSource extends Guard {
  readonly topology: Pick<Topology, 'views' | 'names' | 'setAdmin'>;
}

export function operateRoutes(source: OperateSource): readonly Route[] {
  return adminStates.map((state): Route => ({
    method: 'POST',
    path: `/api/v1/backends/{backend}/servers/{server}/${state}`,
    answer: request => refuse(source, request) ?? setAdmin(source, request, state),
  }));
}

function setAdmin({ topology, log }: OperateSource, request: AdminRequest, state: AdminState): Reply {
  const { backend = '', server = '' } = request.params;
  const find = () => topology.views().find(({ name }) => name === backend);
  const view = find();
  if (view === undefined) {
    const backends = topology.views().map(({ name }) => name);
    return json({ error: `there is no backend ${JSON.stringify(backend)}`, backends }, 404);
  }
  const before = view.servers.find(({ name }) => name === server);
  if (before === undefined) {
    const servers = view.servers.map(({ name }) => name);
    // Learned members come and go; what is said to a name that nobody has now would be said to nobody.
    if (topology.names(backend).includes(server)) {
      return json({ error: `${server} is no member of ${backend} now`, servers }, 409);
    }
    return json({ error: `there is no server ${JSON.stringify(server)} in ${backend}`, servers }, 404);
  }
  const changed = before.admin !== state;
  log.info(
    { backend, server, admin: state, before: before.admin, remote: request.remote },
    `operator: ${server} of ${backend} is set ${state}`,
  );
  if (changed) topology.setAdmin(backend, server, state);
  const after = find() ?? view;
  return json({
    backend,
    server,
    admin: state,
    changed,
    protocol: after.protocol,
    primary: after.primary,
    reasons: after.reasons,
  });
}
