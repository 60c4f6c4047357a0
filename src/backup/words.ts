// How ages are told to people: two units at most.
// Pure; used by all of this folder.

const units: readonly (readonly [name: string, ms: number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
];

/** Two units at most: `3 d 4 h`, `12 min 5 s`, `850 ms`. */
export function formatAge(ms: number): string {
  const first = units.findIndex(([, size]) => ms >= size);
  if (first === -1) return `${Math.max(0, Math.round(ms))} ms`;
  let rest = ms;
  const parts = units.slice(first, first + 2).map(([name, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return [count, name] as const;
  });
  return parts.flatMap(([count, name]) => (count === 0 ? [] : `${count} ${name}`)).join(' ');
}
