// The process of net-pipes.ts: forwards each listener of its first argument, until its parent is gone.
// Passes on a half-closed connection as such, and a reset as an end.

import { connect, createServer, type Socket } from 'node:net';
import { BACKLOG, type Listener } from './listeners.ts';

function relay(client: Socket, server: Socket): void {
  client.pipe(server);
  server.pipe(client);
  for (const [socket, other] of [
    [client, server],
    [server, client],
  ] as const) {
    socket.on('error', () => other.destroy()); // the other side learns of a reset as an end
    socket.on('close', () => other.destroySoon());
  }
}

for (const { port, to } of JSON.parse(process.argv[2] ?? '[]') as readonly Listener[]) {
  createServer({ noDelay: true, allowHalfOpen: true }, client => {
    relay(client, connect({ ...to, noDelay: true, allowHalfOpen: true }));
  }).listen({ port, host: '127.0.0.1', backlog: BACKLOG });
}
process.once('disconnect', () => process.exit());
