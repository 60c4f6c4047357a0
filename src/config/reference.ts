// docs/configuration.md, made from the schema: intro, annotated example, one table per section. Pure: no file is written.
// A test compares the page with this text. Also the door to the JSON Schema for `pointsman schema`.

import { configJsonSchema, type JsonSchema } from './json-schema.ts';
import { ANY_NAME, knownKeys, type KnownKey } from './keys.ts';
import { DURATION_PATTERN, HOST_PORT_PATTERN } from './units.ts';

export { configJsonSchema };

const COMMENT_MAX_CHARS = 100;

const INTRO = `# Configuration

<!-- Made from the schema in src/config/schema.ts; edit that, then run: npm run docs -->

Pointsman reads one YAML file (\`pointsman run -c FILE\`; without \`-c\`, \`pointsman.yaml\`).
\`pointsman check -c FILE\` says everything that is wrong with it at once, as \`file:line:column path: message\`.
Unknown keys are errors, and so is a key that would do nothing. \`pointsman schema\` prints the JSON Schema for your editor.

The least that works:

\`\`\`yaml
frontends:
  app:
    bind: 127.0.0.1:5432
    backend: app
backends:
  app:
    protocol: postgres
    check: { user: probe, password: '\${PROBE_PASSWORD}' }
    servers: { pg1: 10.0.0.1:5432, pg2: 10.0.0.2:5432 }
\`\`\`

And for servers that speak anything else over TCP, as long as each of them will do:

\`\`\`yaml
frontends:
  web:
    bind: 127.0.0.1:8080
    backend: web
    route: any
backends:
  web:
    protocol: tcp
    servers: { web1: 10.0.0.1:8080, web2: 10.0.0.2:8080 }
\`\`\`
`;

const RULES = `## Values

- **Durations** carry a unit: \`250ms\`, \`2s\`, \`1.5m\`, \`1h\`, at most \`7d\`. \`0\` needs none.
- **Addresses** are \`host:port\`, for IPv6 \`[address]:port\`. Hosts may be names.
- **Networks** are \`10.0.0.0/8\`, \`fd00::/8\` or a single address.
- **Names** (of frontends, backends, servers) start with a letter or digit, hold up to 63 letters, digits, \`_\`, \`.\` and \`-\`,
  and are more than a number.
- The file is YAML 1.2, at most 1 MiB. Anchors and aliases work; merge keys (\`<<\`), tags (\`!…\`) and a second document don't.

## Secrets

\`\${NAME}\` stands for an environment variable, \`\${file:/path}\` for the text of a file (its last line break is dropped).
Both work in any value, numbers and durations included, and as a part of one; \`$\${\` is a literal \`\${\`.
What they stand for is never read as YAML and never printed. A variable that isn't set or is empty, and a file that is
empty or can't be read, is an error.

Within \`{ … }\` and \`[ … ]\` YAML wants quotes around them: \`{ user: probe, password: '\${PROBE_PASSWORD}' }\`.
`;

/** The whole page, ending in a line break. */
export function configReference(): string {
  const keys = documentedKeys(knownKeys());
  const example = ['```yaml', ...annotate(keys, [], ''), '```'].join('\n');
  const sections = sectionsOf(keys).map(path => section(path, keys));
  const everything =
    'Every key, with its default where it has one. Keys behind `#` have none: they are off until you write them.';
  return [INTRO, RULES, `## Every key in its place\n\n${everything}\n\n${example}\n`, ...sections].join('\n');
}

/** A key as readers meet it: once, with what it is for every protocol. */
interface DocumentedKey extends Pick<KnownKey, 'path' | 'schema'> {
  /** `required`, perhaps for one protocol only; `null` if it may be left out. */
  readonly demand: string | null;
  /** The one protocol that has this key, where its section is there for others too. */
  readonly only: string | null;
}

function documentedKeys(known: readonly KnownKey[]): readonly DocumentedKey[] {
  const protocols = new Set(known.flatMap(({ protocol }) => protocol ?? []));
  const byPath = new Map<string, KnownKey[]>();
  for (const key of known) {
    const at = key.path.join('.');
    byPath.set(at, [...(byPath.get(at) ?? []), key]);
  }
  const isForSome = (path: readonly string[]): boolean => {
    const forms = byPath.get(path.join('.')) ?? [];
    return forms.some(({ protocol }) => protocol !== null) && forms.length < protocols.size;
  };
  return [...byPath.values()].flatMap(forms => {
    const [first] = forms;
    if (first === undefined) return [];
    const { path, schema, protocol } = first;
    const demanding = forms.filter(({ required }) => required);
    const all = demanding.length === forms.length;
    const names = demanding.map(form => `\`${form.protocol}\``).join(', ');
    return {
      path,
      schema: { ...schema, anyOf: forms.flatMap(form => form.schema.anyOf ?? []) },
      demand: all ? 'required' : demanding.length > 0 ? `required for ${names}` : null,
      only: isForSome(path) && !isForSome(path.slice(0, -1)) ? protocol : null,
    };
  });
}

const meaningOf = ({ only, schema }: DocumentedKey): string =>
  `${only === null ? '' : `Protocol \`${only}\` only. `}${schema.description ?? ''}`;

/** Whether keys of ours stand below this one, directly or below a name. */
function isSection({ path }: DocumentedKey, keys: readonly DocumentedKey[]): boolean {
  return keys.some(
    other => other.path.length > path.length && path.every((segment, index) => other.path[index] === segment),
  );
}

/** The mappings that have keys of ours directly in them, the top first. */
function sectionsOf(keys: readonly DocumentedKey[]): readonly (readonly string[])[] {
  const parents = keys.map(({ path }) => path.slice(0, -1));
  return [...new Map(parents.map(path => [path.join('.'), path])).values()];
}

function section(path: readonly string[], keys: readonly DocumentedKey[]): string {
  const title = path.length === 0 ? 'The top level' : `\`${path.join('.')}\``;
  const rows = keys
    .filter(
      key =>
        key.path.length === path.length + 1 && path.every((segment, index) => key.path[index] === segment),
    )
    .map(key => row(key, keys));
  return [
    `## ${title}`,
    '',
    '| key | type | default | meaning |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

function row(key: DocumentedKey, keys: readonly DocumentedKey[]): string {
  const { schema, demand } = key;
  const type = isSection(key, keys) ? 'mapping' : typeName(schema);
  const preset =
    schema.default === undefined || isSection(key, keys) ? null : `\`${inline(schema.default)}\``;
  const cells = [`\`${key.path.at(-1) ?? ''}\``, type, demand ?? preset ?? '–', meaningOf(key)];
  return `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function typeName(schema: JsonSchema): string {
  const forms = [schema, ...(schema.anyOf ?? [])].filter(form => typeof form === 'object');
  const choices = forms.flatMap(({ enum: values, const: only }) =>
    typeof only === 'string' ? [only] : (values ?? []),
  );
  if (choices.length > 0) return choices.map(choice => `\`${String(choice)}\``).join(', ');
  if (forms.some(({ pattern }) => pattern === DURATION_PATTERN)) return 'duration';
  if (forms.some(({ pattern }) => pattern === HOST_PORT_PATTERN)) return 'address';
  const number = forms.find(({ type }) => type === 'integer');
  if (number !== undefined) return `number, ${number.minimum ?? 0} to ${number.maximum ?? 'any'}`;
  if (forms.some(({ type }) => type === 'array')) return 'list of networks';
  return 'text';
}

/** YAML lines for a mapping: each key with its meaning above it. */
function annotate(keys: readonly DocumentedKey[], path: readonly string[], indent: string): string[] {
  const here = keys.filter(
    key => key.path.length === path.length + 1 && path.every((segment, index) => key.path[index] === segment),
  );
  return here.flatMap((key, index) => {
    const name = key.path.at(-1) ?? '';
    const gap = index > 0 && indent === '' ? [''] : [];
    const comment = wrap(meaningOf(key), COMMENT_MAX_CHARS - indent.length).map(line => `${indent}# ${line}`);
    return [...gap, ...comment, ...entry(name, key, keys, indent)];
  });
}

function entry(name: string, key: DocumentedKey, keys: readonly DocumentedKey[], indent: string): string[] {
  const { schema, demand, path } = key;
  const sample: unknown = schema.examples?.[0];
  const deeper = `${indent}  `;
  if (isSection(key, keys)) {
    if (typeof schema.additionalProperties !== 'object') {
      return [`${indent}${name}:`, ...annotate(keys, path, deeper)];
    }
    const members = Object.entries(sample as Record<string, unknown>);
    const lines = members.flatMap(([member, value]) =>
      typeof value === 'string'
        ? [`${deeper}${member}: ${value}`]
        : [`${deeper}${member}:`, ...annotate(keys, [...path, ANY_NAME], `${deeper}  `)],
    );
    return [`${indent}${name}:`, ...lines];
  }
  const off = demand === null && schema.default === undefined ? '# ' : '';
  return [`${indent}${off}${name}: ${inline(schema.default ?? sample)}`];
}

/** A value on one line of YAML; ours need no quotes. */
function inline(value: unknown): string {
  return Array.isArray(value) ? `[${value.map(inline).join(', ')}]` : String(value);
}

function wrap(text: string, maxChars: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(' ').filter(part => part !== '')) {
    const line = lines.at(-1);
    if (line === undefined || line.length + 1 + word.length > maxChars) lines.push(word);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return lines;
}
