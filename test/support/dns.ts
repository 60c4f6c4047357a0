// A real DNS server (dnsmasq) on loopback, with names that a test moves while it runs. Knows `.internal` and nothing else:
// other names are refused. Needs Debian's dnsmasq-base.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Resolver } from 'node:dns/promises';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext } from 'node:test';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { until } from './wait.ts';

const PROGRAM = '/usr/sbin/dnsmasq';
const MARK = 'mark.internal';

/** Addresses by name, several of one in any order. */
export type Zone = Readonly<Record<string, readonly string[]>>;

export class DnsServer {
  readonly #directory = mkdtempSync(join(tmpdir(), 'pointsman-dns-'));
  readonly #port: number;
  #child: ChildProcess | null = null;
  #mark = 0;
  /** As of dnsmasq's option: name, target, port. */
  #services: readonly string[] = [];

  private constructor(port: number) {
    this.#port = port;
  }

  /** Started, and ended with the test. */
  static async start(t: TestContext, zone: Zone, services: readonly string[] = []): Promise<DnsServer> {
    const server = new DnsServer(await freePort());
    t.after(async () => {
      await server.stop();
      rmSync(server.#directory, { recursive: true, force: true });
    });
    server.#services = services;
    await server.set(zone);
    return server;
  }

  /** `host:port`, as the configuration wants it. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** The names from now on; settles when it answers by them. `services`: SRV records, which need a restart. */
  async set(zone: Zone, services: readonly string[] = this.#services): Promise<void> {
    this.#mark += 1;
    const mark = `10.255.${this.#mark >> 8}.${this.#mark & 255}`;
    const lines = Object.entries(zone).flatMap(([name, hosts]) => hosts.map(host => `${host} ${name}`));
    writeFileSync(this.#hostsFile, `${[...lines, `${mark} ${MARK}`].join('\n')}\n`);
    if (services.join() !== this.#services.join()) await this.stop();
    this.#services = services;
    if (this.#child === null) this.#spawn();
    else this.#child.kill('SIGHUP');
    await until(`dnsmasq to know ${lines.join(', ')}`, async () => (await this.#addressOf(MARK)) === mark);
  }

  /** Nobody answers from now on, until the next `set`. */
  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** How often it was asked for the IPv4 addresses of a name. */
  asked(name: string): number {
    return readFileSync(this.#logFile, 'utf8').split(`query[A] ${name} `).length - 1;
  }

  get #hostsFile(): string {
    return join(this.#directory, 'hosts');
  }

  get #logFile(): string {
    return join(this.#directory, 'log');
  }

  #spawn(): void {
    // setpriv (util-linux): ended even where this process is killed itself.
    this.#child = spawn(
      '/usr/bin/setpriv',
      [
        ...['--pdeathsig', 'KILL', PROGRAM, '--keep-in-foreground', '--conf-file=/dev/null', '--pid-file='],
        ...['--user=root', '--no-resolv', '--no-hosts', '--bind-interfaces'],
        ...['--listen-address=127.0.0.1', `--port=${this.#port}`, '--local=/internal/', '--local-ttl=1'],
        ...['--log-queries', `--log-facility=${this.#logFile}`],
        `--addn-hosts=${this.#hostsFile}`,
        ...this.#services.map(service => `--srv-host=${service}`),
      ],
      { stdio: 'ignore' },
    );
  }

  async #addressOf(name: string): Promise<string | null> {
    const resolver = new Resolver({ timeout: 500, tries: 1 });
    resolver.setServers([this.address]);
    const [first = null] = await resolver.resolve4(name).catch(() => []); // asked again
    return first;
  }
}
