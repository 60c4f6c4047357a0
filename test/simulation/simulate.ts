// The command behind `npm run simulate`: runs seeds, or one scenario from a file, with the production code as it is or with
// one known mutant in it. Exit code 0: no violation (with --mutant: it was caught); 1: the contrary; 2: usage.
// Imports nothing that imports production code: a mutant must be in place before that is loaded. The work is in runs.ts.

import { register } from 'node:module';
import { parseArgs } from 'node:util';
import { mutants } from './mutants.ts';

const usage = `Usage: simulate [--seeds N] [--from SEED] [--steps N] [--replay FILE] [--mutant NAME]
  --seeds N      how many scenarios to run (default 100; with --steps, as many as it takes)
  --from SEED    the first of them (default 1, of a mutant the one that shows it soon)
  --steps N      stop after the scenario in which the N-th simulated step is taken
  --replay FILE  play one scenario, as it was printed when it failed
  --mutant NAME  with this mistake in the production code: ${Object.keys(mutants).join(', ')}
`;

function optionsOf(args: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        seeds: { type: 'string' },
        from: { type: 'string' },
        steps: { type: 'string', default: 'Infinity' },
        replay: { type: 'string' },
        mutant: { type: 'string' },
      },
    });
    const steps = Number(values.steps);
    const seeds = Number(values.seeds ?? (steps === Infinity ? 100 : Infinity));
    const mutant = values.mutant ?? null;
    const hint = mutant === null ? undefined : mutants[mutant]?.seed;
    const from = Number(values.from ?? hint ?? 1);
    const isUsable =
      seeds > 0 && steps > 0 && Number.isInteger(from) && (mutant === null || mutant in mutants);
    return isUsable ? { seeds, steps, from, mutant, replay: values.replay ?? null } : null;
  } catch {
    return null; // parseArgs throws for what it doesn't know; usage says what there is
  }
}

async function main(options: NonNullable<ReturnType<typeof optionsOf>>): Promise<number> {
  const mutant = options.mutant === null ? null : (mutants[options.mutant] ?? null);
  if (mutant !== null) register('./mutant-hooks.js', import.meta.url, { data: mutant.edits });
  // Only now, so that the hook sees what is imported.
  const { runAll } = await import('./runs.ts');
  const violations = await runAll(
    options,
    mutant?.rule ?? null,
    text => void process.stdout.write(`${text}\n`),
  );
  return violations > 0 === (mutant !== null) ? 0 : 1;
}

const options = optionsOf(process.argv.slice(2));
if (options === null) process.stderr.write(usage);
process.exitCode = options === null ? 2 : await main(options);
