// TCP options on the sockets of a session, read back from the kernel: what notices a peer that vanished without a word.
// The proxy runs in this process, so its descriptors can be asked here.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import koffi from 'koffi';
import { type Address } from '../../src/core/address.ts';
import {
  int32,
  IPPROTO_TCP,
  SO_KEEPALIVE,
  SOL_SOCKET,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
  TCP_USER_TIMEOUT,
} from '../../src/proxy/drivers/kernel/libc.ts';
import { decodeSockaddr, SOCKADDR_MAX_BYTES } from '../../src/proxy/drivers/kernel/sockaddr.ts';
import { startupPacket } from '../support/tcp-packets.ts';
import { connectPeer, until } from '../support/tcp-peers.ts';
import { onDrivers, openStage } from '../support/tcp-proxy.ts';
import { pass, passReplica } from '../support/views.ts';

const SO_ACCEPTCONN = 30;
const tcp = { keepalive_idle: '7s', keepalive_interval: '5s', keepalive_count: 4, user_timeout: '9s' };

const library = koffi.load(null);
type Asked = (fd: number, address: Uint8Array, length: Uint8Array) => number;
const getsockname = library.func('int getsockname(int fd, void *address, void *length)') as Asked;
const getpeername = library.func('int getpeername(int fd, void *address, void *length)') as Asked;
const getsockopt = library.func('int getsockopt(int fd, int level, int name, void *value, void *length)') as (
  fd: number,
  level: number,
  name: number,
  value: Uint8Array,
  length: Uint8Array,
) => number;

function address(ask: Asked, fd: number): Address | null {
  const bytes = new Uint8Array(SOCKADDR_MAX_BYTES);
  return ask(fd, bytes, int32(bytes.length)) === 0 ? decodeSockaddr(bytes) : null;
}

function option(fd: number, level: number, name: number): number {
  const value = new Int32Array(1);
  assert.equal(getsockopt(fd, level, name, new Uint8Array(value.buffer), int32(4)), 0);
  return value[0] ?? -1;
}

/** Connected sockets of this process whose local or remote end is that port. */
function socketsAt(port: number, end: 'local' | 'remote'): readonly number[] {
  return readdirSync('/proc/self/fd')
    .map(Number)
    .filter(fd => address(end === 'local' ? getsockname : getpeername, fd)?.port === port)
    .filter(fd => option(fd, SOL_SOCKET, SO_ACCEPTCONN) === 0);
}

const optionsOf = (fd: number): Readonly<Record<string, number>> => ({
  keepAlive: option(fd, SOL_SOCKET, SO_KEEPALIVE),
  idle: option(fd, IPPROTO_TCP, TCP_KEEPIDLE),
  interval: option(fd, IPPROTO_TCP, TCP_KEEPINTVL),
  count: option(fd, IPPROTO_TCP, TCP_KEEPCNT),
  userTimeoutMs: option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT),
  noDelay: option(fd, IPPROTO_TCP, TCP_NODELAY),
});

onDrivers(
  'tcp options: both sides of a session have them, the server’s from its first sweep',
  async (t, engine) => {
    const stage = await openStage(t, {
      engine,
      // A sweep comes four times in an idle timeout.
      frontends: { app: { tcp, idle_timeout: '8s' } },
      initial: [{ pg1: pass(), pg2: passReplica() }, 'pg1'],
    });
    await connectPeer(stage.at(), startupPacket());
    await until(() => stage.gauge().sessions === 1, 'the session');
    const [client, ...otherClients] = socketsAt(stage.at().port, 'local');
    const [server, ...otherServers] = socketsAt(stage.servers['pg1']!.address.port, 'remote');
    assert.deepEqual([otherClients, otherServers], [[], []]);
    await until(() => option(server!, IPPROTO_TCP, TCP_KEEPIDLE) === 7, 'the first sweep');
    const wanted = { keepAlive: 1, idle: 7, interval: 5, count: 4, userTimeoutMs: 9000, noDelay: 1 };
    for (const fd of [client!, server!]) {
      const has = optionsOf(fd);
      if (engine !== 'net') assert.deepEqual(has, wanted);
      // node:net has a way to set the idle time only.
      else assert.deepEqual([has['keepAlive'], has['idle'], has['noDelay']], [1, 7, 1]);
    }
  },
);
