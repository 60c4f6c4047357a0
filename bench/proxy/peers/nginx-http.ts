// The HTTP backend: nginx with one worker and a fixed answer of 200 bytes from memory.
// Not a contender: nginx as a proxy is contenders/nginx.ts.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Address } from '../../../src/core/address.ts';
import { type Context } from '../model.ts';
import { takePort, untilListening } from '../ports.ts';

export const NGINX = '/usr/sbin/nginx';
export const HTTP_BODY = 'Pointsman bench. '.repeat(12).slice(0, 200);

function config(directory: string, port: number): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    kind => `  ${kind}_temp_path ${join(directory, kind)};`,
  );
  return [
    'daemon off;',
    'worker_processes 1;',
    'worker_rlimit_nofile 20000;',
    `pid ${join(directory, 'nginx.pid')};`,
    'error_log stderr error;',
    'events { worker_connections 19900; }',
    'http {',
    '  access_log off;',
    '  keepalive_requests 1000000000;',
    '  keepalive_timeout 1h;',
    ...temporary,
    `  server { listen 127.0.0.1:${port} backlog=4096; location / { return 200 "${HTTP_BODY}"; } }`,
    '}',
    '',
  ].join('\n');
}

export async function startNginxHttp({ children, directory: parent }: Context): Promise<Address> {
  const directory = mkdtempSync(join(parent, 'nginx-http-'));
  const port = await takePort();
  const file = join(directory, 'nginx.conf');
  writeFileSync(file, config(directory, port));
  const server = await children.start(NGINX, ['-p', directory, '-e', 'stderr', '-c', file]);
  await untilListening(server, [port]);
  return { host: '127.0.0.1', port };
}

/** nginx tells its version on stderr only. */
export async function nginxVersion({ children }: Context): Promise<string> {
  const text = await children.run('/bin/sh', ['-c', `${NGINX} -v 2>&1`], 5000);
  return /nginx\/(\S+)/.exec(text)?.[1] ?? 'unknown';
}
