// How commands speak: results on stdout, complaints on stderr.
// Nothing else in src writes to either, but the log (app/log.ts).

export const out = (text: string): void => void process.stdout.write(`${harmless(text)}\n`);
export const complain = (text: string): void => void process.stderr.write(`${harmless(text)}\n`);

/** Cursor home, and everything from there on cleared (ECMA-48): the picture stays still where nothing changes. */
const CLEAR = '\u001b[H\u001b[2J';

/** In place of what was there before, on a terminal. */
export function redraw(text: string): void {
  if (process.stdout.isTTY) process.stdout.write(CLEAR);
  out(text);
}

/** Streams whose reader has gone. Node.js keeps its own account of that, but not for these two. */
const closed = new Set<NodeJS.WriteStream>();

/** Somebody still reads what is printed: `| head` doesn't for long. */
export const isRead = (): boolean => !closed.has(process.stdout);

/** A reader that has gone ends nothing by itself: a command may have servers to stop. */
export function endureClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    if (stream.listenerCount('error') === 0) stream.on('error', () => closed.add(stream));
  }
}

/**
 * Names and error texts come from servers, and a terminal obeys control characters (C0 but line ends and tabs, DEL, C1) and
 * what turns the direction of a line.
 */
export const harmless = (text: string): string =>
  text.replace(/[^\P{Cc}\n\t]|[\u202A-\u202E\u2066-\u2069]/gu, '\uFFFD');

/** Left-aligned columns, two spaces apart. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => (row[column] ?? '').length)));
  return rows
    .map(row =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
