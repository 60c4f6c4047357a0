// A proxy in a process of its own, for tests that take away its file descriptors, or need many of them.
// Sends the port, then a report whenever it is asked, and lives until it is killed.

import { configSchema } from '../../src/config/schema.ts';
import { systemClock } from '../../src/core/clock.ts';
import { type ChildReport, type ChildSetup } from './tcp-child.ts';
import { createDiary, createEngine, FakeTopology } from './tcp-proxy.ts';
import { pass } from './views.ts';

const setup = JSON.parse(process.argv[2] ?? '') as ChildSetup;
const say = (message: number | ChildReport): void => void process.send?.(message);

const port = setup.server ?? 1;
const topology = new FakeTopology({ pg1: { host: '127.0.0.1', port } });
if (setup.server !== null) topology.set({ pg1: pass() }, 'pg1');
const hold = setup.server === null ? '10m' : 0;
const config = configSchema.parse({
  frontends: { app: { bind: '127.0.0.1:0', backend: 'app', hold, max_connections: 100_000 } },
  backends: {
    app: { protocol: 'postgres', check: { user: 'probe' }, servers: { pg1: `127.0.0.1:${port}` } },
  },
});
const diary = createDiary();
const proxy = await createEngine(setup.engine, config, topology, systemClock, diary);
await proxy.listen();
const gauge = (): ReturnType<typeof proxy.frontends>[number] => proxy.frontends()[0]!;
process.on('message', () => {
  const { connections, sessions, held } = gauge();
  const counts: Record<string, number> = {};
  for (const line of diary.lines) counts[line] = (counts[line] ?? 0) + 1;
  say({ connections, sessions, held, counts });
});
say(gauge().bind.port);
