// Finds processes that a test started and left behind, by a mark in their environment. Used by the test runner.
// Reads /proc, so Linux only, like the servers the tests run. A child started with an environment of its own
// that drops the mark isn't seen: pass `...process.env` on.

import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const MARK_NAME = 'POINTSMAN_TEST_RUN';
const POLL_MS = 50;

export interface Leftover {
  readonly pid: number;
  readonly command: string;
}

/** Marks this process's future children; returns the mark to look for. */
export function markChildren(): string {
  const mark = randomUUID();
  process.env[MARK_NAME] = mark;
  return mark;
}

function readProc(pid: number, what: string): string {
  try {
    return readFileSync(`/proc/${pid}/${what}`, 'latin1').replaceAll('\0', ' ').trim();
  } catch {
    return ''; // the process ended between listing and reading, which is what we wait for
  }
}

function marked(mark: string): Leftover[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(pid => readProc(pid, 'environ').split(' ').includes(`${MARK_NAME}=${mark}`))
    .map(pid => ({ pid, command: readProc(pid, 'cmdline').slice(0, 200) }));
}

/** Gives marked processes `graceMs` to end, kills those that didn't, and returns these. */
export async function endLeftovers(mark: string, graceMs: number): Promise<Leftover[]> {
  for (let waitedMs = 0; waitedMs < graceMs; waitedMs += POLL_MS) {
    if (marked(mark).length === 0) return [];
    await sleep(POLL_MS);
  }
  const left = marked(mark);
  for (const { pid } of left) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  }
  return left;
}
