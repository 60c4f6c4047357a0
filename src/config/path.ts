// Where a value stands in the configuration: the keys and indexes that lead to it. Pure.
// Used by the loader, the rules and the reference page; the program at run time never sees a path.

import { truncate } from '../core/limits.ts';

export type Path = readonly (string | number)[];

/** Keys whose content is never printed, whatever stands below them. */
const secretKeys: ReadonlySet<string | number> = new Set(['password', 'token']);

const SEGMENT_MAX_CHARS = 64;

/** One string for one path, for maps and sets. */
export function pathKey(path: Path): string {
  return JSON.stringify(path);
}

export function isSecret(path: Path): boolean {
  return path.some(segment => secretKeys.has(segment));
}

/** Whether one of the two paths leads through the other. */
export function areRelated(one: Path, other: Path): boolean {
  const [short, long] = one.length <= other.length ? [one, other] : [other, one];
  return short.every((segment, index) => segment === long[index]);
}

/** `frontends.app-rw.allow[1]`; what stands below a secret is left out, strange keys are quoted. */
export function formatPath(path: Path): string {
  const secret = path.findIndex(segment => secretKeys.has(segment));
  const shown = secret === -1 ? path : path.slice(0, secret + 1);
  return shown
    .map((segment, index) => {
      if (typeof segment === 'number') return `[${segment}]`;
      const plain = /^[\w.-]{1,64}$/.test(segment) ? segment : quote(segment, SEGMENT_MAX_CHARS);
      return index === 0 ? plain : `.${plain}`;
    })
    .join('');
}

/** Text of a stranger made fit for one line of a message. */
export function quote(text: string, maxChars: number): string {
  return JSON.stringify(truncate(text, maxChars));
}
