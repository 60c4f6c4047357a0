// Rules about who serves readers: limits of replicas, zones, backups, and a primary that stands in.
// Not what a single value must be: the schema says that. Part of lint.ts.

import { type FrontendConfig, type Protocol } from '../schema.ts';
import { backendOf, error, forFrontends, rolesAbsent, type Rule, warning } from './finding.ts';

type Wanted = (frontend: FrontendConfig) => boolean;

/** The keys that choose among replicas, and the protocols where they mean something. */
const keysOfReplicas: readonly {
  readonly key: string;
  readonly isSet: Wanted;
  readonly protocols: ReadonlySet<Protocol>;
  readonly nothing: string;
}[] = [
  {
    key: 'max_lag',
    isSet: ({ maxLagMs }) => maxLagMs !== null,
    protocols: new Set(['postgres', 'mysql', 'redis']),
    nothing: 'its servers tell no lag',
  },
  {
    key: 'max_lag_bytes',
    isSet: ({ maxLagBytes }) => maxLagBytes !== null,
    protocols: new Set(['postgres', 'redis']),
    nothing: 'its servers tell no positions in bytes',
  },
  {
    key: 'synchronous_only',
    isSet: ({ synchronousOnly }) => synchronousOnly,
    protocols: new Set(['postgres']),
    nothing: 'its servers do not tell for which of them commits wait',
  },
];

const replicaKeys: readonly Rule[] = keysOfReplicas.map(({ key, isSet, protocols, nothing }) =>
  forFrontends((frontend, path, _source, config) => {
    if (!isSet(frontend)) return null;
    const at = [...path, key];
    const protocol = backendOf(config, frontend.backend)?.protocol;
    if (protocol !== undefined && !protocols.has(protocol)) {
      const basis = [
        [...path, 'backend'],
        ['backends', frontend.backend, 'protocol'],
      ];
      const article = protocol === 'http' ? 'an http' : `a ${protocol}`;
      return error(at, `does nothing with ${article} backend: ${nothing}`, ...basis);
    }
    if (frontend.route !== 'primary') return null;
    const what = key === 'synchronous_only' ? 'it chooses among replicas' : 'a primary has no lag';
    return error(at, `does nothing with route primary: ${what}`, [...path, 'route']);
  }),
);

const zoneNeedsChoice = forFrontends(({ route, zone }, path) =>
  zone === null || route !== 'primary'
    ? null
    : error([...path, 'zone'], 'does nothing with route primary: there is but one', [...path, 'route']),
);

const zoneIsSomewhere = forFrontends(({ route, zone, backend: name }, path, source, config) => {
  const backend = backendOf(config, name);
  if (zone === null || route === 'primary' || backend === undefined) return null;
  const servers = Object.values(backend.servers);
  if (servers.some(server => server.zone === zone)) return null;
  const at = [...path, 'zone'];
  return warning(
    at,
    servers.length === 0
      ? 'does nothing: servers that are learned have no zone'
      : `${source.show(at)} is the zone of no server of its backend`,
    ['backends', name, 'servers'],
  );
});

const fallbackNeedsRoute = forFrontends(({ route, fallbackMax }, path) =>
  fallbackMax === null || route === 'replica-or-primary'
    ? null
    : error(
        [...path, 'fallback_share'],
        `does nothing with route ${route}: only with replica-or-primary the primary stands in for replicas`,
        [...path, 'route'],
      ),
);

const fallbackIsBelowAll = forFrontends(({ fallbackMax, maxConnections }, path) =>
  fallbackMax === null || fallbackMax <= maxConnections
    ? null
    : warning([...path, 'fallback_share'], 'is above max_connections: it can never be reached', [
        ...path,
        'max_connections',
      ]),
);

const backupsSpare: Rule = ({ backends, frontends }) =>
  Object.entries(backends).flatMap(([name, { protocol, servers }]) => {
    const backups = Object.entries(servers).filter(([, { backup }]) => backup);
    const [first] = backups;
    if (first === undefined) return [];
    const at = ['backends', name, 'servers', first[0], 'backup'];
    if (backups.length === Object.keys(servers).length) {
      return warning(at, 'does nothing: every server of the backend is a backup', [
        'backends',
        name,
        'servers',
      ]);
    }
    const readers = Object.entries(frontends).filter(([, frontend]) => frontend.backend === name);
    if (rolesAbsent.has(protocol) || readers.some(([, { route }]) => route !== 'primary')) return [];
    return warning(
      at,
      'does nothing: a backup is the last to get readers, and the backend has frontends with route primary only',
      ...readers.map(([frontend]) => ['frontends', frontend, 'route']),
    );
  });

export const readRules: readonly Rule[] = [
  ...replicaKeys,
  zoneNeedsChoice,
  zoneIsSomewhere,
  fallbackNeedsRoute,
  fallbackIsBelowAll,
  backupsSpare,
];
