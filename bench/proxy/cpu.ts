// What a proxy costs: processor time and memory of a process with its children and all their threads, from /proc (Linux).
// Called around each measurement by run.ts and scenarios/memory.ts.

import { readdirSync, readFileSync } from 'node:fs';
import { childrenOf } from '../../src/cli/demo/postgres-processes.ts';

const KIB = 1024;

/** The process and all that descend from it. */
function processTree(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(processTree)];
}

/**
 * Nanoseconds that all living threads have run so far, system calls included: the first number of
 * /proc/PID/task/TID/schedstat (Documentation/scheduler/sched-stats.rst), finer than the 10 ms ticks of /proc/PID/stat.
 */
export function cpuNs(pid: number): number {
  let sum = 0;
  for (const process of processTree(pid)) {
    for (const thread of readdirSync(`/proc/${process}/task`)) {
      sum += Number(readFileSync(`/proc/${process}/task/${thread}/schedstat`, 'latin1').split(' ')[0]);
    }
  }
  return sum;
}

export interface Memory {
  /** Resident, shared pages by share (proc_pid_smaps(5): Pss). */
  readonly bytes: number;
  /** Of it heap and stack, not files. */
  readonly anonymousBytes: number;
}

export function memoryOf(pid: number): Memory {
  let bytes = 0;
  let anonymousBytes = 0;
  for (const process of processTree(pid)) {
    const text = readFileSync(`/proc/${process}/smaps_rollup`, 'latin1');
    const field = (name: string): number =>
      Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(text)?.[1]) * KIB;
    bytes += field('Pss');
    anonymousBytes += field('Anonymous');
  }
  return { bytes, anonymousBytes };
}
