// Everything that stands behind the proxies, started as far as it is needed.
// Called by run.ts, which ends it all.

import { type Address } from '../../../src/core/address.ts';
import { type NodeServer, type Server } from '../children.ts';
import { type Addresses, type Context, type ServiceName } from '../model.ts';
import { takePort, untilListening } from '../ports.ts';
import { nginxVersion, startNginxHttp } from './nginx-http.ts';
import { startPostgres } from './postgres.ts';

export const IPERF = '/usr/bin/iperf3';

export interface Services {
  readonly addresses: Addresses;
  /** By the name of the program. */
  readonly versions: ReadonlyMap<string, string>;
  /** Resets every connection of the echo service; resolves to how many there were. */
  resetEchoes(): Promise<number>;
  /** Ends what isn't a child of the bench: PostgreSQL has an owner of its own. */
  dispose(): Promise<void>;
}

export async function startServices(context: Context, needed: ReadonlySet<ServiceName>): Promise<Services> {
  const addresses = new Map<ServiceName, Address>();
  const versions = new Map<string, string>();
  let echo: NodeServer | null = null;
  let dispose = (): Promise<void> => Promise.resolve();
  // the others first: what fails before PostgreSQL is up needs nothing but the children's end
  if (needed.has('http')) {
    addresses.set('http', await startNginxHttp(context));
    versions.set('nginx', await nginxVersion(context));
    versions.set('wrk', await version(context, 'wrk -v 2>&1 || true', /wrk (?:debian\/)?([^\s\[]+)/));
  }
  if (needed.has('bulk')) {
    const port = await takePort();
    addresses.set('bulk', await listening(await context.children.start(IPERF, iperfArgs(port)), port));
    versions.set('iperf3', await version(context, `${IPERF} --version`, /iperf (\S+)/));
  }
  if (needed.has('echo')) {
    const port = await takePort();
    echo = await context.children.startNode(new URL('./echo-child.js', import.meta.url), [String(port)]);
    addresses.set('echo', await listening(echo, port));
  }
  if (needed.has('pg')) {
    const node = await startPostgres(context);
    dispose = () => node.dispose();
    addresses.set('pg', { host: '127.0.0.1', port: node.port });
    const [row] = await node.query<{ server_version: string }>('SHOW server_version');
    versions.set('PostgreSQL and pgbench', row?.server_version.split(' ')[0] ?? 'unknown');
  }
  return {
    addresses,
    versions,
    async resetEchoes() {
      if (echo === null) throw new Error('there is no echo service in this run');
      return (await echo.ask<{ connections: number }>({ reset: true })).connections;
    },
    dispose,
  };
}

const iperfArgs = (port: number): string[] => ['-s', '-B', '127.0.0.1', '-p', String(port)];

async function listening(server: Server, port: number): Promise<Address> {
  await untilListening(server, [port]);
  return { host: '127.0.0.1', port };
}

async function version({ children }: Context, command: string, pattern: RegExp): Promise<string> {
  return pattern.exec(await children.run('/bin/sh', ['-c', command], 5000))?.[1] ?? 'unknown';
}
