// nginx stream as a contender: a master and one worker, as its package runs it.
// Not the HTTP server behind the proxies: that is peers/nginx-http.ts.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { serviceNames, type Contender } from '../model.ts';
import { NGINX, nginxVersion } from '../peers/nginx-http.ts';
import { BACKLOG, chooseListeners, whenListening, type Listener } from './listeners.ts';

const MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so';

export function nginxStreamConfig(directory: string, listeners: readonly Listener[]): string {
  return [
    `load_module ${MODULE};`,
    'daemon off;',
    'worker_processes 1;',
    'worker_rlimit_nofile 20000;',
    `pid ${join(directory, 'nginx.pid')};`,
    'error_log stderr error;',
    'events { worker_connections 19900; }',
    'stream {',
    '  proxy_connect_timeout 5s;',
    '  proxy_timeout 1h;',
    ...listeners.map(
      ({ port, to }) =>
        `  server { listen 127.0.0.1:${port} backlog=${BACKLOG}; proxy_pass ${to.host}:${to.port}; }`,
    ),
    '}',
    '',
  ].join('\n');
}

export const nginx: Contender = {
  name: 'nginx',
  title: 'nginx stream',
  serves: serviceNames,
  async start({ children, directory: parent }, services) {
    const listeners = await chooseListeners(services);
    const directory = mkdtempSync(join(parent, 'nginx-stream-'));
    const file = join(directory, 'nginx.conf');
    writeFileSync(file, nginxStreamConfig(directory, listeners));
    const args = ['-p', directory, '-e', 'stderr', '-c', file];
    return whenListening(await children.start(NGINX, args), listeners);
  },
  version: nginxVersion,
};
