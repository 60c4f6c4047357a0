// The processes of one PostgreSQL server, by way of /proc (Linux). Backends call setsid, so a process group
// doesn't hold them: their parent does. Used by postgres-node.ts.

import { readdirSync, readFileSync } from 'node:fs';

/** Direct children of a process. A process that ends meanwhile is left out. */
export function childrenOf(pid: number): number[] {
  const children: number[] = [];
  for (const name of readdirSync('/proc')) {
    if (/^\d+$/.test(name) && parentOf(Number(name)) === pid) children.push(Number(name));
  }
  return children;
}

/** Zombies count as gone. */
export function isAlive(pid: number): boolean {
  const [state] = statOf(pid);
  return state !== undefined && state !== 'Z';
}

/** `false`: the process was gone. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw thrown;
  }
}

/** The postmaster first, so that it forks no more; then its children until no new one turns up. Returns them all. */
export function signalTree(postmaster: number, name: 'SIGSTOP' | 'SIGKILL'): number[] {
  const children = new Set<number>();
  signal(postmaster, 'SIGSTOP');
  for (;;) {
    const found = childrenOf(postmaster).filter(pid => !children.has(pid));
    if (found.length === 0) break;
    for (const pid of found) {
      children.add(pid);
      signal(pid, name);
    }
  }
  // Killed last: without their parent the children could no longer be found.
  if (name === 'SIGKILL') signal(postmaster, name);
  return [...children];
}

function parentOf(pid: number): number | null {
  const parent = statOf(pid)[1];
  return parent === undefined ? null : Number(parent);
}

/** State, parent and the rest: the fields after the name, which may itself contain spaces and brackets. */
function statOf(pid: number): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return []; // the process has ended between the listing and the reading
  }
}
