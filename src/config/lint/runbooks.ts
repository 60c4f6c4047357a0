// Rules about runbooks: what they name must be there, what they need must be given, and what only looks safe is told.
// Not what a single value must be: the schema says that. Part of lint.ts.

import { type Path } from '../path.ts';
import { type BackendConfig, type Config, type RunbookConfig, type StepAction } from '../schema.ts';
import { didYouMean } from '../suggest.ts';
import { backendOf, error, type LintFinding, type LintSource, type Rule, warning } from './finding.ts';

interface Case {
  readonly name: string;
  readonly runbook: RunbookConfig;
  readonly backend: BackendConfig;
  readonly path: Path;
  readonly source: LintSource;
  readonly config: Config;
}

/** One rule on every runbook that is a backend's. */
const forRunbooks =
  (find: (one: Case) => readonly (LintFinding | null)[]): Rule =>
  (config, source) =>
    Object.entries(config.runbooks).flatMap(([name, runbook]) => {
      const backend = backendOf(config, name);
      if (backend === undefined) return [];
      const found = find({ name, runbook, backend, path: ['runbooks', name], source, config });
      return found.flatMap(one =>
        one === null ? [] : { ...one, about: [...one.about, ['backends', name, 'protocol']] },
      );
    });

const ofABackend: Rule = ({ runbooks, backends }) =>
  Object.keys(runbooks).flatMap(name => {
    if (Object.hasOwn(backends, name)) return [];
    const hint = didYouMean(name, Object.keys(backends));
    return error(['runbooks', name], `is no backend of this file${hint}`, ['backends', name]);
  });

const hasRoles = forRunbooks(({ backend, path }) =>
  backend.protocol === 'http' || backend.protocol === 'tcp'
    ? [error(path, `does nothing: servers of protocol ${backend.protocol} have no primary`)]
    : [],
);

/** The books, as lists of names of steps, each with its place. */
function booksOf({
  runbook,
  path,
}: Pick<Case, 'runbook' | 'path'>): readonly (readonly [readonly string[], Path])[] {
  const { beforePromote, onPrimaryLost, onPromoted, onPrimaryReturned, failback, switchover } = runbook;
  const planned = Object.entries({ failback, switchover }).flatMap(([book, keys]) =>
    keys === null
      ? []
      : (['prepare', 'steps', 'after'] as const).map(key => [keys[key], [...path, book, key]] as const),
  );
  const lost =
    onPrimaryLost === null
      ? []
      : (['steps', 'after'] as const).map(
          key => [onPrimaryLost[key], [...path, 'on_primary_lost', key]] as const,
        );
  return [
    [beforePromote, [...path, 'before_promote']],
    ...lost,
    [onPromoted, [...path, 'on_promoted']],
    [onPrimaryReturned, [...path, 'on_primary_returned']],
    ...planned,
  ];
}

const stepsAreThere = forRunbooks(one => {
  const known = Object.keys(one.runbook.steps);
  return booksOf(one).flatMap(([names, at]) =>
    names.map((name, index) =>
      known.includes(name)
        ? null
        : error([...at, index], `"${name}" is no step of this runbook${didYouMean(name, known)}`, [
            ...one.path,
            'steps',
            name,
          ]),
    ),
  );
});

const stepsAreUsed = forRunbooks(one => {
  const used = new Set(booksOf(one).flatMap(([names]) => names));
  return Object.keys(one.runbook.steps).map(name =>
    used.has(name) ? null : warning([...one.path, 'steps', name], 'no book uses this step'),
  );
});

const bookIsFull = forRunbooks(({ runbook, path }) => [
  runbook.beforePromote.length > 0 && runbook.onPrimaryLost === null
    ? error([...path, 'before_promote'], 'does nothing without on_primary_lost, whose beginning it is', [
        ...path,
        'on_primary_lost',
      ])
    : null,
]);

/** A name, or what stands for one at run time. */
const isVariable = (text: string): boolean => /\{\{.*\}\}/.test(text);

function serversIn(action: StepAction): readonly (readonly [string, Path])[] {
  switch (action.kind) {
    case 'sql':
      return [
        [action.server, ['sql', 'server']],
        ...(action.same === null ? [] : [[action.same.server, ['sql', 'same_on']] as const]),
      ];
    case 'wait': {
      const { probe, sql } = action;
      return [
        ...(probe === null ? [] : [[probe.server, ['wait', 'server']] as const]),
        ...(sql === null
          ? []
          : serversIn({ ...sql, kind: 'sql' }).map(([name, at]) => [name, ['wait', ...at]] as const)),
      ];
    }
    default:
      return [];
  }
}

const serversAreThere = forRunbooks(({ name, runbook, backend, path }) => {
  const members = Object.keys(backend.servers);
  // Learned members have names of ours: they may be named, and may not be there.
  if (members.length === 0) return [];
  const named: (readonly [string, Path])[] = [
    ...Object.entries(runbook.steps).flatMap(([step, { action }]) =>
      serversIn(action).map(([server, at]) => [server, [...path, 'steps', step, ...at]] as const),
    ),
    ...(['onPrimaryLost', 'failback', 'switchover'] as const).flatMap(book => {
      const activate = runbook[book]?.activate ?? null;
      const key = book === 'onPrimaryLost' ? 'on_primary_lost' : book;
      return activate === null ? [] : [[activate, [...path, key, 'activate']] as const];
    }),
  ];
  return named.map(([server, at]) =>
    isVariable(server) || members.includes(server)
      ? null
      : error(at, `"${server}" is no server of ${name}${didYouMean(server, members)}`, [
          'backends',
          name,
          'servers',
        ]),
  );
});

const speaksSql = forRunbooks(({ runbook, backend, path }) => {
  if (backend.protocol === 'postgres' || backend.protocol === 'mysql') return [];
  return Object.entries(runbook.steps).map(([step, { action }]) => {
    const asks = action.kind === 'sql' || (action.kind === 'wait' && action.sql !== null);
    return asks
      ? error(
          [...path, 'steps', step],
          `cannot be asked: servers of protocol ${backend.protocol} know no SQL`,
        )
      : null;
  });
});

/** Words that steps are told; those of `restore` know the file too. */
const WORD =
  /^\{\{\s*((from|to)(\.(address|host|port|position))?|server\..+\.(address|host|port|position)|backend|book|run|step|epoch|file)\s*\}\}$/;

function textsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(textsIn);
}

const wordsAreKnown = forRunbooks(({ runbook, path }) =>
  Object.entries(runbook.steps).map(([step, { action }]) => {
    if (action.kind === 'shell') return null;
    const all = textsIn(action).flatMap(text => [...text.matchAll(/\{\{[^{}]*\}\}/g)].map(([word]) => word));
    const unknown = all.find(
      word => !WORD.test(word) || (word.includes('file') && action.kind !== 'restore'),
    );
    return unknown === undefined
      ? null
      : error(
          [...path, 'steps', step],
          `${unknown} stands for nothing; known are {{from}}, {{to}}, {{server.NAME}}, each with .address, .host, .port or .position, {{backend}}, {{book}}, {{run}}, {{step}}, {{epoch}}`,
        );
  }),
);

const isOnRecord = forRunbooks(({ runbook, path, config }) => {
  if (config.stateFile !== null) return [];
  const why =
    'needs state_file: without it nobody knows after a restart how far it was, nor who may be followed';
  return (['on_primary_lost', 'failback'] as const).map(key =>
    (key === 'failback' ? runbook.failback : runbook.onPrimaryLost) === null
      ? null
      : error([...path, key], why, ['state_file']),
  );
});

const canBeCommanded = forRunbooks(({ runbook, path, config }) => {
  if (config.admin.token !== null) return [];
  return (['failback', 'switchover'] as const).map(key =>
    runbook[key] === null
      ? null
      : warning(
          [...path, key],
          `can only be begun with a token, and there is no admin.token: pointsman ${key} will be refused`,
          ['admin', 'token'],
        ),
  );
});

const oneDecides = forRunbooks(({ runbook, backend, path }) => {
  const manager =
    backend.protocol === 'postgres'
      ? ((backend.pgAutoFailover && 'pg_auto_failover') ?? (backend.patroni && 'patroni'))
      : backend.protocol === 'redis'
        ? backend.sentinel && 'sentinel'
        : null;
  return [
    manager === null || runbook.onPrimaryLost === null
      ? null
      : warning(
          [...path, 'on_primary_lost'],
          `${manager} promotes by itself when the primary is lost: two that decide may decide differently`,
        ),
  ];
});

const passwordsAreElsewhere = forRunbooks(({ runbook, path, source }) => {
  const places: (readonly [string | null, Path])[] = [
    [runbook.login.password, [...path, 'login', 'password']],
    ...Object.entries(runbook.steps).flatMap(([step, { action }]) => {
      const at = [...path, 'steps', step];
      if (action.kind === 'sql') return [[action.login.password, [...at, 'sql', 'password']] as const];
      if (action.kind !== 'wait' || action.sql === null) return [];
      return [[action.sql.login.password, [...at, 'wait', 'sql', 'password']] as const];
    }),
  ];
  return places.map(([password, at]) =>
    password === null || password === '' || !source.isLiteral(at)
      ? null
      : warning(at, 'a password in clear: whoever reads this file has it; use ${ENV} or ${file:/path}'),
  );
});

export const runbookRules: readonly Rule[] = [
  ofABackend,
  hasRoles,
  stepsAreThere,
  stepsAreUsed,
  bookIsFull,
  serversAreThere,
  speaksSql,
  wordsAreKnown,
  isOnRecord,
  canBeCommanded,
  oneDecides,
  passwordsAreElsewhere,
];
