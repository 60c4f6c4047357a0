// How many times slower than usual this machine is, at what servers do most: start processes. The runner measures it and
// tells the test files; their deadlines, and the patience of the probes that they don't set themselves, are multiplied by it.
// So the same test is as strict on a usual machine as it was, and no false alarm on one where a login takes 100 ms of work.

import { spawnSync } from 'node:child_process';

const VARIABLE = 'POINTSMAN_TEST_PACE';
/** What it takes where all is well: Node 20 on one of two processors of 2024. */
const USUAL_MS = 45;
const SLOWEST = 8;
const TRIES = 5;

/** 1 on a usual machine, and where nobody measured. */
export const pace = Math.max(1, Number(process.env[VARIABLE] ?? 1));

/** Measures it, unless whoever started this process has, and tells every process that is started from now on. */
export function measurePace(): number {
  if (process.env[VARIABLE] !== undefined) return pace;
  const took = Array.from({ length: TRIES }, () => {
    const startedAt = performance.now();
    spawnSync(process.execPath, ['-e', '0']);
    return performance.now() - startedAt;
  });
  const measured = Math.min(SLOWEST, Math.max(1, Math.min(...took) / USUAL_MS));
  process.env[VARIABLE] = measured.toFixed(1);
  return measured;
}
