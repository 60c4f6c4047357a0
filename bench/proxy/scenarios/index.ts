// All that is measured, in the order it is.
// Called by run.ts; the names are also those of `--only`.

import { type Scenario } from '../model.ts';
import { bulkScenarios } from './bulk.ts';
import { httpScenarios } from './http.ts';
import { latency } from './latency.ts';
import { memory } from './memory.ts';
import { pgbenchScenarios } from './pgbench.ts';
import { storm } from './storm.ts';

export const scenarios: readonly Scenario[] = [
  ...pgbenchScenarios,
  latency,
  ...httpScenarios,
  ...bulkScenarios,
  memory,
  storm,
];
