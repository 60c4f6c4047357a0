// A proxy and an echoing server in a process of their own, for tests that take away its file descriptors.
// Prints the port, and lives until it is killed.

import { createServer, type AddressInfo } from 'node:net';
import { configSchema } from '../../src/config/schema.ts';
import { systemClock } from '../../src/core/clock.ts';
import { systemRandom } from '../../src/core/random.ts';
import { createProxy } from '../../src/proxy/proxy.ts';
import { createDiary, FakeTopology } from './tcp-proxy.ts';
import { pass } from './views.ts';

const echo = createServer(socket => {
  socket.on('error', () => socket.destroy());
  socket.pipe(socket);
});
echo.listen(0, '127.0.0.1', () => void serve((echo.address() as AddressInfo).port));
// The echo's own lack of descriptors isn't what is tested.
echo.on('error', () => undefined);

async function serve(port: number): Promise<void> {
  const topology = new FakeTopology({ pg1: { host: '127.0.0.1', port } });
  topology.set({ pg1: pass() }, 'pg1');
  const config = configSchema.parse({
    frontends: { app: { bind: '127.0.0.1:0', backend: 'app', hold: 0 } },
    backends: {
      app: { protocol: 'postgres', check: { user: 'probe' }, servers: { pg1: `127.0.0.1:${port}` } },
    },
  });
  const observer = createDiary();
  const proxy = createProxy({ config, topology, clock: systemClock, random: systemRandom, observer });
  await proxy.listen();
  process.stdout.write(`${proxy.frontends()[0]?.bind.port}\n`);
}
