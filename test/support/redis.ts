// Real Redis servers and Sentinels for tests: started, frozen, killed, restarted with or without their data, and a small
// client that says what a test tells it to. Loopback only. Needs Debian's redis-server and redis-sentinel.

import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext } from 'node:test';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { type Address } from '../../src/core/address.ts';
import { type CheckConfig } from '../../src/config/schema.ts';
import { systemClock } from '../../src/core/clock.ts';
import { type ProbeAnswer, type Prober } from '../../src/health/prober.ts';
import { createRedisProber } from '../../src/health/probers/redis/prober.ts';
import { type ServerFacts } from '../../src/health/result.ts';
import { encodeCommands, type Command } from '../../src/protocol/redis/command.ts';
import { decodeReply, type Reply } from '../../src/protocol/redis/reply.ts';
import { Framer } from '../../src/protocol/framer.ts';
import { until } from './wait.ts';

/** Ends a server when its parent is gone without a goodbye. */
const SETPRIV = '/usr/bin/setpriv';

/** A reply as a test wants to see it: errors are thrown. */
export type Value = string | number | null | readonly Value[];

function valueOf(reply: Reply): Value {
  switch (reply.kind) {
    case 'text':
      return reply.text;
    case 'integer':
      return reply.value;
    case 'null':
      return null;
    case 'list':
    case 'push':
      return reply.items.map(valueOf);
    case 'error':
      throw new Error(reply.text);
  }
}

/** One connection; commands are answered in order. A lost connection rejects what waits, and all that comes after. */
export class RedisClient {
  readonly socket: Socket;
  /** What came though nothing was asked: messages of subscriptions, with their time. */
  readonly messages: { readonly at: number; readonly value: Value }[] = [];
  readonly #framer = new Framer(decodeReply);
  #waiting: { resolve: (value: Value) => void; reject: (error: Error) => void }[] = [];
  #lost: Error | null = null;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', chunk => this.#receive(chunk));
    socket.on('error', error => this.#end(error));
    socket.on('close', () => this.#end(new Error('the connection was closed')));
  }

  static async connect({ host, port }: Address): Promise<RedisClient> {
    const socket = connect({ host, port, noDelay: true });
    const client = new RedisClient(socket);
    await once(socket, 'connect');
    return client;
  }

  get lost(): Error | null {
    return this.#lost;
  }

  command(...command: Command): Promise<Value> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== null) return reject(this.#lost);
      this.#waiting.push({ resolve, reject });
      this.socket.write(encodeCommands([command]));
    });
  }

  close(): void {
    this.socket.destroy();
  }

  #receive(chunk: Uint8Array): void {
    this.#framer.push(chunk);
    for (;;) {
      const decoded = this.#framer.next();
      if (decoded.kind === 'need') return;
      if (decoded.kind === 'bad') return this.#end(new Error(decoded.detail));
      const first = this.#waiting.shift();
      try {
        const value = valueOf(decoded.value);
        if (first === undefined) this.messages.push({ at: performance.now(), value });
        else first.resolve(value);
      } catch (thrown) {
        if (first === undefined) this.#end(thrown as Error);
        else first.reject(thrown as Error);
      }
    }
  }

  #end(error: Error): void {
    this.#lost ??= error;
    this.socket.destroy();
    for (const { reject } of this.#waiting.splice(0)) reject(this.#lost);
  }
}

export interface RedisOptions {
  /** Directives of redis.conf by name, beside the usual ones: no saving on its own, replicas at once. */
  readonly directives?: Readonly<Record<string, string>>;
}

/** A server or a Sentinel; its directory and its process are gone after the test. */
abstract class RedisProcess {
  readonly port: number;
  readonly directory: string;
  readonly address: Address;
  #child: ChildProcess | null = null;

  protected constructor(port: number) {
    this.port = port;
    this.address = { host: '127.0.0.1', port };
    this.directory = mkdtempSync(join(tmpdir(), 'pointsman-redis-'));
  }

  protected abstract program(): readonly [string, ...(readonly string[])];

  /** Starts the process; it may still be loading, or not listen yet. */
  launch(): void {
    const child = spawn(SETPRIV, ['--pdeathsig', 'KILL', ...this.program()], { stdio: 'ignore' });
    const kill = (): void => void child.kill('SIGKILL');
    process.once('exit', kill);
    child.once('exit', () => process.off('exit', kill));
    this.#child = child;
  }

  /** Starts it and waits until it answers. */
  async start(): Promise<void> {
    this.launch();
    await until(`the server on port ${this.port} to answer`, async () => {
      assert.equal(this.#child?.exitCode, null, `the server on port ${this.port} ended:\n${this.log()}`);
      return RedisClient.connect(this.address).then(
        client => {
          client.close();
          return true;
        },
        () => false, // not yet
      );
    });
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /** Ends the process and waits for that; SIGKILL unless told otherwise. */
  async stop(name: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(name);
    await exited;
  }

  async dispose(): Promise<void> {
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** One command over a connection of its own. */
  async command(...command: Command): Promise<Value> {
    const client = await RedisClient.connect(this.address);
    try {
      return await client.command(...command);
    } finally {
      client.close();
    }
  }

  log(): string {
    try {
      return readFileSync(join(this.directory, 'log'), 'utf8');
    } catch {
      return '(no log)'; // it ended before it could write one
    }
  }
}

export class RedisNode extends RedisProcess {
  #directives: Readonly<Record<string, string>>;

  private constructor(port: number, { directives = {} }: RedisOptions) {
    super(port);
    this.#directives = directives;
  }

  /** Not started yet. */
  static async create(t: Pick<TestContext, 'after'>, options: RedisOptions = {}): Promise<RedisNode> {
    const node = new RedisNode(await freePort(), options);
    t.after(() => node.dispose());
    return node;
  }

  protected program(): readonly [string, ...(readonly string[])] {
    const directives = {
      port: String(this.port),
      bind: '127.0.0.1',
      dir: this.directory,
      logfile: 'log',
      save: '',
      'repl-diskless-sync-delay': '0',
      'enable-debug-command': 'yes',
      ...this.#directives,
    };
    const file = join(this.directory, 'redis.conf');
    const text = Object.entries(directives).map(
      ([name, value]) => `${name} ${value === '' ? '""' : value}\n`,
    );
    writeFileSync(file, text.join(''));
    return ['redis-server', file];
  }

  /** Starts it anew with further directives, other ports among them: only that it accepts connections is waited for. */
  async restartWith(directives: Readonly<Record<string, string>>): Promise<void> {
    await this.stop();
    this.#directives = { ...this.#directives, ...directives };
    await this.start();
  }

  async info(section = 'replication'): Promise<ReadonlyMap<string, string>> {
    const lines = String(await this.command('INFO', section)).split('\r\n');
    return new Map(
      lines.flatMap(line => (line.includes(':') ? [line.split(/:(.*)/s) as [string, string]] : [])),
    );
  }

  /** Makes it a replica and waits until it is joined. */
  async follow({ address }: RedisNode): Promise<void> {
    await this.command('REPLICAOF', address.host, String(address.port));
    await until(
      'the replica to be joined',
      async () => (await this.info()).get('master_link_status') === 'up',
    );
  }
}

export interface SentinelOptions {
  readonly primary: RedisNode;
  readonly quorum: number;
  /** Default: 700. */
  readonly downAfterMs?: number;
  readonly directives?: readonly string[];
}

export class SentinelNode extends RedisProcess {
  readonly #options: SentinelOptions;
  /** Further lines of its file; to be added to before it starts. */
  readonly directives: string[];

  private constructor(port: number, options: SentinelOptions) {
    super(port);
    this.#options = options;
    this.directives = [...(options.directives ?? [])];
  }

  static async create(t: Pick<TestContext, 'after'>, options: SentinelOptions): Promise<SentinelNode> {
    const node = new SentinelNode(await freePort(), options);
    t.after(() => node.dispose());
    return node;
  }

  protected program(): readonly [string, ...(readonly string[])] {
    const { primary, quorum, downAfterMs = 700 } = this.#options;
    const file = join(this.directory, 'sentinel.conf');
    const lines = [
      `port ${this.port}`,
      'bind 127.0.0.1',
      `dir ${this.directory}`,
      'logfile log',
      `sentinel monitor mymaster ${primary.address.host} ${primary.port} ${quorum}`,
      `sentinel down-after-milliseconds mymaster ${downAfterMs}`,
      'sentinel failover-timeout mymaster 6000',
      ...this.directives,
    ];
    writeFileSync(file, `${lines.join('\n')}\n`);
    return ['redis-sentinel', file];
  }

  async primary(): Promise<number> {
    const answer = await this.command('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'mymaster');
    return Array.isArray(answer) ? Number(answer[1]) : -1;
  }

  /** Waits until it knows so many replicas and so many other Sentinels. */
  async knows(replicas: number, sentinels: number): Promise<void> {
    await until('the Sentinel to know the others', async () => {
      const state = (await this.command('SENTINEL', 'MASTER', 'mymaster')) as readonly Value[];
      const field = (name: string): number => Number(state[state.indexOf(name) + 1]);
      return field('num-slaves') === replicas && field('num-other-sentinels') === sentinels;
    });
  }
}

/** A primary and its joined replicas, all started. */
export async function replicatedRedis(
  t: Pick<TestContext, 'after'>,
  replicas: number,
  options: RedisOptions = {},
): Promise<readonly [RedisNode, ...(readonly RedisNode[])]> {
  const primary = await RedisNode.create(t, options);
  const others = await Promise.all(Array.from({ length: replicas }, () => RedisNode.create(t, options)));
  await Promise.all([primary, ...others].map(node => node.start()));
  await Promise.all(others.map(node => node.follow(primary)));
  return [primary, ...others];
}

/** Started Sentinels that know each other and all replicas. */
export async function sentinelsOf(
  t: Pick<TestContext, 'after'>,
  options: SentinelOptions & { readonly count: number; readonly replicas: number },
): Promise<readonly SentinelNode[]> {
  const nodes = await Promise.all(
    Array.from({ length: options.count }, () => SentinelNode.create(t, options)),
  );
  await Promise.all(nodes.map(node => node.start()));
  await Promise.all(nodes.map(node => node.knows(options.replicas, options.count - 1)));
  return nodes;
}

type RedisCheck = CheckConfig<'redis'>;

/** A prober that ends with the test, and what it reported as lost. */
export function redisProberFor(
  t: TestContext,
  { host, port }: { readonly host?: string; readonly port: number },
  overrides: Partial<RedisCheck> = {},
): { prober: Prober; lost: string[] } {
  const lost: string[] = [];
  const check = {
    user: null,
    password: null,
    tls: { mode: 'disable', caFile: null, serverName: null } as const,
    reconnectIntervalMs: 0,
    timeoutMs: 5000,
    ...overrides,
  };
  const prober = createRedisProber({
    address: { host: host ?? '127.0.0.1', port },
    check,
    clock: systemClock,
  })(detail => lost.push(detail));
  t.after(() => prober.close());
  return { prober, lost };
}

export const probeRedis = (
  t: TestContext,
  server: { readonly host?: string; readonly port: number },
  overrides: Partial<RedisCheck> = {},
): Promise<ProbeAnswer> => redisProberFor(t, server, overrides).prober.probe();

export function factsIn(answer: ProbeAnswer): ServerFacts {
  assert.equal(answer.code, 'L7OK', answer.detail);
  return answer.code === 'L7OK' ? answer.facts : assert.fail();
}
