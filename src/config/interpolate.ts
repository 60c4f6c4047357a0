// `${NAME}` and `${file:/path}` in one scalar's text. The outcome is text and is never read as YAML again.
// Not the place that knows positions or secrets: yaml-tree.ts calls it, load.ts reports.

import { describeError } from '../core/errors.ts';
import { SECRET_FILE_MAX_BYTES } from '../core/limits.ts';

export interface Sources {
  /** Text of a file; throws if it can't be read. */
  readonly readFile: (path: string) => string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** `null`, or why no file can be made in that directory. Left out: nobody knows. */
  readonly whyUnwritable?: (directory: string) => string | null;
}

interface Interpolation {
  /** The finished text, or `null` if anything is wrong with it. */
  readonly text: string | null;
  /** The references as written, such as `${file:/run/secrets/token}`: safe to print, unlike what they stand for. */
  readonly references: readonly string[];
  readonly problems: readonly string[];
}

/** `$${`, or `${…}`, or an opening that nothing closes. */
const REFERENCE = /\$\$\{|\$\{([^{}]*)\}|\$\{/g;

/** Replaces every reference. `$${` is a literal `${`. A file's last line break is dropped. */
export function interpolate(text: string, sources: Sources): Interpolation {
  const references: string[] = [];
  const problems: string[] = [];
  const finished = text.replaceAll(REFERENCE, (found: string, body: string | undefined) => {
    if (found === '$${') return '${';
    const result = body === undefined ? MALFORMED : lookUp(body, sources);
    if (result.ok) {
      references.push(found);
      return result.text;
    }
    problems.push(result.problem);
    return '';
  });
  return { text: problems.length === 0 ? finished : null, references, problems };
}

type LookedUp =
  { readonly ok: true; readonly text: string } | { readonly ok: false; readonly problem: string };

/** Says nothing of what was written: it may be the password itself. */
const MALFORMED: LookedUp = {
  ok: false,
  problem: 'holds "${" that names nothing; write ${NAME} or ${file:/path}, or $${ where "${" itself is meant',
};

function lookUp(body: string, sources: Sources): LookedUp {
  if (body.startsWith('file:')) return fromFile(body.slice('file:'.length), sources);
  if (!/^[A-Za-z_]\w*$/.test(body)) return MALFORMED;
  const value = Object.hasOwn(sources.env, body) ? sources.env[body] : undefined;
  if (value === undefined) return { ok: false, problem: `the environment variable ${body} is not set` };
  if (value === '') return { ok: false, problem: `the environment variable ${body} is empty` };
  return { ok: true, text: value };
}

function fromFile(path: string, { readFile }: Sources): LookedUp {
  if (!path.startsWith('/')) return { ok: false, problem: 'needs the whole path of the file: ${file:/path}' };
  const file = `the file ${JSON.stringify(path)}`;
  let content: string;
  try {
    content = readFile(path);
  } catch (thrown) {
    return { ok: false, problem: `${file} cannot be read: ${whyUnreadable(thrown)}` };
  }
  if (Buffer.byteLength(content) > SECRET_FILE_MAX_BYTES) {
    return { ok: false, problem: `${file} is larger than ${SECRET_FILE_MAX_BYTES / 1024} KiB` };
  }
  const text = content.replace(/\r?\n$/, '');
  return text === '' ? { ok: false, problem: `${file} is empty` } : { ok: true, text };
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'a part of its path is no directory',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
};

/** The reason in words, without the path, which the caller names. */
export function whyUnreadable(thrown: unknown): string {
  const { code } = describeError(thrown);
  return reasons[code] ?? `error ${code}`;
}
