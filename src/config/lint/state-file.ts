// The rule about the state file: its directory must be there.
// Not what Pointsman does in it, nor what it refuses to start without: app/state-file.ts. Part of lint.ts.

import { type Rule, warning } from './finding.ts';

/** A warning, since `pointsman check` may run elsewhere than Pointsman will. */
export const stateFileRules: readonly Rule[] = [
  ({ stateFile }, source) => {
    if (stateFile === null) return [];
    const directory = stateFile.includes('/') ? stateFile.slice(0, stateFile.lastIndexOf('/')) || '/' : '.';
    const why = source.whyUnwritable(directory);
    return why === null ? [] : [warning(['state_file'], `needs its directory, and that ${why}`)];
  },
];
