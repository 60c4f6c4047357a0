// Reading and replacing inside plain values by path, and the part of a faulty configuration that can still be judged.
// Pure; used by load.ts only.

import { findings, reasonOf, type Finding } from './messages.ts';
import { pathKey, type Path } from './path.ts';
import { configSchema, type Config } from './schema.ts';

type Container = Record<string | number, unknown>;

function childOf(value: unknown, segment: string | number): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, segment)) return undefined;
  return (value as Container)[segment];
}

export function valueAt(root: unknown, path: Path): unknown {
  return path.reduce(childOf, root);
}

/** Replaces what stands at `path`, in place; nothing happens where the way there doesn't exist, or for an empty path. */
export function setValue(root: unknown, path: Path, value: unknown): void {
  const parent = valueAt(root, path.slice(0, -1));
  const last = path.at(-1);
  if (typeof parent === 'object' && parent !== null && last !== undefined)
    (parent as Container)[last] = value;
}

/** Removes the key at `path`, in place, or the whole list if `path` leads into one; gives the path that was removed. */
function remove(root: unknown, path: Path): Path {
  const list = path.findIndex((_, length) => Array.isArray(valueAt(root, path.slice(0, length))));
  const removed = list === -1 ? path : path.slice(0, list);
  const parent = valueAt(root, removed.slice(0, -1));
  const last = removed.at(-1);
  if (typeof parent === 'object' && parent !== null && last !== undefined)
    Reflect.deleteProperty(parent, last);
  return removed;
}

/**
 * The configuration without what is wrong in it, so that the rules between keys can still judge the rest, and the paths
 * that were removed. `placeholder` gives a valid value for what can't be left out, and `undefined` for everything else.
 * `null` if nothing judgeable is left.
 */
export function prune(
  values: unknown,
  broken: readonly Path[],
  found: readonly Finding[],
  placeholder: (path: Path) => unknown,
): { readonly config: Config; readonly removed: readonly Path[] } | null {
  const removed = new Map<string, Path>();
  const rest = structuredClone(values);
  const drop = (path: Path): void => {
    const gone = remove(rest, path);
    removed.set(pathKey(gone), gone);
    const instead = placeholder(gone);
    if (instead !== undefined) setValue(rest, gone, structuredClone(instead));
  };
  for (const path of broken) drop(path);
  for (let round = found; ;) {
    for (const { kind, path } of round) {
      if (path.length === 0) return null;
      if (kind === 'unknown-key') remove(rest, path);
      else drop(path);
    }
    const result = configSchema.safeParse(rest, { error: reasonOf });
    if (result.success) return { config: result.data, removed: [...removed.values()] };
    const next = findings(result.error.issues, path => valueAt(rest, path));
    if (sameFindings(round, next)) return null;
    round = next;
  }
}

/** No progress: removing these changed nothing. */
function sameFindings(one: readonly Finding[], other: readonly Finding[]): boolean {
  const keys = (all: readonly Finding[]): string => all.map(({ kind, path }) => kind + pathKey(path)).join();
  return keys(one) === keys(other);
}
