// A proxy and, unless it is given one, an echoing server in a process of their own, for tests that count or take away
// its file descriptors. Sends the port, then a report whenever it is asked, and lives until it is killed.

import { createServer, type AddressInfo } from 'node:net';
import { configSchema } from '../../src/config/schema.ts';
import { systemClock } from '../../src/core/clock.ts';
import { type ChildReport, type ChildSetup } from './tcp-child.ts';
import { createDiary, createEngine, FakeTopology } from './tcp-proxy.ts';
import { pass } from './views.ts';

const setup = JSON.parse(process.argv[2] ?? '') as ChildSetup;
const say = (message: number | ChildReport): void => void process.send?.(message);

function startEcho(): Promise<number> {
  const echo = createServer(socket => {
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  const listening = new Promise<number>(resolve => {
    echo.listen(0, '127.0.0.1', () => resolve((echo.address() as AddressInfo).port));
  });
  // The echo's own lack of descriptors isn't what is tested.
  echo.on('error', () => undefined);
  return listening;
}

const port = typeof setup.server === 'number' ? setup.server : await startEcho();
const topology = new FakeTopology({ pg1: { host: '127.0.0.1', port } });
if (setup.server !== 'held') topology.set({ pg1: pass() }, 'pg1');
const hold = setup.server === 'held' ? '10m' : 0;
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
