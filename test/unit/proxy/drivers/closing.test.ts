import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { resetNow } from '../../../../src/proxy/drivers/net/closing.ts';

/** Our socket, and the peer's end of it, which reads only when told to. */
async function pair(): Promise<{ ours: Socket; peer: Socket; done: () => void }> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const ours = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const [[peer]] = (await Promise.all([once(server, 'connection'), once(ours, 'connect')])) as [
    [Socket],
    unknown,
  ];
  ours.on('error', () => undefined);
  return {
    ours,
    peer,
    done() {
      peer.destroy();
      server.close();
    },
  };
}

/**
 * What the peer sees at its end: `reset`, or `FIN`. Node 20 turns a reset behind unread bytes into an end when it reads
 * (libuv's answer to EPOLLHUP), so an end is asked again by a write: that only fails at once after a reset.
 */
function ending(peer: Socket): Promise<string> {
  peer.resume();
  return new Promise(resolve => {
    peer.once('error', () => resolve('reset'));
    peer.once('end', () => peer.write('?', error => resolve(error ? 'reset' : 'FIN')));
  });
}

const situations: readonly { name: string; prepare: (socket: Socket) => Promise<unknown>; reset: boolean }[] =
  [
    { name: 'an idle socket', prepare: () => Promise.resolve(), reset: true },
    {
      name: 'a socket full of bytes that a frozen peer does not take',
      prepare(socket) {
        while (socket.write(Buffer.alloc(1024 * 1024)));
        socket.write(Buffer.alloc(8 * 1024 * 1024));
        return Promise.resolve();
      },
      reset: true,
    },
    {
      name: 'a socket that has sent its FIN',
      prepare: socket => new Promise<void>(resolve => socket.end(resolve)),
      reset: false,
    },
    {
      name: 'a socket whose FIN is just under way (where Node’s own reset never closes)',
      prepare(socket) {
        socket.end();
        return new Promise(resolve => process.nextTick(resolve));
      },
      reset: false,
    },
    {
      name: 'a socket that was ended behind bytes that nobody takes',
      prepare(socket) {
        socket.write(Buffer.alloc(16 * 1024 * 1024));
        socket.end();
        return Promise.resolve();
      },
      reset: false,
    },
  ];

for (const { name, prepare, reset } of situations) {
  test(`resetNow: closes at once ${name}`, async () => {
    const { ours, peer, done } = await pair();
    await prepare(ours);
    const closed = once(ours, 'close', { signal: AbortSignal.timeout(10_000) });
    resetNow(ours);
    resetNow(ours);
    await closed;
    if (reset) assert.equal(await ending(peer), 'reset');
    done();
  });
}
