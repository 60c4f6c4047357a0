// The true history of a server as it travels with its answers: branches, each with the position where it was left.
// Written by engines.ts, read by the truths of the protocols.

export type Line = readonly (readonly [branch: number, position: number])[];

export function readLine(text: string | null): Line {
  if (text === null || text === '') return [];
  return text.split(' ').map(part => {
    const [branch, position] = part.split('@');
    return [Number(branch), Number(position)];
  });
}

/** How much of what was written on the last branch of `line` the other has; `null`: nothing of that branch. */
export function sharedWith(line: Line, other: Line): number | null {
  const [branch, end] = line.at(-1) ?? [0, 0];
  const position = other.find(([id]) => id === branch)?.[1];
  return position === undefined ? null : Math.min(end, position);
}
