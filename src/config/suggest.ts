// "Did you mean …?": the nearest of some known words. Pure; used for keys, names and choices.
// Gives words only: whether what was written may be repeated is for the caller to know.

const WORD_MAX_CHARS = 64;

/** The known word that `text` most likely means, or `null` where none is near: a wild guess is worse than none. */
export function nearest(text: string, known: readonly string[]): string | null {
  if (text.length > WORD_MAX_CHARS) return null;
  const written = normalize(text);
  let best: string | null = null;
  let bestDistance = Infinity;
  for (const word of known) {
    const wanted = normalize(word);
    const distance = editDistance(written, wanted);
    const tolerance = Math.max(1, Math.floor(Math.max(written.length, wanted.length) / 3));
    if (distance > tolerance || distance >= bestDistance || distance >= wanted.length) continue;
    best = word;
    bestDistance = distance;
  }
  return best;
}

/** `; did you mean "hold_max"?`, or nothing. */
export function didYouMean(text: string, known: readonly string[]): string {
  const word = nearest(text, known);
  return word === null ? '' : `; did you mean "${word}"?`;
}

/** holdMax, hold-max and HOLD_MAX are all meant as hold_max. */
function normalize(word: string): string {
  return word.toLowerCase().replaceAll(/[-_. ]/g, '');
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      const steps = [
        (last[column] ?? Infinity) + 1,
        (current[column - 1] ?? Infinity) + 1,
        (last[column - 1] ?? Infinity) + (same ? 0 : 1),
      ];
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) steps.push((beforeLast[column - 2] ?? Infinity) + 1);
      current.push(Math.min(...steps));
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] ?? Infinity;
}
