// Two joined sockets: bytes go both ways, as fast as the slower side takes them, and in no other shape than they came.
// Doesn't decide when a session ends: its owner is told of ends and errors, and parts them. Nothing is kept per packet.
// Called by driver.ts.

import { type Socket } from 'node:net';
import { type Rewrite, type Splice, type Tap } from '../../driver.ts';
import { NetSocket } from './socket.ts';
import { invariant } from '../../../core/errors.ts';

export function splice({ client, server, first, tap, rewrite = null, traffic }: Splice): void {
  invariant(client instanceof NetSocket && server instanceof NetSocket, 'a driver joins its own sockets');
  const countDown = (bytes: number): void => {
    traffic.bytesDown += bytes;
    server.isSpokenTo = false;
  };
  const countUp = (bytes: number): void => {
    traffic.bytesUp += bytes;
    server.isSpokenTo = true;
  };
  server.joined(pump(server.inner, client.inner, tap, countDown, rewrite));
  client.joined(pump(client.inner, server.inner, null, countUp));
  // A client that was stopped while it waited is read again, unless its first bytes already fill the way.
  client.inner.resume();
  send(first, client.inner, server.inner);
}

/** `write` also says "full" of a large chunk that the kernel took at once; then there is nothing to wait for. */
function send(chunk: Uint8Array, from: Socket, to: Socket): void {
  if (!to.write(chunk) && to.writableLength > 0) from.pause();
}

/**
 * Back-pressure: a full writer pauses the reader, so at most one chunk above the high-water mark is in memory.
 * Returns how to stop: what comes after is read and dropped, so that a socket can still see its peer's end.
 */
function pump(
  from: Socket,
  to: Socket,
  tap: Tap | null,
  count: (bytes: number) => void,
  rewrite: Rewrite | null = null,
): () => void {
  let watcher = tap;
  let editor = rewrite;
  const onData = (read: Uint8Array): void => {
    const chunk = editor === null ? read : editor.push(read);
    if (editor?.done === true) editor = null;
    count(chunk.length);
    if (watcher !== null && !watcher(chunk)) watcher = null;
    send(chunk, from, to);
  };
  const onDrain = (): void => void from.resume();
  from.on('data', onData);
  to.on('drain', onDrain);
  return () => {
    from.off('data', onData);
    to.off('drain', onDrain);
    from.resume();
  };
}
