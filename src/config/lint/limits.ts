// Rules about limits: rates that limit nothing, counting together without a place for it, paces that nobody goes at.
// Not what a single value must be: the schema says that. Part of lint.ts.

import { backendOf, error, forFrontends, warning, type LintFinding, type Rule } from './finding.ts';

const limitsSomething = forFrontends(({ rateLimit }, path) =>
  rateLimit === null || rateLimit.perIp !== null || rateLimit.total !== null
    ? null
    : error([...path, 'rate_limit'], 'limits nothing: write per_ip or total'),
);

/** A burst that belongs to no rate. */
const burstNeedsRate =
  (burst: 'burst' | 'total_burst', rate: 'per_ip' | 'total'): Rule =>
  (config, source) =>
    Object.keys(config.frontends).flatMap((name): readonly LintFinding[] => {
      const path = ['frontends', name, 'rate_limit'];
      const at = [...path, burst];
      if (!source.has(at) || source.has([...path, rate])) return [];
      return [error(at, `does nothing without ${rate}`, [...path, rate])];
    });

const sharingNeedsStore = forFrontends(({ rateLimit }, path, _source, config) =>
  rateLimit?.shared === true && config.rateLimitStore === null
    ? error([...path, 'rate_limit', 'shared'], 'needs rate_limit_store at the top level')
    : null,
);

const storeNeedsSharing: Rule = ({ rateLimitStore, frontends }) => {
  if (rateLimitStore === null) return [];
  if (Object.values(frontends).some(({ rateLimit }) => rateLimit?.shared === true)) return [];
  return [warning(['rate_limit_store'], 'does nothing: no frontend has rate_limit: { shared: true }')];
};

const perIpCanFill = forFrontends(({ maxConnectionsPerIp, maxConnections }, path) =>
  maxConnectionsPerIp === null || maxConnectionsPerIp <= maxConnections
    ? null
    : warning([...path, 'max_connections_per_ip'], 'is above max_connections: it can never fill', [
        ...path,
        'max_connections',
      ]),
);

const surgeNeedsPrimary: Rule = config =>
  Object.keys(config.backends).flatMap((name): readonly LintFinding[] => {
    if ((backendOf(config, name)?.surge ?? null) === null) return [];
    const own = Object.values(config.frontends).filter(({ backend }) => backend === name);
    if (own.length === 0 || own.some(({ route }) => route === 'primary')) return [];
    return [
      warning(['backends', name, 'surge'], 'does nothing: no frontend of this backend has route primary'),
    ];
  });

const perServerReachesOne: Rule = config =>
  Object.keys(config.backends).flatMap(name => {
    const { maxConnectionsPerServer = null, servers = {} } = backendOf(config, name) ?? {};
    const own = Object.values(servers);
    if (maxConnectionsPerServer === null || own.length === 0) return [];
    if (own.some(({ maxConnections }) => maxConnections === null)) return [];
    return [
      warning(
        ['backends', name, 'max_connections_per_server'],
        'does nothing: every server has max_connections of its own',
      ),
    ];
  });

export const limitRules: readonly Rule[] = [
  limitsSomething,
  burstNeedsRate('burst', 'per_ip'),
  burstNeedsRate('total_burst', 'total'),
  sharingNeedsStore,
  storeNeedsSharing,
  perIpCanFill,
  surgeNeedsPrimary,
  perServerReachesOne,
];
