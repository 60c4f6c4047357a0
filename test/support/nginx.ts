// A real nginx for tests, with one file to give. Loopback only; gone with `close`. Needs Debian's nginx.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { type Address } from '../../src/core/address.ts';
import { until } from './wait.ts';

const NGINX = '/usr/sbin/nginx';
/** Ends the server when its parent is gone without a goodbye. */
const SETPRIV = '/usr/bin/setpriv';

export interface Nginx {
  readonly address: Address;
  /** The same, for who begins with a PROXY header; /who tells whom it named. */
  readonly announced: Address;
  close(): Promise<void>;
}

/** Serves `content` as /file, and 200 at /. */
export async function startNginx(content: Buffer): Promise<Nginx> {
  assert.ok(existsSync(NGINX), `${NGINX} is missing; run: apt-get install nginx`);
  const directory = mkdtempSync(join(tmpdir(), 'pointsman-nginx-'));
  chmodSync(directory, 0o755); // its worker has an account of its own
  mkdirSync(join(directory, 'root'));
  writeFileSync(join(directory, 'root', 'file'), content);
  const [port, announced] = [await freePort(), await freePort()];
  const file = join(directory, 'nginx.conf');
  writeFileSync(file, configuration(directory, port, announced));
  const child = spawn(SETPRIV, ['--pdeathsig', 'TERM', NGINX, '-p', directory, '-e', 'stderr', '-c', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (said += chunk));
  const close = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGTERM'); // not KILL: that would leave its worker behind
      await exited;
    }
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await until('nginx to answer', () => {
      assert.equal(child.exitCode, null, `nginx ended: ${said}`);
      return fetch(`http://127.0.0.1:${port}/`).then(
        response => response.ok,
        () => false, // not yet
      );
    });
  } catch (thrown) {
    await close();
    throw thrown;
  }
  const host = '127.0.0.1';
  return { address: { host, port }, announced: { host, port: announced }, close };
}

function configuration(directory: string, port: number, announced: number): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    kind => `  ${kind}_temp_path ${join(directory, kind)};`,
  );
  return [
    'daemon off;',
    'worker_processes 1;',
    `pid ${join(directory, 'nginx.pid')};`,
    'error_log stderr error;',
    'events { worker_connections 1000; }',
    'http {',
    '  access_log off;',
    ...temporary,
    `  server { listen 127.0.0.1:${port}; listen 127.0.0.1:${announced} proxy_protocol; root ${join(directory, 'root')};`,
    '    location = / { return 200 "hello\\n"; }',
    '    location = /who { return 200 "$proxy_protocol_addr $proxy_protocol_port\\n"; } }',
    '}',
    '',
  ].join('\n');
}
