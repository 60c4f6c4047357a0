// What a session that is open and says nothing costs in the proxy's own memory; the kernel's socket buffers, the same for
// every proxy, aren't in it.

import { setTimeout as after } from 'node:timers/promises';
import { memoryOf } from '../cpu.ts';
import { type Scenario } from '../model.ts';

/** Opened and closed first, so that code and pools that every process needs once don't count. */
const WARM_UP = 200;
/** For what was only needed while connecting to be given back. */
const SETTLE_MS = 1000;

export const memory: Scenario = {
  name: 'memory',
  title: 'Memory of idle connections',
  how: 'a fresh process each time; each connection has echoed 16 bytes; growth of the proxy’s resident memory (Pss, all its processes)',
  service: 'echo',
  fresh: true,
  proxiesOnly: true,
  figures: [
    { key: 'bytesEach', title: 'bytes per connection', unit: 'B', digits: 0, better: 'less' },
    { key: 'anonymousBytesEach', title: 'of it not files', unit: 'B', digits: 0, better: 'less' },
    { key: 'beforeMib', title: 'process before', unit: 'MiB', digits: 1, better: 'less' },
  ],
  async measure({ children, running, target, scale, resetEchoes }) {
    const { pid } = running;
    if (pid === null) throw new Error('there is no process to measure');
    const client = await children.startNode(new URL('../load/connections-child.js', import.meta.url), [
      target.host,
      String(target.port),
    ]);
    const open = async (idle: number): Promise<void> => {
      const { failed } = await client.ask<{ failed: number }>({ idle });
      if (failed > 0) throw new Error(`${failed} of ${idle} connections failed`);
    };
    const close = async (expected: number): Promise<void> => {
      const connections = await resetEchoes();
      if (connections < expected) throw new Error(`${connections} of ${expected} sessions were still open`);
    };
    try {
      await open(WARM_UP);
      await close(WARM_UP);
      await after(SETTLE_MS);
      const before = memoryOf(pid);
      await open(scale.idleConnections);
      await after(SETTLE_MS);
      const full = memoryOf(pid);
      await close(scale.idleConnections);
      return {
        bytesEach: (full.bytes - before.bytes) / scale.idleConnections,
        anonymousBytesEach: (full.anonymousBytes - before.anonymousBytes) / scale.idleConnections,
        beforeMib: before.bytes / 2 ** 20,
      };
    } finally {
      await client.stop();
    }
  },
};
