// Two joined sockets: bytes go both ways, as fast as the slower side takes them, and in no other shape than they came.
// Doesn't decide when a session ends: connection.ts listens to ends and errors and closes. Nothing is kept per packet.

import { type Socket } from 'node:net';

/** Sees the server's bytes before the client gets them; returns false when it wants no more. */
export type Tap = (chunk: Uint8Array) => boolean;

export interface Splice {
  /** Stops passing on; whatever comes after is read and dropped, so that a socket can still see its peer's end. */
  stop(): void;
}

/** `first` goes to the server before anything the client sends from now on. */
export function splice(client: Socket, server: Socket, first: Uint8Array, tap: Tap | null): Splice {
  const stopDown = pump(server, client, tap);
  const stopUp = pump(client, server, null);
  // A client that was stopped while it waited is read again, unless its first bytes already fill the way.
  client.resume();
  send(first, client, server);
  return {
    stop() {
      stopUp();
      stopDown();
    },
  };
}

/** `write` also says "full" of a large chunk that the kernel took at once; then there is nothing to wait for. */
function send(chunk: Uint8Array, from: Socket, to: Socket): void {
  if (!to.write(chunk) && to.writableLength > 0) from.pause();
}

/** Back-pressure: a full writer pauses the reader, so at most one chunk above the high-water mark is in memory. */
function pump(from: Socket, to: Socket, tap: Tap | null): () => void {
  let watcher = tap;
  const onData = (chunk: Uint8Array): void => {
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
