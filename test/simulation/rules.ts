// The names of what can be broken. Imports nothing: the mutants name them too.

/**
 * A number of the design's section 2; `epoch`: it only grows; `live`: clients are served again after all is healed; `leak`:
 * something is left after the end; `crash`.
 */
export type Rule = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 'epoch' | 'live' | 'leak' | 'crash';
