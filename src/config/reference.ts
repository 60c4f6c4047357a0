// docs/configuration.md, made from the schema: intro, annotated example, one table per section. Pure: no file is written.
// A test compares the page with this text. Also the door to the JSON Schema for `pointsman schema`.

import { stringify } from 'yaml';
import { configJsonSchema, type JsonSchema } from './json-schema.ts';
import { ANY_NAME, knownKeys, type KnownKey } from './keys.ts';
import { DURATION_PATTERN, HOST_PORT_PATTERN, RATE_PATTERN } from './units.ts';

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

Protocols \`mysql\` and \`redis\` are written in the same way. Where servers have no roles, as with \`http\` and \`tcp\`,
each of them will do:

\`\`\`yaml
frontends:
  web:
    bind: 127.0.0.1:8080
    backend: web
    route: any
backends:
  web:
    protocol: http
    check: { path: /health }
    servers: { web1: 10.0.0.1:8080, web2: 10.0.0.2:8080 }
\`\`\`
`;

const RULES = `## Values

- **Durations** carry a unit: \`250ms\`, \`2s\`, \`1.5m\`, \`1h\`, at most \`7d\`. \`0\` needs none.
- **Rates** are a number in a second, a minute or an hour: \`100/s\`, \`6000/m\`, \`500/h\`.
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
  const known = knownKeys();
  const protocols = [...new Set(known.flatMap(({ protocol }) => protocol ?? []))];
  const [first = '', ...others] = protocols;
  const common = known.filter(({ protocol }) => protocol === null);
  const everything =
    'Every key, with its default where it has one. Keys behind `#` have none: they are off until you write them. Of backends it shows protocol `postgres`; the other protocols follow, each in a section of its own.';
  return [
    INTRO,
    RULES,
    `## Every key in its place\n\n${everything}\n\n${yaml(annotate(keysFor(first, known), [], ''))}\n`,
    ...tables(common, ''),
    ...protocols.map(protocol => tables(keysFor(protocol, known), protocol).join('\n')),
    ...others.map(protocol => annotated(protocol, known)),
  ].join('\n');
}

const yaml = (lines: readonly string[]): string => ['```yaml', ...lines, '```'].join('\n');

/** What a file with one backend of that protocol may hold. */
const keysFor = (only: string, known: readonly KnownKey[]): readonly KnownKey[] =>
  known.filter(({ protocol }) => protocol === null || protocol === only);

/** A whole file: the least of a frontend, and every key of a backend. */
function annotated(protocol: string, known: readonly KnownKey[]): string {
  const keys = keysFor(protocol, known).filter(({ path }) => path[0] === 'backends');
  const withRoles = keys.some(({ path }) => path.at(-1) === 'multiple_writers');
  const frontend = `    bind: 127.0.0.1:8000\n    backend: app${withRoles ? '' : '\n    route: any'}`;
  const lines = ['frontends:', '  app:', frontend, '', ...annotate(keys, [], '', protocol)];
  return `## An example of protocol \`${protocol}\`\n\n${yaml(lines)}\n`;
}

/** Whether keys of ours stand below this one, directly or below a name. */
function isSection({ path }: KnownKey, keys: readonly KnownKey[]): boolean {
  return keys.some(other => other.path.length > path.length && isWithin(other.path, path));
}

const isWithin = (path: readonly string[], parent: readonly string[]): boolean =>
  parent.every((segment, index) => path[index] === segment);

/** One table for each mapping that has keys of this protocol (none: of no protocol) directly in it, the top first. */
function tables(keys: readonly KnownKey[], protocol: string): readonly string[] {
  const own = keys.filter(key => (key.protocol ?? '') === protocol);
  const parents = own.map(({ path }) => path.slice(0, -1));
  const sections = new Map(parents.map(path => [path.join('.'), path]));
  return [...sections.values()].map(path => {
    const title = path.length === 0 ? 'The top level' : `\`${path.join('.')}\``;
    const rows = own
      .filter(key => key.path.length === path.length + 1 && isWithin(key.path, path))
      .map(key => row(key, keys));
    return [
      `## ${title}${protocol === '' ? '' : `, protocol \`${protocol}\``}`,
      '',
      '| key | type | default | meaning |',
      '| --- | --- | --- | --- |',
      ...rows,
      '',
    ].join('\n');
  });
}

function row(key: KnownKey, keys: readonly KnownKey[]): string {
  const { schema, required } = key;
  const type = isSection(key, keys) ? 'mapping' : typeName(schema);
  const preset = schema.default === undefined || isSection(key, keys) ? '–' : `\`${inline(schema.default)}\``;
  const cells = [
    `\`${key.path.at(-1) ?? ''}\``,
    type,
    required ? 'required' : preset,
    schema.description ?? '',
  ];
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
  if (forms.some(({ pattern }) => pattern === RATE_PATTERN)) return 'rate';
  if (forms.some(({ type }) => type === 'boolean')) return '`true`, `false`';
  const number = forms.find(({ type }) => type === 'integer');
  if (number !== undefined) return `number, ${number.minimum ?? 0} to ${number.maximum ?? 'any'}`;
  if (forms.some(({ type }) => type === 'array')) return 'list';
  if (forms.some(({ type }) => type === 'boolean')) return '`true`, `false`';
  return forms.some(({ type }) => type === 'object') ? 'mapping' : 'text';
}

/** YAML lines for a mapping: each key with its meaning above it. `protocol`: of the backend, where it isn't the first. */
function annotate(
  keys: readonly KnownKey[],
  path: readonly string[],
  indent: string,
  protocol?: string,
): string[] {
  const here = keys.filter(key => key.path.length === path.length + 1 && isWithin(key.path, path));
  return here.flatMap((key, index) => {
    const gap = index > 0 && indent === '' ? [''] : [];
    const { description = '' } = key.schema;
    const comment = wrap(description, COMMENT_MAX_CHARS - indent.length).map(line => `${indent}# ${line}`);
    return [...gap, ...comment, ...entry(key, keys, indent, protocol)];
  });
}

function entry(key: KnownKey, keys: readonly KnownKey[], indent: string, protocol?: string): string[] {
  const { schema, required, path } = key;
  const name = path.at(-1) ?? '';
  const sample: unknown = name === 'protocol' ? (protocol ?? schema.examples?.[0]) : schema.examples?.[0];
  const deeper = `${indent}  `;
  // A mapping that is off is shown as a whole: its keys would be read as keys of what stands above them.
  const isOff = !required && schema.default === undefined;
  if (isSection(key, keys) && !(isOff && typeof sample === 'object' && name !== 'servers')) {
    if (typeof schema.additionalProperties !== 'object') {
      return [`${indent}${name}:`, ...annotate(keys, path, deeper, protocol)];
    }
    const members = Object.entries(sample as Record<string, unknown>);
    const lines = members.flatMap(([member, value]) =>
      typeof value === 'string'
        ? [`${deeper}${member}: ${value}`]
        : [`${deeper}${member}:`, ...annotate(keys, [...path, ANY_NAME], `${deeper}  `, protocol)],
    );
    return [`${indent}${name}:`, ...lines];
  }
  return [`${indent}${isOff ? '# ' : ''}${name}: ${inline(schema.default ?? sample)}`];
}

/** A value on one line of YAML. */
function inline(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(inline).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([key, member]) => `${key}: ${inFlow(member)}`);
    return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`;
  }
  return stringify(value, { lineWidth: 0 }).trimEnd();
}

/** Within braces, text with characters of YAML's own needs quotes. */
const inFlow = (value: unknown): string =>
  typeof value === 'string' && /[^\w.:/-]/.test(value) ? `'${value}'` : inline(value);

function wrap(text: string, maxChars: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(' ').filter(part => part !== '')) {
    const line = lines.at(-1);
    if (line === undefined || line.length + 1 + word.length > maxChars) lines.push(word);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return lines;
}
