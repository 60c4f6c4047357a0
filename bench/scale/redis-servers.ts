// Three thousand Redis servers in one process, as far as a probe can tell: each address of 127/8 that it listens on is one, and
// answers HELLO, PING, INFO and CONFIG. No data, no replication: a backend's roles are a number, and fail over when told.
// Started by servers.ts; commands and answers over the process's own channel.
// Wording of INFO: Redis 7, src/server.c.

import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { addressOf, runIdOf, SERVERS, type Command, type Done } from './servers.ts';

interface Backend {
  primary: number;
  /** How often it has failed over. */
  generation: number;
  readonly members: Member[];
}

interface Member {
  readonly listener: Server;
  readonly connections: Set<Socket>;
}

const OFFSET = 1_000_000;
/** Replicated bytes between two promotions. */
const PER_GENERATION = 1000;

const backends: Backend[] = [];
let port = 0;

function listen({ listener }: Member, index: number, member: number): Promise<unknown> {
  const listening = once(listener, 'listening');
  listener.listen({ ...addressOf(index, member, port), backlog: 16 });
  return listening;
}

function createMember(index: number, member: number): Member {
  const connections = new Set<Socket>();
  const listener = createServer({ noDelay: true }, socket => {
    connections.add(socket);
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      const { replies, rest } = answersTo(text + chunk, index, member);
      text = rest;
      if (replies !== '') socket.write(replies);
    });
    socket.on('error', () => undefined); // a client that resets; 'close' follows
    socket.on('close', () => connections.delete(socket));
  });
  return { listener, connections };
}

/** Commands are arrays of bulk strings; none here holds anything but ASCII. */
function answersTo(text: string, index: number, member: number): { replies: string; rest: string } {
  let replies = '';
  let rest = text;
  for (;;) {
    const head = /^\*(\d+)\r\n/.exec(rest);
    if (head === null) return { replies, rest };
    const parts = rest.split('\r\n', 2 * Number(head[1]) + 2);
    if (parts.length < 2 * Number(head[1]) + 2) return { replies, rest };
    const words = parts.filter((_part, at) => at > 0 && at % 2 === 0);
    rest = rest.slice(parts.slice(0, -1).join('\r\n').length + 2);
    replies += answerTo(words, index, member);
  }
}

function answerTo([name = '', argument = '']: readonly string[], index: number, member: number): string {
  switch (name.toUpperCase()) {
    case 'HELLO':
      return `%2\r\n${bulk('server')}${bulk('redis')}${bulk('proto')}:3\r\n`;
    case 'PING':
      return '+PONG\r\n';
    case 'INFO':
      return bulk(argument === 'server' ? aboutServer(index, member) : aboutReplication(index, member));
    case 'CONFIG':
      return `*2\r\n${bulk('min-replicas-to-write')}${bulk('0')}`;
    default:
      return `-ERR unknown command '${name}'\r\n`;
  }
}

const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;

const aboutServer = (index: number, member: number): string =>
  lines('# Server', 'redis_version:7.0.15', 'redis_mode:standalone', `run_id:${runIdOf(index, member)}`);

function aboutReplication(index: number, member: number): string {
  const { primary, generation } = backends[index]!;
  const offset = OFFSET + generation * PER_GENERATION;
  const history = [
    'master_failover_state:no-failover',
    `master_replid:${replicationId(index, generation)}`,
    `master_replid2:${generation === 0 ? '0'.repeat(40) : replicationId(index, generation - 1)}`,
    `master_repl_offset:${offset}`,
    `second_repl_offset:${generation === 0 ? -1 : offset - PER_GENERATION + 1}`,
  ];
  if (member === primary) return lines('# Replication', 'role:master', 'connected_slaves:2', ...history);
  const { host } = addressOf(index, primary, port);
  return lines(
    ...['# Replication', 'role:slave', `master_host:${host}`, `master_port:${port}`],
    ...['master_link_status:up', 'master_last_io_seconds_ago:0', 'master_sync_in_progress:0'],
    ...[`slave_read_repl_offset:${offset}`, `slave_repl_offset:${offset}`, 'slave_priority:100'],
    ...['slave_read_only:1', 'connected_slaves:0', ...history],
  );
}

const replicationId = (index: number, generation: number): string =>
  `${index.toString(16)}a${generation.toString(16)}`.padStart(40, 'b');

const lines = (...all: readonly string[]): string => `${all.join('\r\n')}\r\n`;

/** The next member becomes the primary, the others its replicas, at once; `crash`: the old one is gone until `revive`. */
function failOver(index: number, crash: boolean): number {
  const backend = backends[index]!;
  const old = backend.members[backend.primary]!;
  backend.primary = (backend.primary + 1) % SERVERS;
  backend.generation += 1;
  const at = performance.timeOrigin + performance.now();
  if (!crash) return at;
  old.listener.close();
  for (const connection of old.connections) connection.resetAndDestroy();
  return at;
}

async function obey(command: Command): Promise<Done> {
  switch (command.kind) {
    case 'start':
      port = command.port;
      for (let index = 0; index < command.backends; index += 1) {
        const members = Array.from({ length: SERVERS }, (_, member) => createMember(index, member));
        backends.push({ primary: 0, generation: 0, members });
        await Promise.all(members.map((member, at) => listen(member, index, at)));
      }
      return { times: [] };
    case 'fail-over':
      return { times: command.indexes.map(index => failOver(index, command.crash)) };
    case 'revive':
      for (const [index, { members }] of backends.entries()) {
        const gone = [...members.entries()].filter(([, { listener }]) => !listener.listening);
        await Promise.all(gone.map(([at, member]) => listen(member, index, at)));
      }
      return { times: [] };
  }
}

process.on('message', (command: Command) => {
  void obey(command).then(
    done => process.send?.(done),
    (thrown: unknown) => process.send?.({ times: [], failure: String(thrown) } satisfies Done),
  );
});
// the bench is gone
process.on('disconnect', () => process.exit(0));
