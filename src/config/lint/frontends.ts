// Rules about frontends: their ports, their routes, and how long their clients wait.
// Not what a single value must be: the schema says that. Part of lint.ts.

import { type Address } from '../../core/address.ts';
import { bindsOverlap, isLoopback, reaches } from '../addresses.ts';
import { formatPath, type Path } from '../path.ts';
import { type FrontendConfig, type Protocol } from '../schema.ts';
import { didYouMean } from '../suggest.ts';
import { formatDuration } from '../units.ts';
import {
  backendOf,
  duration,
  error,
  forFrontends,
  type LintFinding,
  type LintSource,
  rolesAbsent,
  type Rule,
  warning,
} from './finding.ts';

/** Longer than most clients' own connect timeout. */
const HOLD_USUAL_MAX_MS = 60_000;
/** Below this, connections that rest in an application's pool are cut between two uses. */
const IDLE_USUAL_MIN_MS = 60_000;

const knownBackend = forFrontends(({ backend }, path, source, config) => {
  if (backendOf(config, backend) !== undefined) return null;
  const at = [...path, 'backend'];
  const hint = didYouMean(backend, Object.keys(config.backends));
  return error(at, `${source.show(at)} is no backend of this file${hint}`, ['backends', backend]);
});

const separateBinds: Rule = ({ admin, frontends }) => {
  const binds: { path: Path; bind: Address }[] = [
    { path: ['admin', 'bind'], bind: admin.bind },
    ...Object.entries(frontends).map(([name, { bind }]) => ({ path: ['frontends', name, 'bind'], bind })),
  ];
  return binds.flatMap(({ path, bind }, index) => {
    const other = binds.slice(0, index).find(before => bindsOverlap(before.bind, bind));
    if (other === undefined) return [];
    return error(
      path,
      `cannot be listened on together with ${formatPath(other.path)}: the addresses overlap`,
      other.path,
    );
  });
};

const noLoop: Rule = (config, source) =>
  Object.entries(config.frontends).flatMap(([name, { bind, backend }]) => {
    const path = ['frontends', name, 'bind'];
    return Object.entries(backendOf(config, backend)?.servers ?? {}).flatMap(([server, { address }]) => {
      const at = ['backends', backend, 'servers', server];
      if (!reaches(address, bind)) return [];
      const where = source.isLiteral([...path.slice(0, -1), 'backend'])
        ? formatPath(at)
        : 'a server of its own backend';
      return error(path, `is also the address of ${where}: Pointsman would connect to itself`, at);
    });
  });

/** For frontends of a backend whose servers have no roles. */
const withoutRoles = (
  find: (frontend: FrontendConfig, path: Path, source: LintSource, protocol: Protocol) => LintFinding | null,
): Rule =>
  forFrontends((frontend, path, source, config) => {
    const { backend } = frontend;
    const protocol = backendOf(config, backend)?.protocol;
    if (protocol === undefined || !rolesAbsent.has(protocol)) return null;
    const found = find(frontend, path, source, protocol);
    const basis = [
      [...path, 'backend'],
      ['backends', backend, 'protocol'],
    ];
    return found === null ? null : { ...found, about: [...found.about, ...basis] };
  });

const needsRouteAny = withoutRoles(({ route }, path, source, protocol) => {
  if (route === 'any') return null;
  const at = [...path, 'route'];
  const written = source.has(at) ? `${source.show(at)} finds no server` : `is ${route} by default`;
  return error(at, `${written}: the servers of ${an(protocol)} backend have no roles; write route: any`);
});

const an = (protocol: Protocol): string => (protocol === 'http' ? 'an http' : `a ${protocol}`);

const holdNeedsRoom = forFrontends(({ holdMs, holdMax }, path, source) => {
  if (holdMax !== 0 || holdMs === 0) return null;
  const hold = [...path, 'hold'];
  const message = `with hold_max 0 nobody can wait, but hold is ${duration(holdMs, hold, source)}; write hold: 0 to refuse at once`;
  return error([...path, 'hold_max'], message, hold);
});

const holdIsBearable = forFrontends(({ route, holdMs }, path, source) => {
  const at = [...path, 'hold'];
  if (holdMs > HOLD_USUAL_MAX_MS) {
    return warning(
      at,
      `${source.show(at)} is longer than most clients wait for a connection (${formatDuration(HOLD_USUAL_MAX_MS)} or less)`,
    );
  }
  if (holdMs !== 0 || route !== 'primary') return null;
  return warning(
    at,
    'with hold 0 clients are refused during a failover instead of waiting for the new primary',
    [...path, 'route'],
  );
});

const idleOutlastsPools = forFrontends(({ idleTimeoutMs }, path, source) => {
  const at = [...path, 'idle_timeout'];
  if (idleTimeoutMs === 0 || idleTimeoutMs >= IDLE_USUAL_MIN_MS) return null;
  return warning(
    at,
    `${source.show(at)} is short: it cuts connections that rest in an application’s pool; use ${formatDuration(IDLE_USUAL_MIN_MS)} or more, or 0`,
  );
});

const holdMaxCanFill = forFrontends(({ holdMax, maxConnections }, path, source) => {
  const at = [...path, 'hold_max'];
  if (holdMax <= maxConnections || !source.has(at)) return null;
  return warning(at, 'is above max_connections, which counts waiting clients too: it can never fill', [
    ...path,
    'max_connections',
  ]);
});

const adminIsPrivate: Rule = ({ admin }) =>
  isLoopback(admin.bind.host)
    ? []
    : [
        warning(
          ['admin', 'bind'],
          'is not a loopback address: whoever reaches it can read the state and the metrics',
        ),
      ];

export const frontendRules: readonly Rule[] = [
  knownBackend,
  separateBinds,
  noLoop,
  needsRouteAny,
  holdNeedsRoom,
  holdIsBearable,
  idleOutlastsPools,
  holdMaxCanFill,
  adminIsPrivate,
];
