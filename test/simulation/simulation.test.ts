// The simulation as a test: a million steps without a violation, the same run twice, and the proof that it would have found
// something: every known mutant is caught by the checker of its rule, in a process of its own.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { mutants } from './mutants.ts';
import { generate, type Fault } from './scenario.ts';
import { shrink } from './shrink.ts';
import { run } from './simulation.ts';

const STEPS = 1_000_000;
/** Within this many steps each mutant must have done harm. */
const MUTANT_STEPS = 4_000_000;
const PARALLEL = 2;

const command = join(import.meta.dirname, 'simulate.js');

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

function simulate(...args: readonly string[]): Promise<Ended> {
  return new Promise(resolve => {
    const child = execFile(process.execPath, [command, ...args], (_error, stdout, stderr) => {
      resolve({ code: child.exitCode, output: stdout + stderr });
    });
  });
}

test('simulation: a million steps break no safety rule', async () => {
  let steps = 0;
  let changes = 0;
  let restarts = 0;
  let reloads = 0;
  for (let seed = 1; steps < STEPS; seed += 1) {
    const result = await run(generate(seed));
    assert.equal(result.violation, null, `seed ${seed}: ${JSON.stringify(result.violation)}`);
    steps += result.steps;
    changes += result.changes;
    restarts += result.restarts;
    reloads += result.reloads;
  }
  assert.ok(reloads > 20, `only ${reloads} reloads`);
  assert.ok(restarts > 20, `only ${restarts} restarts of Pointsman`);
  assert.ok(
    changes > 100,
    `only ${changes} changes of the primary: nothing happened that could have gone wrong`,
  );
});

test('simulation: the same seed runs the same way twice, and another seed another way', async () => {
  const [first, second, other] = [await run(generate(7)), await run(generate(7)), await run(generate(8))];
  assert.deepEqual(first, second);
  assert.notEqual(first.hash, other.hash);
});

test('simulation: a failing scenario is made small, and still fails when it is read back', async () => {
  const { setup } = generate(7);
  const fault = (kind: Fault['kind'], atMs: number, server: number, forMs: number): Fault => ({
    kind,
    atMs,
    server,
    forMs,
  });
  const dead = Array.from({ length: setup.servers }, (_, server) => fault('kill', 2000, server, 20_000));
  const beside = [fault('slow', 100, 0, 300), fault('clock-set', 400, 0, 1), fault('busy', 900, 1, 200)];
  // Judged without a rest, before the servers are back: nobody can have been served.
  const failing = { setup: { ...setup, durationMs: 9000, restMs: 0 }, faults: [...beside, ...dead] };
  assert.equal((await run(failing)).violation?.rule, 'live');
  const { scenario: small } = await shrink(failing, 'live', 60);
  assert.ok(small.faults.length <= dead.length, `${small.faults.length} faults are left`);
  const again = await run(JSON.parse(JSON.stringify(small)) as typeof small);
  assert.equal(again.violation?.rule, 'live');
});

test('simulation: each known mutant of a rule is caught by the checker of that rule', async () => {
  const queue = Object.keys(mutants).values();
  const missed: string[] = [];
  await Promise.all(
    Array.from({ length: PARALLEL }, async () => {
      for (const name of queue) {
        const { code, output } = await simulate('--mutant', name, '--steps', String(MUTANT_STEPS));
        if (code !== 0) missed.push(`${name}: ${output}`);
      }
    }),
  );
  assert.deepEqual(missed, []);
});

test('simulation: every rule of the design has a mutant', () => {
  const covered = new Set(Object.values(mutants).map(({ rule }) => rule));
  for (const rule of [1, 2, 3, 4, 5, 6, 7, 8, 9, 'epoch'] as const)
    assert.ok(covered.has(rule), `rule ${rule} has none`);
});
