// Which keys belong where, read from the JSON Schema: for suggestions and for the reference page. Pure.
// Knows no values and no positions. Called by load.ts and reference.ts.

import { configJsonSchema, type JsonSchema } from './json-schema.ts';
import { quote, type Path } from './path.ts';
import { didYouMean, nearest } from './suggest.ts';

/** Stands in a path where a name of the user's choice stands in the file. */
export const ANY_NAME = '<name>';

export interface KnownKey {
  /** From the top, names replaced by `<name>`. */
  readonly path: readonly string[];
  readonly schema: JsonSchema;
  readonly required: boolean;
  /** Of a key inside a backend, the protocol it is for: such a key is here once for each. Else `null`. */
  readonly protocol: string | null;
}

let keys: readonly KnownKey[] | null = null;

/** Every key that the schema knows, parents first, in the schema's order. Made once: it takes longer than loading a file. */
export function knownKeys(): readonly KnownKey[] {
  keys ??= below(configJsonSchema(), [], null);
  return keys;
}

function below(schema: JsonSchema, path: readonly string[], within: string | null): readonly KnownKey[] {
  const protocol = protocolOf(schema) ?? within;
  const { additionalProperties } = schema;
  const named = Object.entries(schema.properties ?? {}).flatMap(([key, child]) => {
    if (typeof child === 'boolean') return [];
    const at = [...path, key];
    return [
      { path: at, schema: child, required: schema.required?.includes(key) ?? false, protocol },
      ...below(child, at, protocol),
    ];
  });
  const free =
    typeof additionalProperties === 'object'
      ? below(additionalProperties, [...path, ANY_NAME], protocol)
      : [];
  const variants = (schema.anyOf ?? []).flatMap(child =>
    typeof child === 'boolean' ? [] : below(child, path, protocol),
  );
  return [...named, ...free, ...variants];
}

/** The one protocol that a form of a backend is for, `null` for any other schema. */
function protocolOf({ properties }: JsonSchema): string | null {
  const schema = properties?.['protocol'];
  if (typeof schema !== 'object') return null;
  const [only] = [schema, ...(schema.anyOf ?? [])].flatMap(form =>
    typeof form === 'object' && form.const !== undefined ? [String(form.const)] : [],
  );
  return only ?? null;
}

/**
 * What is wrong with a key that the schema doesn't know, and what was probably meant. `protocol`: that of the backend
 * which the key stands in; `null` elsewhere.
 */
export function unknownKeyMessage(path: Path, known: readonly KnownKey[], protocol: string | null): string {
  const key = String(path.at(-1));
  const parent = path.slice(0, -1);
  const places = known.filter(({ path: at }) => at.length === path.length && isBelow(at, parent));
  const siblings = places.filter(place => place.protocol === protocol).map(nameOf);
  const message = `unknown key ${quote(key, 64)}`;
  const foreign = places.flatMap(place => (nameOf(place) === key ? (place.protocol ?? []) : []));
  if (foreign.length > 0 && protocol !== null) {
    const all = siblings.join(', ');
    return `${message}: it is for protocol ${alternatives(foreign)}, and this is ${protocol}; known here: ${all}`;
  }
  if (nearest(key, siblings) !== null) return message + didYouMean(key, siblings);
  const homes = known
    .filter(entry => nameOf(entry) === key && (protocol ?? entry.protocol) === entry.protocol)
    .map(entry => entry.path.slice(0, -1).join('.') || 'the top level');
  if (homes.length > 0) return `${message}; it belongs in ${[...new Set(homes)].join(' or ')}`;
  return siblings.length === 0 ? message : `${message}; known here: ${siblings.join(', ')}`;
}

/** A valid value for a key that must be there, `undefined` for any other path. */
export function placeholderFor(path: Path, known: readonly KnownKey[]): unknown {
  const key = known.find(
    ({ path: at, required }) => required && at.length === path.length && isBelow(at, path),
  );
  return key?.schema.examples?.[0];
}

const alternatives = (names: readonly string[]): string =>
  [names.slice(0, -1).join(', '), ...names.slice(-1)].filter(part => part !== '').join(' or ');

const nameOf = ({ path }: KnownKey): string => path.at(-1) ?? '';

/** Whether a known path leads through (or to) a path of the file. */
function isBelow(known: readonly string[], parent: Path): boolean {
  return parent.every((segment, index) => known[index] === segment || known[index] === ANY_NAME);
}
