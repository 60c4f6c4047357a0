// The JSON Schema of the configuration (draft 2020-12), for editors and pipelines. Made from the zod schema only.
// Not what a file is checked with: that is the zod schema itself. Called by keys.ts and reference.ts.

import { z } from 'zod';
import { configSchema } from './schema.ts';

export type JsonSchema = z.core.JSONSchema.JSONSchema;

const INTERPOLATED = 'interpolated';

/** What the file may hold. Text with `${…}` is allowed wherever a single value stands: what it becomes is checked later. */
export function configJsonSchema(): JsonSchema {
  const schema = z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12' }) as JsonSchema;
  return {
    ...allowInterpolation(schema),
    title: 'Pointsman configuration',
    description: 'What Pointsman listens on, and which servers stand behind it.',
    $defs: {
      [INTERPOLATED]: {
        type: 'string',
        pattern: '\\$\\{',
        description: 'Text with ${ENV} or ${file:/path} in it.',
      },
    },
  };
}

/** The same schema, with text that holds `${…}` allowed, and our samples as examples. */
function allowInterpolation(schema: JsonSchema): JsonSchema {
  const { title, description, default: preset, sample, ...form } = schema;
  const notes: JsonSchema = {};
  if (title !== undefined) notes.title = title;
  if (description !== undefined) notes.description = description;
  if (preset !== undefined) notes.default = preset;
  if (sample !== undefined) notes.examples = [sample]; // zod drops `examples` of whatever is transformed later
  if (isRestricted(form)) return { ...notes, anyOf: [form, { $ref: `#/$defs/${INTERPOLATED}` }] };
  // With `${…}` as its protocol a backend may fit more than one form, which oneOf would refuse.
  const { properties, additionalProperties, items, oneOf, anyOf = oneOf } = form;
  const widened: JsonSchema = { ...notes, ...form };
  delete widened.oneOf;
  if (properties !== undefined) widened.properties = mapValues(properties, child);
  if (typeof additionalProperties === 'object') widened.additionalProperties = child(additionalProperties);
  if (typeof items === 'object' && !Array.isArray(items)) widened.items = child(items);
  if (anyOf !== undefined) widened.anyOf = widen(anyOf) as JsonSchema[];
  return widened;
}

const child = (schema: z.core.JSONSchema._JSONSchema): z.core.JSONSchema._JSONSchema =>
  typeof schema === 'boolean' ? schema : allowInterpolation(schema);

function widen(forms: readonly z.core.JSONSchema._JSONSchema[]): z.core.JSONSchema._JSONSchema[] {
  const restricted = forms.some(form => typeof form === 'object' && isRestricted(form));
  const widened = forms.map(form =>
    typeof form === 'object' && !isRestricted(form) ? allowInterpolation(form) : form,
  );
  return restricted ? [...widened, { $ref: `#/$defs/${INTERPOLATED}` }] : widened;
}

/** A single value that not every text satisfies. */
function isRestricted({ type, pattern, enum: choices, const: only, maxLength }: JsonSchema): boolean {
  if (type === 'string') {
    return [pattern, choices, only, maxLength].some(restriction => restriction !== undefined);
  }
  return type === 'integer' || type === 'number';
}

function mapValues<T, U>(record: Readonly<Record<string, T>>, map: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}
