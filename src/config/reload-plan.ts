// What a changed configuration changes, by the keys' names in the file and never their values; and what of it can't be
// applied while Pointsman runs. Pure. The applying itself is in app/reload.ts.

import { isDeepStrictEqual } from 'node:util';
import { type Issue } from './load.ts';
import { formatPath, type Path } from './path.ts';
import { type Config } from './schema.ts';

/** Whoever adds a part of the configuration decides here what a reload makes of it. */
const treatments: Readonly<Record<keyof Config, 'in-process' | 'restart'>> = {
  admin: 'in-process',
  log: 'in-process',
  // Threads, their sockets and what moves the bytes are made once.
  engine: 'restart',
  dns: 'in-process',
  // Its lock and what was read from it belong to the start.
  stateFile: 'restart',
  // Its session is made once.
  rateLimitStore: 'restart',
  drainTimeoutMs: 'in-process',
  reloadOnChange: 'in-process',
  // A run under way goes on as it began.
  runbooks: 'in-process',
  backups: 'in-process',
  frontends: 'in-process',
  backends: 'in-process',
};

export interface ReloadPlan {
  /** Such as `frontends.app-rw.hold`, `backends.app.servers.pg3 (new)`, in the order of the file's parts. */
  readonly changes: readonly string[];
  /** Those of them that only a restart applies; then none is. */
  readonly needRestart: readonly string[];
}

/** What became of a reload. Everything but `applied` has changed nothing. */
export type ReloadOutcome = { readonly generation: number; readonly warnings: readonly Issue[] } & (
  | { readonly kind: 'applied'; readonly changes: readonly string[] }
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'invalid'; readonly issues: readonly Issue[] }
  | { readonly kind: 'needs-restart'; readonly needRestart: readonly string[] }
  /** A port could not be opened, say. */
  | { readonly kind: 'failed'; readonly why: string }
);

export const reloadOutcomes = ['applied', 'unchanged', 'invalid', 'needs-restart', 'failed'] as const;

export function planReload(before: Config, after: Config): ReloadPlan {
  const parts = Object.keys(treatments) as (keyof Config)[];
  const changesOf = (part: keyof Config): readonly string[] => differences(before[part], after[part], [part]);
  return {
    changes: parts.flatMap(changesOf),
    needRestart: [
      ...parts.filter(part => treatments[part] === 'restart').flatMap(changesOf),
      ...protocolOfAdmin(changesOf('admin')),
    ],
  };
}

/** HTTP becomes HTTPS, or the reverse, on another port only: the open one speaks what it was opened for. */
function protocolOfAdmin(changes: readonly string[]): readonly string[] {
  return changes.some(change => change.startsWith('admin.bind'))
    ? []
    : changes.filter(change => change === 'admin.tls');
}

function differences(before: unknown, after: unknown, path: Path): readonly string[] {
  if (!isMapping(before) || !isMapping(after)) return isDeepStrictEqual(before, after) ? [] : [nameOf(path)];
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  const found = [...keys].flatMap(key => {
    const inner = [...path, key];
    if (!Object.hasOwn(before, key)) return [`${nameOf(inner)} (new)`];
    if (!Object.hasOwn(after, key)) return [`${nameOf(inner)} (removed)`];
    return differences(before[key], after[key], inner);
  });
  // Who is first in the file may be chosen for that.
  const isReordered = Object.keys(before).join() !== Object.keys(after).join();
  return found.length === 0 && isReordered && path.at(-1) === 'servers' ? [`${nameOf(path)} (order)`] : found;
}

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** As the file has it: names of people's own stay, `holdMs` is `hold`. */
function nameOf(path: Path): string {
  const hasNames = { backends: 'servers', runbooks: 'steps' }[String(path[0])] === path[2];
  const own = new Set([1, ...(hasNames ? [3] : [])]);
  const isNamed = ['frontends', 'backends', 'runbooks'].includes(String(path[0]));
  return formatPath(
    path.map((step, index) =>
      (isNamed && own.has(index)) || typeof step === 'number'
        ? step
        : step.replace(/(Ms|Seconds)$/, '').replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`),
    ),
  );
}
