// A second of each kind of load before anything counts, the same for every contender: a proxy runs for months, and what
// is compiled as it runs is compiled then. Called by run.ts after the check for correctness.

import { runPgbench } from './load/pgbench.ts';
import { runWrk } from './load/wrk.ts';
import { type Addresses, type Context } from './model.ts';

const SECONDS = 1;

export async function warmUp(context: Context, ports: Addresses): Promise<void> {
  const pg = ports.get('pg');
  if (pg !== undefined) {
    await runPgbench(context, pg, { clients: 16, seconds: SECONDS, options: ['-S', '-M', 'prepared'] });
  }
  const http = ports.get('http');
  if (http === undefined) return;
  for (const headers of [[], ['Connection: close']]) {
    await runWrk(context, http, { connections: 32, seconds: SECONDS, headers });
  }
}
