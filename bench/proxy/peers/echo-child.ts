// The echo behind the storm and the idle connections: gives back what it gets. In answer to {reset} it resets every
// connection and tells how many there were. Ends with its parent. Started by services.ts.

import { createServer, type Socket } from 'node:net';

const open = new Set<Socket>();

createServer({ noDelay: true }, socket => {
  open.add(socket);
  socket.on('close', () => open.delete(socket));
  socket.on('error', () => undefined); // `close` follows
  socket.pipe(socket);
}).listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });

process.on('message', () => {
  const connections = open.size;
  // a reset, not a close: the closing side would keep thousands of ports in TIME_WAIT
  for (const socket of open) socket.resetAndDestroy();
  process.send?.({ connections });
});
process.once('disconnect', () => process.exit());
