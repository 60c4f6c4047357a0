// A module loader hook (Node.js documentation, "Customization Hooks"): replaces texts in compiled files as they are loaded.
// Registered by simulate.ts for the time of one process; runs in the loader's thread, and imports nothing of ours.

interface Edit {
  readonly file: string;
  readonly text: string;
  readonly replacement: string;
}

interface Loaded {
  readonly source?: unknown;
}

let edits: readonly Edit[] = [];

export function initialize(data: readonly Edit[]): void {
  edits = data;
}

/** Rejects when a text is not in its file exactly once. */
export async function load(
  url: string,
  context: unknown,
  next: (url: string, context: unknown) => Promise<Loaded>,
): Promise<Loaded> {
  const loaded = await next(url, context);
  const concerned = edits.filter(({ file }) => url.endsWith(`/src/${file}`));
  if (concerned.length === 0) return loaded;
  let source = String(loaded.source);
  for (const { file, text, replacement } of concerned) {
    const parts = source.split(text);
    if (parts.length !== 2)
      throw new Error(`mutant: ${file} has this ${parts.length - 1} times, not once: ${text}`);
    source = parts.join(replacement);
  }
  return { ...loaded, source };
}
