// Fields by name, out of the two shapes in which Redis tells them: the text of INFO, and lists of names and values.
// Pure, and content with anything: what is missing or odd is simply not there. Used by the probers.

import { type Reply } from './reply.ts';

export type Fields = ReadonlyMap<string, string>;

/** `name:value` by lines; `# Section` lines are left out. */
export function readInfo(text: string): Fields {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0 && !line.startsWith('#')) fields.set(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return fields;
}

/** `[name, value, name, value …]`, as Sentinel describes an instance; values that are no text are left out. */
export function readPairs(reply: Reply | undefined): Fields {
  const fields = new Map<string, string>();
  if (reply?.kind !== 'list') return fields;
  for (let i = 0; i + 1 < reply.items.length; i += 2) {
    const [name, value] = [reply.items[i], reply.items[i + 1]];
    if (name?.kind === 'text' && value?.kind === 'text') fields.set(name.text, value.text);
  }
  return fields;
}

/** A whole number from 0; `null` for anything else. */
export function readCount(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : null;
}
