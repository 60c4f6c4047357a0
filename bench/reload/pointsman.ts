// Pointsman as a contender: the built program, reloaded through its API. Called by run.ts.

import { runPointsman } from '../../test/support/pointsman.ts';
import { type Contender } from './contender.ts';

const TOKEN = 'token-of-the-bench-of-reloads';

export const pointsman: Contender = {
  name: 'Pointsman',
  async start({ pg1, pg2, password }) {
    const configOf = (turn: number): object => ({
      admin: { bind: '127.0.0.1:0', token: TOKEN },
      frontends: { app: { bind: '127.0.0.1:0', backend: 'app', max_connections: 2000 + turn } },
      backends: {
        app: {
          protocol: 'postgres',
          check: { user: 'postgres', password, timeout: '5s' },
          servers: { pg1: `127.0.0.1:${pg1.port}`, pg2: `127.0.0.1:${pg2.port}` },
        },
      },
    });
    const running = await runPointsman(configOf(0));
    return {
      port: running.frontend('app').port,
      async reload(turn) {
        running.configure(configOf(turn));
        const { status, body } = await running.reload(TOKEN);
        if (status !== 200) throw new Error(`a reload failed: ${JSON.stringify(body)}`);
      },
      processes: () => 1,
      stop: () => running.stop(),
    };
  },
};
