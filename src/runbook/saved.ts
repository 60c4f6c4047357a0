// What is kept of a backend's runbooks, as what JSON can hold: its part of the state file. Pure.
// What isn't exactly as `saveKept` writes it isn't believed in part: then an operator is asked before anything is done.

import { z } from 'zod';
import { bookNames, nothingKept, outcomes, type Kept } from './model.ts';

const text = z.string().max(4096);
const serverName = z.string().min(1).max(63);
const wall = z.number().min(0);

const runSchema = z.strictObject({
  id: z.int().min(1),
  key: text,
  book: z.enum(bookNames),
  epoch: z.int().min(0),
  from: serverName.nullable(),
  to: serverName.nullable(),
  trigger: z.enum(['automatic', 'operator']),
  startedAt: wall,
  plan: text,
  at: z.int().min(0).max(1000),
  attempt: z.int().min(1),
  mark: z.enum(['todo', 'begun', 'stopped', 'asking']),
  reason: text.nullable(),
});

const endedSchema = z.strictObject({
  id: z.int().min(1),
  book: z.enum(bookNames),
  epoch: z.int().min(0),
  from: serverName.nullable(),
  to: serverName.nullable(),
  outcome: z.enum(outcomes),
  reason: text.nullable(),
  startedAt: wall,
  endedAt: wall,
});

const keptSchema = z.strictObject({
  run: runSchema.nullable(),
  last: endedSchema.nullable(),
  runs: z.int().min(0),
  starts: z.array(wall).max(2000),
  barred: z.array(serverName).max(64),
  displaced: z.strictObject({ server: serverName, returned: z.boolean() }).nullable(),
  lastPrimary: serverName.nullable(),
});

const REASON_MAX_CHARS = 1000;

/** `null`: nothing worth keeping. */
export function saveKept(kept: Kept): object | null {
  const cut = (reason: string | null): string | null => reason && reason.slice(0, REASON_MAX_CHARS);
  const { run, last } = kept;
  if (run === null && last === null && kept.barred.length === 0 && kept.lastPrimary === null) return null;
  return {
    ...kept,
    run: run && { ...run, reason: cut(run.reason) },
    last: last && { ...last, reason: cut(last.reason) },
  };
}

/** `null`: it is nothing that `saveKept` has made. */
export function loadKept(saved: unknown): Kept | null {
  if (saved === null || saved === undefined) return nothingKept;
  return keptSchema.safeParse(saved).data ?? null;
}
