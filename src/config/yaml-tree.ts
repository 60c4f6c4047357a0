// YAML text to plain values, with the position of every key and value, and every complaint that needs no schema.
// Knows nothing of our keys. Called by load.ts only. Text from strangers: depth, size and aliases are bounded here.

import {
  Composer,
  LineCounter,
  Parser,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type CST,
  type Node,
  type Pair,
} from 'yaml';
import { CONFIG_DEPTH_MAX, CONFIG_VALUES_MAX } from '../core/limits.ts';
import { isSecret, pathKey, quote, type Path } from './path.ts';
import { syntaxMessages } from './syntax-messages.ts';

/** Something wrong at one place of the file; `syntax`: what stands behind it can't be trusted to mean anything. */
export interface Complaint {
  readonly offset: number;
  readonly path: Path;
  readonly message: string;
  readonly syntax?: true;
}

interface Scalar {
  readonly path: Path;
  readonly offset: number;
  readonly value: string | number | boolean | null;
  /** As written, without quotes. */
  readonly source: string;
}

export interface YamlTree {
  /** Plain objects, arrays and scalars; `undefined` in the place of anything complained about. */
  readonly value: unknown;
  readonly scalars: readonly Scalar[];
  readonly complaints: readonly Complaint[];
  /** Where a key stands (`key`), or its value; for what isn't in the file, the nearest thing around it. */
  offsetOf(path: Path, part: 'key' | 'value'): number;
  lineAndColumn(offset: number): { readonly line: number; readonly column: number };
  has(path: Path): boolean;
}

interface Place {
  readonly key?: number;
  readonly value?: number;
}

/** Never throws. A leading byte order mark is the caller's to drop. */
export function readYaml(text: string): YamlTree {
  const lines = new LineCounter();
  const reader = new Reader();
  reader.read(text, lines);
  const offsetOf = (path: Path, part: 'key' | 'value'): number => {
    for (let length = path.length; length >= 0; length--) {
      const place = reader.places.get(pathKey(path.slice(0, length)));
      const exact = length === path.length && part === 'value';
      const offset = exact ? (place?.value ?? place?.key) : (place?.key ?? place?.value);
      if (offset !== undefined) return offset;
    }
    return 0;
  };
  return {
    value: reader.value,
    scalars: reader.scalars,
    complaints: reader.complaints,
    offsetOf,
    lineAndColumn(offset) {
      const { line, col } = lines.linePos(offset);
      return { line: Math.max(1, line), column: Math.max(1, col) };
    },
    has: path => reader.places.has(pathKey(path)),
  };
}

class Reader {
  value: unknown = undefined;
  readonly places = new Map<string, Place>();
  readonly scalars: Scalar[] = [];
  readonly complaints: Complaint[] = [];
  readonly #anchors = new Map<string, Node>();
  /** Anchored nodes that are being expanded now: meeting one again means it contains itself. */
  readonly #open = new Set<Node>();
  #values = 0;

  read(text: string, lines: LineCounter): void {
    const strange = /[^\P{Cc}\t\n\r]|\uFFFD/u.exec(text);
    const tokens = [...new Parser(lines.addNewLine).parse(text)];
    if (lines.lineStarts.length === 0) lines.addNewLine(0);
    if (strange !== null) {
      const code = (strange[0].codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
      const what =
        strange[0] === '\uFFFD' ? 'this is not UTF-8 text' : `the control character U+${code} is not allowed`;
      this.#syntax(strange.index, what);
      return;
    }
    const tooDeep = firstBelowDepth(tokens, CONFIG_DEPTH_MAX);
    if (tooDeep !== null) {
      this.#syntax(tooDeep, `nested more than ${CONFIG_DEPTH_MAX} levels deep`);
      return;
    }
    this.#compose(tokens, text.length);
  }

  #compose(tokens: readonly CST.Token[], length: number): void {
    const composer = new Composer({ schema: 'core', merge: false, uniqueKeys: false, prettyErrors: false });
    const [document, second] = [...composer.compose(tokens, true, length)];
    if (document === undefined) return;
    for (const { code, pos } of document.errors) {
      const quoteAt = code === 'MISSING_CHAR' ? unclosedQuote(tokens, pos[0]) : null;
      this.#syntax(quoteAt ?? pos[0], quoteAt === null ? syntaxMessages[code] : 'this quote is never closed');
    }
    for (const { code, pos } of document.warnings) {
      if (code !== 'TAG_RESOLVE_FAILED') this.#complain(pos[0], [], syntaxMessages[code]); // tags: see #node
    }
    if (second !== undefined) this.#syntax(second.range[0], syntaxMessages.MULTIPLE_DOCS);
    if (document.directives.yaml.version !== '1.2')
      this.#syntax(0, 'only YAML 1.2 is read; remove the %YAML line');
    if (document.contents === null) {
      this.#complain(0, [], 'the file holds no configuration; it needs "frontends" and "backends"');
      return;
    }
    if (isScalar(document.contents) && document.contents.value === null && document.errors.length === 0) {
      this.#complain(0, [], 'the file holds no configuration; it needs "frontends" and "backends"');
      return;
    }
    this.value = this.#node(document.contents, [], undefined);
  }

  #node(node: Node | null, path: Path, key: number | undefined): unknown {
    if (++this.#values > CONFIG_VALUES_MAX) {
      const message = `more than ${CONFIG_VALUES_MAX} keys and values, aliases expanded; nothing behind this is read`;
      if (this.#values === CONFIG_VALUES_MAX + 1) this.#syntax(node?.range?.[0] ?? key ?? 0, message);
      return undefined;
    }
    const offset = node?.range?.[0];
    const written = offset !== undefined && !(isScalar(node) && node.value === null && node.source === '');
    this.places.set(pathKey(path), {
      ...(key !== undefined && { key }),
      ...(written && { value: offset }),
    });
    const at = offset ?? key ?? 0;
    if (isAlias(node)) return this.#alias(node.source, at, path, key);
    if (node?.tag !== undefined) {
      this.#complain(at, path, syntaxMessages.TAG_RESOLVE_FAILED);
      return undefined;
    }
    if (node?.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (path.length > CONFIG_DEPTH_MAX) {
      this.#complain(at, path, `nested more than ${CONFIG_DEPTH_MAX} levels deep`);
      return undefined;
    }
    if (isMap(node))
      return this.#inside(node, () => this.#map(node.items as Pair<Node, Node | null>[], path));
    if (isSeq(node)) {
      return this.#inside(node, () =>
        node.items.map((item, index) => this.#node(item as Node | null, [...path, index], undefined)),
      );
    }
    return this.#scalar(node, at, path);
  }

  #inside<T>(node: Node, read: () => T): T {
    this.#open.add(node);
    const value = read();
    this.#open.delete(node);
    return value;
  }

  #alias(name: string, at: number, path: Path, key: number | undefined): unknown {
    const target = this.#anchors.get(name);
    if (target === undefined || this.#open.has(target)) {
      const why =
        target === undefined
          ? 'no anchor of this name stands before the alias'
          : 'the alias stands within what it names';
      this.#complain(at, path, why);
      return undefined;
    }
    return this.#node(target, path, key ?? at);
  }

  #map(pairs: readonly Pair<Node, Node | null>[], path: Path): Record<string, unknown> {
    const values: Record<string, unknown> = {};
    const seen = new Map<string, number>();
    for (const { key, value } of pairs) {
      const at =
        (key as Node | null)?.range?.[0] ?? value?.range?.[0] ?? this.places.get(pathKey(path))?.value ?? 0;
      const name = this.#key(key, at, path);
      if (name === null) continue;
      const child = [...path, name];
      const first = seen.get(name);
      if (first !== undefined) {
        this.#complain(
          at,
          child,
          `${isSecret(path) ? 'a key' : `the key ${quote(name, 64)}`} stands here a second time; only one can count`,
        );
        continue;
      }
      seen.set(name, at);
      values[name] = this.#node(value, child, at);
    }
    return values;
  }

  #key(key: Node | null, at: number, path: Path): string | null {
    if (!isScalar(key) || key.source === undefined || key.source === '' || key.tag !== undefined) {
      this.#complain(at, path, 'a key must be a plain word');
      return null;
    }
    if (key.source === '<<') {
      this.#complain(at, path, 'merge keys ("<<") are not supported; write the keys out');
      return null;
    }
    if (key.source === '__proto__') {
      this.#complain(at, path, '"__proto__" cannot be a key');
      return null;
    }
    return typeof key.value === 'string' ? key.value : key.source;
  }

  #scalar(node: Node | null, offset: number, path: Path): unknown {
    const value: unknown = isScalar(node) ? node.value : null;
    const source = isScalar(node) ? (typeof value === 'string' ? value : (node.source ?? '')) : '';
    if (
      value === null ||
      typeof value === 'string' ||
      typeof value === 'number' ||
      typeof value === 'boolean'
    ) {
      this.scalars.push({ path, offset, value, source });
      return value;
    }
    this.#complain(offset, path, 'this kind of YAML value is not supported; write it in quotes');
    return undefined;
  }

  #complain(offset: number, path: Path, message: string): void {
    this.complaints.push({ offset, path, message });
  }

  #syntax(offset: number, message: string): void {
    this.complaints.push({ offset, path: [], message, syntax: true });
  }
}

interface Nested {
  readonly token: CST.Token;
  readonly depth: number;
}

/** Every token with its depth. Walks with its own stack: the input may be hostile. */
function* walk(tokens: readonly CST.Token[]): Generator<Nested> {
  const pending: Nested[] = tokens.map(token => ({ token, depth: 0 }));
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    yield next;
    const { token, depth } = next;
    if (token.type === 'document' && token.value !== undefined) pending.push({ token: token.value, depth });
    if (!('items' in token)) continue;
    for (const { key, value } of token.items) {
      if (key) pending.push({ token: key, depth: depth + 1 });
      if (value) pending.push({ token: value, depth: depth + 1 });
    }
  }
}

/** Offset of something nested deeper than `limit`, else `null`. */
function firstBelowDepth(tokens: readonly CST.Token[], limit: number): number | null {
  for (const { token, depth } of walk(tokens)) {
    if (depth > limit) return token.offset;
  }
  return null;
}

/** Where the quote stands whose end is missing at `offset`, if that is what is missing. */
function unclosedQuote(tokens: readonly CST.Token[], offset: number): number | null {
  for (const { token } of walk(tokens)) {
    if (token.type !== 'double-quoted-scalar' && token.type !== 'single-quoted-scalar') continue;
    const end = token.offset + token.source.length;
    const closed = token.source.length > 1 && token.source.endsWith(token.source.charAt(0));
    if (!closed && token.offset <= offset && offset <= end) return token.offset;
  }
  return null;
}
