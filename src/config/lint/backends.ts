// Rules about backends: their servers, how they are probed, and the secrets of that.
// Not what a single value must be: the schema says that. Part of lint.ts.

import { isSameAddress } from '../addresses.ts';
import { formatPath, type Path } from '../path.ts';
import { type BackendConfig, type TlsConfig } from '../schema.ts';
import { formatDuration } from '../units.ts';
import {
  duration,
  error,
  forBackends,
  type LintFinding,
  type LintSource,
  type Rule,
  warning,
} from './finding.ts';

/** Below this a busy network makes healthy servers look dead; above, a hung server is noticed far too late. */
const TIMEOUT_MIN_MS = 10;
const TIMEOUT_MAX_MS = 60_000;

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

/** What a rule finds falls with the protocol: the file may mean another one. */
const byProtocol =
  (find: (backend: BackendConfig, path: Path, source: LintSource) => readonly (LintFinding | null)[]): Rule =>
  (config, source) =>
    Object.entries(config.backends).flatMap(([name, backend]) => {
      const path = ['backends', name];
      return find(backend, path, source).flatMap(found =>
        found === null ? [] : { ...found, about: [...found.about, [...path, 'protocol']] },
      );
    });

const promotionIsFastest = byProtocol(({ check }, path, source) => [
  'promotionIntervalMs' in check
    ? orderedIntervals(
        ['promotion_interval', check.promotionIntervalMs],
        ['fast_interval', check.fastIntervalMs],
        path,
        source,
      )
    : null,
]);

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

/** Every `tls` of a backend, with its place. */
function tlsOf(backend: BackendConfig, path: Path): readonly (readonly [tls: TlsConfig, path: Path])[] {
  const { check } = backend;
  const found: (readonly [TlsConfig, Path])[] = [];
  if ('tls' in check) found.push([check.tls, [...path, 'check', 'tls']]);
  if ('rest' in check && check.rest !== null) found.push([check.rest.tls, [...path, 'check', 'rest', 'tls']]);
  if ('sentinel' in backend && backend.sentinel !== null) {
    found.push([backend.sentinel.tls, [...path, 'sentinel', 'tls']]);
  }
  if (backend.protocol === 'postgres') {
    const { pgAutoFailover, patroni } = backend;
    if (pgAutoFailover !== null) found.push([pgAutoFailover.tls, [...path, 'pg_auto_failover', 'tls']]);
    if (patroni !== null) found.push([patroni.tls, [...path, 'patroni', 'tls']]);
  }
  return found;
}

const caFileIsUsed = byProtocol((backend, path, source) =>
  tlsOf(backend, path).map(([tls, place]) => {
    const at = [...place, 'ca_file'];
    if (tls.caFile === null) return null;
    if (tls.mode !== 'verify-ca' && tls.mode !== 'verify-full') {
      const message = 'does nothing unless mode is verify-ca or verify-full: no certificate is checked';
      return error(at, message, [...place, 'mode']);
    }
    const why = source.whyNoCertificates(tls.caFile);
    return why === null ? null : error(at, `${source.show(at)} ${why}`);
  }),
);

const serverNameIsUsed = byProtocol((backend, path) =>
  tlsOf(backend, path).map(([tls, place]) =>
    tls.serverName === null || tls.mode === 'verify-full'
      ? null
      : error([...place, 'server_name'], 'does nothing unless mode is verify-full: no name is checked', [
          ...place,
          'mode',
        ]),
  ),
);

/** What is logged in with, each with its place. */
function loginsOf(
  backend: BackendConfig,
  path: Path,
): readonly (readonly [login: { user: string | null; password: string | null }, path: Path])[] {
  const { check } = backend;
  const probe = 'password' in check ? ([[check, [...path, 'check']]] as const) : [];
  if (backend.protocol === 'postgres' && backend.pgAutoFailover !== null) {
    return [...probe, [backend.pgAutoFailover, [...path, 'pg_auto_failover']]];
  }
  if (!('sentinel' in backend) || backend.sentinel === null) return probe;
  return [...probe, [backend.sentinel, [...path, 'sentinel']]];
}

const passwordIsElsewhere = byProtocol((backend, path, source) =>
  loginsOf(backend, path).map(([{ password }, place]) => {
    const at = [...place, 'password'];
    if (password === null || password === '' || !source.isLiteral(at)) return null;
    return warning(at, 'a password in clear: whoever reads this file has it; use ${ENV} or ${file:/path}');
  }),
);

const redisUserHasPassword = byProtocol((backend, path) =>
  backend.protocol !== 'redis'
    ? []
    : loginsOf(backend, path).map(([{ user, password }, place]) =>
        user === null || password !== null
          ? null
          : error([...place, 'user'], 'does nothing without a password: AUTH needs both', [
              ...place,
              'password',
            ]),
      ),
);

/** Whom the members may be learned from: the key, and its own limit where the file sets one. */
const sourceKeys = ['sentinel', 'pg_auto_failover', 'patroni', 'dns'] as const;

function sourcesFor(protocol: BackendConfig['protocol']): string {
  switch (protocol) {
    case 'redis':
      return 'a sentinel or dns';
    case 'postgres':
      return 'pg_auto_failover, patroni or dns';
    default:
      return 'dns';
  }
}

const hasServers = byProtocol(({ protocol, servers }, path, source) => {
  const at = [...path, 'servers'];
  const used = sourceKeys.filter(key => source.has([...path, key]));
  if (used.length === 0) {
    const missing = `needs servers, or ${sourcesFor(protocol)} to learn them from`;
    return [source.has(at) ? null : error(path, missing, at)];
  }
  if (Object.keys(servers).length === 0) return [];
  return used.map(key => {
    if (key === 'dns') return error([...path, key], 'does nothing with servers: none is looked for', at);
    const limit = [...path, key, 'max_servers'];
    return source.has(limit) ? error(limit, 'does nothing with servers: none is learned', at) : null;
  });
});

const oneSource = byProtocol((_backend, path, source) => {
  const other = sourceKeys.find(key => key !== 'dns' && source.has([...path, key]));
  if (other === undefined || !source.has([...path, 'dns'])) return [];
  const message = `does not go with ${other}, which tells the servers itself`;
  return [error([...path, 'dns'], message, [...path, other])];
});

const discoveryHasPorts = byProtocol(({ dns }, path) => {
  if (dns === null) return [];
  const at = [...path, 'dns'];
  if (dns.type === 'a' && dns.port === null) {
    return [error(at, 'needs a port: addresses have none', [...at, 'port'], [...at, 'type'])];
  }
  if (dns.type === 'a' || dns.port === null) return [];
  return [error([...at, 'port'], 'does nothing with type srv: the records tell the ports', [...at, 'type'])];
});

/** An address that is written twice would be one voice with two votes. */
const addressesOnce = byProtocol((backend, path) => {
  const { protocol } = backend;
  const lists =
    protocol === 'redis'
      ? { sentinel: backend.sentinel?.addresses ?? [] }
      : { patroni: protocol === 'postgres' ? (backend.patroni?.addresses ?? []) : [] };
  return Object.entries(lists).flatMap(([key, addresses]) =>
    addresses.map((address, index) => {
      const first = addresses.findIndex(other => isSameAddress(other, address));
      const at = [...path, key, 'addresses', index];
      return first < index ? error(at, 'stands here twice', [...path, key, 'addresses', first]) : null;
    }),
  );
});

const oneOrchestrator = byProtocol((backend, path) =>
  backend.protocol === 'postgres' && backend.pgAutoFailover !== null && backend.patroni !== null
    ? [
        error([...path, 'patroni'], 'does not go with pg_auto_failover: only one may manage the servers', [
          ...path,
          'pg_auto_failover',
        ]),
      ]
    : [],
);

const sendNeedsExpect = byProtocol((backend, path) => {
  if (backend.protocol !== 'tcp') return [];
  const { send, expect } = backend.check;
  const at = [...path, 'check', 'send'];
  if (send === null || expect !== null) return [];
  return [error(at, 'does nothing without expect: no answer is looked at', [...path, 'check', 'expect'])];
});

const backendIsUsed: Rule = ({ frontends, backends }) => {
  const used = new Set(Object.values(frontends).map(({ backend }) => backend));
  return Object.keys(backends).flatMap(name =>
    used.has(name) ? [] : warning(['backends', name], 'no frontend uses this backend', ['frontends']),
  );
};

export const backendRules: readonly Rule[] = [
  separateServers,
  fastIsFaster,
  promotionIsFastest,
  sensibleTimeout,
  caFileIsUsed,
  serverNameIsUsed,
  backendIsUsed,
  passwordIsElsewhere,
  redisUserHasPassword,
  hasServers,
  oneSource,
  discoveryHasPorts,
  oneOrchestrator,
  addressesOnce,
  sendNeedsExpect,
];
