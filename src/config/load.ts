// The configuration from a file to a checked, complete value, or to every complaint about it at once with line and column.
// Reads files and the environment only through what it is given. Called at start, on reload and by `pointsman check`.

import { CONFIG_ISSUES_MAX, CONFIG_MAX_BYTES } from '../core/limits.ts';
import { readText, whyNoAuthorities, whyNoKeyPair } from './certificates.ts';
import { interpolate, whyUnreadable, type Sources } from './interpolate.ts';
import { knownKeys, placeholderFor, unknownKeyMessage, type KnownKey } from './keys.ts';
import { lint } from './lint.ts';
import { type LintSource } from './lint/finding.ts';
import { findings, reasonOf, type Finding } from './messages.ts';
import { areRelated, formatPath, isSecret, pathKey, quote, type Path } from './path.ts';
import { configSchema, type Config } from './schema.ts';
import { readYaml, type Complaint, type YamlTree } from './yaml-tree.ts';
import { prune, setValue, valueAt } from './values.ts';

/** One complaint. `line` and `column` count from 1; `path` is empty for what concerns the whole file. */
export interface Issue {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly path: string;
  readonly message: string;
}

export type LoadResult =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly Issue[] }
  | { readonly ok: false; readonly issues: readonly Issue[]; readonly warnings: readonly Issue[] };

const SHOWN_MAX_CHARS = 60;

/** `pointsman.yaml:9:11 frontends.app-rw.hold: "30 sec" is not a duration; …` */
export function formatIssue({ file, line, column, path, message }: Issue): string {
  return `${file}:${line}:${column}${path === '' ? '' : ` ${path}`}: ${message}`;
}

/**
 * Reads, checks and completes a configuration; never throws. Issues come in the order of the file, at most
 * `CONFIG_ISSUES_MAX` of them. They never hold a password, nor anything that came out of `${…}`.
 */
export function loadConfig(file: string, sources: Sources): LoadResult {
  const whole = (message: string): LoadResult => {
    return { ok: false, issues: [{ file, line: 1, column: 1, path: '', message }], warnings: [] };
  };
  let text: string;
  try {
    text = sources.readFile(file);
  } catch (thrown) {
    return whole(`the file cannot be read: ${whyUnreadable(thrown)}`);
  }
  if (Buffer.byteLength(text) > CONFIG_MAX_BYTES) {
    return whole(
      `the file is larger than ${CONFIG_MAX_BYTES / 1024 / 1024} MiB, too large for a configuration`,
    );
  }
  const tree = readYaml(text.replace(/^\uFEFF/, ''));
  const { config, errors, warnings } = new Loading(tree, sources).finish();
  const inOrder = (complaints: readonly Complaint[]): readonly Issue[] => toIssues(file, tree, complaints);
  return config === null
    ? { ok: false, issues: inOrder(errors), warnings: inOrder(warnings) }
    : { ok: true, config, warnings: inOrder(warnings) };
}

function toIssues(file: string, tree: YamlTree, complaints: readonly Complaint[]): readonly Issue[] {
  const issues = complaints
    .toSorted((one, other) => one.offset - other.offset)
    .map(({ offset, path, message }) => ({
      file,
      ...tree.lineAndColumn(offset),
      path: formatPath(path),
      message,
    }));
  const different = [...new Map(issues.map(issue => [formatIssue(issue), issue])).values()];
  const last = different.at(-1);
  if (last === undefined || different.length <= CONFIG_ISSUES_MAX) return different;
  const message = `${different.length - CONFIG_ISSUES_MAX + 1} more are not shown`;
  return [...different.slice(0, CONFIG_ISSUES_MAX - 1), { ...last, path: '', message }];
}

/** One load: the file's values with every `${…}` replaced, and what was found wrong on the way. */
class Loading {
  readonly #tree: YamlTree;
  readonly #sources: Sources;
  readonly #errors: Complaint[];
  readonly #warnings: Complaint[] = [];
  /** Path key to the references in the value, such as `${HOLD}`. */
  readonly #references = new Map<string, readonly string[]>();
  readonly #scalarSources = new Map<string, string>();
  /** Paths whose value is unknown because something was wrong with it already. */
  readonly #broken = new Map<string, Path>();
  readonly #values: unknown;
  readonly #known: readonly KnownKey[] = knownKeys();

  constructor(tree: YamlTree, sources: Sources) {
    this.#tree = tree;
    this.#sources = sources;
    this.#errors = [...tree.complaints];
    for (const { path } of tree.complaints) this.#markBroken(path);
    this.#values = structuredClone(tree.value);
  }

  finish(): { config: Config | null; errors: readonly Complaint[]; warnings: readonly Complaint[] } {
    if (this.#tree.value === undefined) return { config: null, errors: this.#errors, warnings: [] };
    this.#interpolateAll();
    const found = this.#check();
    for (const finding of found) this.#report(finding);
    const pruned = prune(this.#values, [...this.#broken.values()], found, path =>
      placeholderFor(path, this.#known),
    );
    if (pruned !== null) this.#lint(pruned.config, pruned.removed);
    const trusted = this.#trustedErrors();
    return {
      config: trusted.length === 0 ? (pruned?.config ?? null) : null,
      errors: trusted,
      warnings: this.#warnings,
    };
  }

  #interpolateAll(): void {
    for (const { path, value, source, offset } of this.#tree.scalars) {
      this.#scalarSources.set(pathKey(path), source);
      if (typeof value !== 'string' || !value.includes('${')) continue;
      const { text, references, problems } = interpolate(value, this.#sources);
      this.#references.set(pathKey(path), references);
      setValue(this.#values, path, text ?? undefined);
      if (text === null) this.#markBroken(path);
      for (const message of problems) this.#errors.push({ offset, path, message });
    }
  }

  /** Checks against the schema; text from `${…}` becomes a number where one is wanted. */
  #check(): readonly Finding[] {
    const first = this.#findings();
    const numbers = first.filter(({ wantsNumber, path }) => {
      const value = valueAt(this.#values, path);
      return (
        wantsNumber &&
        this.#references.has(pathKey(path)) &&
        typeof value === 'string' &&
        /^-?\d{1,15}$/.test(value)
      );
    });
    if (numbers.length === 0) return first;
    for (const { path } of numbers) {
      setValue(this.#values, path, Number(valueAt(this.#values, path)));
    }
    return this.#findings();
  }

  #findings(): readonly Finding[] {
    const result = configSchema.safeParse(this.#values, { error: reasonOf });
    return result.success ? [] : findings(result.error.issues, path => valueAt(this.#values, path));
  }

  #report(finding: Finding): void {
    const { kind, path, reason } = finding;
    if (this.#broken.has(pathKey(path)) && valueAt(this.#values, path) === undefined) return;
    switch (kind) {
      case 'unknown-key':
        this.#error(
          this.#tree.offsetOf(path, 'key'),
          path,
          unknownKeyMessage(path, this.#known, this.#protocolAt(path)),
        );
        return;
      case 'missing-key':
        this.#error(
          this.#tree.offsetOf(path.slice(0, -1), 'key'),
          path,
          `the key ${quote(String(path.at(-1)), 64)} is missing here`,
        );
        return;
      case 'bad-key':
        this.#error(this.#tree.offsetOf(path, 'key'), path, `${quote(String(path.at(-1)), 64)} ${reason}`);
        return;
      case 'value':
        this.#error(this.#tree.offsetOf(path, 'value'), path, `${this.#show(path)} ${reason}`);
        return;
    }
  }

  /** The protocol of the backend that a path leads into. */
  #protocolAt(path: Path): string | null {
    const protocol = path[0] === 'backends' ? valueAt(this.#values, [...path.slice(0, 2), 'protocol']) : null;
    return typeof protocol === 'string' ? protocol : null;
  }

  #markBroken(path: Path): void {
    if (path.length > 0) this.#broken.set(pathKey(path), path);
  }

  #error(offset: number, path: Path, message: string): void {
    this.#errors.push({ offset, path, message });
  }

  /** A value as it may appear in a message: what is secret, or came out of `${…}`, doesn't. */
  #show(path: Path): string {
    const references = this.#references.get(pathKey(path)) ?? [];
    if (references.length > 0) return `the value from ${[...new Set(references)].join(' and ')}`;
    if (isSecret(path)) return 'the value';
    if (path.length === 0) return 'the file'; // it may be the wrong file: a secret itself
    const value = valueAt(this.#values, path);
    if (value === null) return 'an empty value';
    if (Array.isArray(value)) return 'a list';
    if (typeof value === 'object') return Object.keys(value).length === 0 ? 'an empty mapping' : 'a mapping';
    const source = this.#scalarSources.get(pathKey(path)) ?? String(value);
    if (/[\r\n]/.test(source)) return 'a text over several lines';
    return typeof value === 'string' ? quote(source, SHOWN_MAX_CHARS) : source;
  }

  #lint(config: Config, removed: readonly Path[]): void {
    const tree = this.#tree;
    const source: LintSource = {
      has: path => tree.has(path),
      isLiteral: path => (this.#references.get(pathKey(path)) ?? []).length === 0,
      show: path => this.#show(path),
      whyNoCertificates: file => this.#whyNoCertificates(file),
      whyNoKeyPair: (certFile, keyFile) => whyNoKeyPair(certFile, keyFile, this.#sources),
      whyNoAuthorities: file => this.#ofFile(file, whyNoAuthorities),
      whyUnwritable: directory => this.#sources.whyUnwritable?.(directory) ?? null,
    };
    for (const { severity, path, about, message } of lint(config, source)) {
      if (about.some(one => removed.some(other => areRelated(one, other)))) continue;
      const complaints = severity === 'error' ? this.#errors : this.#warnings;
      complaints.push({ offset: tree.offsetOf(path, valueIsMeant(path) ? 'value' : 'key'), path, message });
    }
  }

  #whyNoCertificates(file: string): string | null {
    return this.#ofFile(file, text =>
      text.includes('-----BEGIN CERTIFICATE-----') ? null : 'is not a PEM file of certificates',
    );
  }

  #ofFile(file: string, why: (text: string) => string | null): string | null {
    const read = readText(file, this.#sources);
    return read.ok ? why(read.text) : read.reason;
  }

  /** Behind a syntax error the file may mean anything, and what seems missing or empty before it may stand there. */
  #trustedErrors(): readonly Complaint[] {
    const syntax = this.#errors.filter(error => error.syntax === true);
    if (syntax.length === 0) return this.#errors;
    const firstLine = Math.min(...syntax.map(({ offset }) => this.#tree.lineAndColumn(offset).line));
    const before = this.#errors.filter(
      ({ offset, path }) =>
        this.#tree.lineAndColumn(offset).line < firstLine &&
        this.#tree.has(path) &&
        valueAt(this.#values, path) !== null,
    );
    return [...syntax, ...before];
  }
}

/** A backend or a server is named by its key; everything else that a rule speaks of is a value. */
function valueIsMeant(path: Path): boolean {
  return !(path[0] === 'backends' && path.length === 2);
}
