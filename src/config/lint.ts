// Rules between keys: what each value alone can't show. Pure but for `source`, which knows the file as written.
// Errors would do nothing, or harm; warnings are legal but seldom meant. Called by load.ts, on reload as well.

import { type Address } from '../core/address.ts';
import { bindsOverlap, isLoopback, isSameAddress, reaches } from './addresses.ts';
import { formatPath, type Path } from './path.ts';
import { type BackendConfig, type Config, type FrontendConfig } from './schema.ts';
import { didYouMean } from './suggest.ts';
import { formatDuration } from './units.ts';

export interface LintSource {
  /** Whether the key stands in the file, rather than being a default. */
  has(path: Path): boolean;
  /** Whether the value's text stands in the file itself, rather than coming from `${…}`. */
  isLiteral(path: Path): boolean;
  /** The value as it may be shown to people. */
  show(path: Path): string;
  /** `null`, or why the file can't serve as a list of certificates. */
  whyNoCertificates(file: string): string | null;
}

interface LintFinding {
  readonly severity: 'error' | 'warning';
  readonly path: Path;
  /** Everything the finding rests on; it falls if any of that is invalid itself. */
  readonly about: readonly Path[];
  readonly message: string;
}

type PostgresBackend = Extract<BackendConfig, { protocol: 'postgres' }>;

type Rule = (config: Config, source: LintSource) => readonly LintFinding[];

/** Longer than most clients' own connect timeout. */
const HOLD_USUAL_MAX_MS = 60_000;
/** Below this, connections that rest in an application's pool are cut between two uses. */
const IDLE_USUAL_MIN_MS = 60_000;
/** Below this a busy network makes healthy servers look dead; above, a hung server is noticed far too late. */
const TIMEOUT_MIN_MS = 10;
const TIMEOUT_MAX_MS = 60_000;

const error = (path: Path, message: string, ...also: readonly Path[]): LintFinding => ({
  severity: 'error',
  path,
  about: [path, ...also],
  message,
});

const warning = (path: Path, message: string, ...also: readonly Path[]): LintFinding => ({
  ...error(path, message, ...also),
  severity: 'warning',
});

export function lint(config: Config, source: LintSource): readonly LintFinding[] {
  return rules.flatMap(rule => rule(config, source));
}

/** One rule on every frontend: finds at most one thing. */
const forFrontends =
  (
    find: (frontend: FrontendConfig, path: Path, source: LintSource, config: Config) => LintFinding | null,
  ): Rule =>
  (config, source) =>
    Object.entries(config.frontends).flatMap(
      ([name, frontend]) => find(frontend, ['frontends', name], source, config) ?? [],
    );

const forBackends =
  (find: (backend: BackendConfig, path: Path, source: LintSource) => LintFinding | null): Rule =>
  (config, source) =>
    Object.entries(config.backends).flatMap(
      ([name, backend]) => find(backend, ['backends', name], source) ?? [],
    );

/** What only a backend with PostgreSQL's own checks has. Falls with the protocol: the file may mean another one. */
const forPostgres = (
  find: (backend: PostgresBackend, path: Path, source: LintSource) => LintFinding | null,
): Rule =>
  forBackends((backend, path, source) => {
    const found = backend.protocol === 'postgres' ? find(backend, path, source) : null;
    return found === null ? null : { ...found, about: [...found.about, [...path, 'protocol']] };
  });

const backendOf = (config: Config, name: string): BackendConfig | undefined =>
  Object.hasOwn(config.backends, name) ? config.backends[name] : undefined;

/** `50ms`, or `50ms by default`, or where it comes from. */
const duration = (ms: number, path: Path, source: LintSource): string =>
  source.has(path) ? source.show(path) : `${formatDuration(ms)} by default`;

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

const separateServers: Rule = ({ backends }) =>
  Object.entries(backends).flatMap(([name, { servers }]) => {
    const members = Object.entries(servers);
    return members.flatMap(([server, { address }], index) => {
      const twin = members.slice(0, index).find(([, before]) => isSameAddress(before.address, address));
      if (twin === undefined) return [];
      const other = ['backends', name, 'servers', twin[0]];
      return error(
        ['backends', name, 'servers', server],
        `has the same address as ${formatPath(other)}`,
        other,
      );
    });
  });

/** The lesser of two intervals must not be the longer one; the complaint stands at a key that is in the file. */
function orderedIntervals(
  [lesserKey, lesserMs]: readonly [key: string, ms: number],
  [greaterKey, greaterMs]: readonly [key: string, ms: number],
  path: Path,
  source: LintSource,
): LintFinding | null {
  if (lesserMs <= greaterMs) return null;
  const [lesser, greater] = [
    [...path, 'check', lesserKey],
    [...path, 'check', greaterKey],
  ];
  const [at, also] = source.has(lesser) ? [lesser, greater] : [greater, lesser];
  const compared = `${lesserKey} (${duration(lesserMs, lesser, source)}) is longer than ${greaterKey} (${duration(greaterMs, greater, source)})`;
  return error(at, `${compared}; it must be the shorter one`, also);
}

const fastIsFaster = forBackends(({ check }, path, source) =>
  orderedIntervals(['fast_interval', check.fastIntervalMs], ['interval', check.intervalMs], path, source),
);

const promotionIsFastest = forPostgres(({ check }, path, source) =>
  orderedIntervals(
    ['promotion_interval', check.promotionIntervalMs],
    ['fast_interval', check.fastIntervalMs],
    path,
    source,
  ),
);

const sensibleTimeout = forBackends(({ check }, path, source) => {
  const at = [...path, 'check', 'timeout'];
  if (check.timeoutMs < TIMEOUT_MIN_MS) {
    return error(
      at,
      `${source.show(at)} is too short: healthy servers would be marked down; ${TIMEOUT_MIN_MS}ms is the least`,
    );
  }
  if (check.timeoutMs <= TIMEOUT_MAX_MS) return null;
  return error(
    at,
    `${source.show(at)} is too long: a server that hangs would go unnoticed; ${formatDuration(TIMEOUT_MAX_MS)} is the most`,
  );
});

/** For frontends of a backend without roles. */
const forTcpFrontends = (
  find: (frontend: FrontendConfig, path: Path, source: LintSource) => LintFinding | null,
): Rule =>
  forFrontends((frontend, path, source, config) => {
    const { backend } = frontend;
    if (backendOf(config, backend)?.protocol !== 'tcp') return null;
    const found = find(frontend, path, source);
    const basis = [
      [...path, 'backend'],
      ['backends', backend, 'protocol'],
    ];
    return found === null ? null : { ...found, about: [...found.about, ...basis] };
  });

const tcpNeedsRouteAny = forTcpFrontends(({ route }, path, source) => {
  if (route === 'any') return null;
  const at = [...path, 'route'];
  const written = source.has(at) ? `${source.show(at)} finds no server` : `is ${route} by default`;
  return error(at, `${written}: the servers of a tcp backend have no roles; write route: any`);
});

const tcpTellsNoLag = forTcpFrontends(({ maxLagMs }, path) =>
  maxLagMs === null
    ? null
    : error([...path, 'max_lag'], 'does nothing with a tcp backend: its servers tell no lag'),
);

const lagNeedsReplicas = forFrontends(({ route, maxLagMs, backend }, path, _source, config) =>
  route === 'primary' && maxLagMs !== null && backendOf(config, backend)?.protocol !== 'tcp'
    ? error([...path, 'max_lag'], 'does nothing with route primary: a primary has no lag', [...path, 'route'])
    : null,
);

const holdNeedsRoom = forFrontends(({ holdMs, holdMax }, path, source) => {
  if (holdMax !== 0 || holdMs === 0) return null;
  const hold = [...path, 'hold'];
  const message = `with hold_max 0 nobody can wait, but hold is ${duration(holdMs, hold, source)}; write hold: 0 to refuse at once`;
  return error([...path, 'hold_max'], message, hold);
});

const caFileIsUsed = forPostgres(({ check: { tls } }, path, source) => {
  const at = [...path, 'check', 'tls', 'ca_file'];
  const mode = [...path, 'check', 'tls', 'mode'];
  if (tls.caFile === null) return null;
  if (tls.mode !== 'verify-ca' && tls.mode !== 'verify-full') {
    return error(at, 'does nothing unless mode is verify-ca or verify-full: no certificate is checked', mode);
  }
  const why = source.whyNoCertificates(tls.caFile);
  return why === null ? null : error(at, `${source.show(at)} ${why}`);
});

const serverNameIsUsed = forPostgres(({ check: { tls } }, path) => {
  if (tls.serverName === null || tls.mode === 'verify-full') return null;
  const at = [...path, 'check', 'tls', 'server_name'];
  return error(at, 'does nothing unless mode is verify-full: no name is checked', [
    ...path,
    'check',
    'tls',
    'mode',
  ]);
});

const backendIsUsed: Rule = ({ frontends, backends }) => {
  const used = new Set(Object.values(frontends).map(({ backend }) => backend));
  return Object.keys(backends).flatMap(name =>
    used.has(name) ? [] : warning(['backends', name], 'no frontend uses this backend', ['frontends']),
  );
};

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

const passwordIsElsewhere = forPostgres(({ check: { password } }, path, source) => {
  const at = [...path, 'check', 'password'];
  if (password === null || password === '' || !source.isLiteral(at)) return null;
  return warning(at, 'a password in clear: whoever reads this file has it; use ${ENV} or ${file:/path}');
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

const rules: readonly Rule[] = [
  knownBackend,
  separateBinds,
  noLoop,
  separateServers,
  fastIsFaster,
  promotionIsFastest,
  sensibleTimeout,
  tcpNeedsRouteAny,
  tcpTellsNoLag,
  lagNeedsReplicas,
  holdNeedsRoom,
  caFileIsUsed,
  serverNameIsUsed,
  backendIsUsed,
  holdIsBearable,
  idleOutlastsPools,
  holdMaxCanFill,
  passwordIsElsewhere,
  adminIsPrivate,
];
