// HAProxy as a contender: Debian's package, mode tcp with splice, one thread, since Pointsman's data plane is one thread
// too. Its configuration file stands in RESULTS.md as well.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { serviceNames, type Contender } from '../model.ts';
import { BACKLOG, chooseListeners, whenListening, type Listener } from './listeners.ts';

const HAPROXY = '/usr/sbin/haproxy';

export type Splice = 'auto' | 'forced';

/**
 * How HAProxy moves bytes. `splice-auto` hardly ever splices what iperf3 sends, and costs nothing elsewhere. Forced, with
 * larger pipes, it takes less than half the processor time in bulk, and a third more for small messages.
 */
const splicing: Readonly<
  Record<Splice, { readonly global: readonly string[]; readonly defaults: readonly string[] }>
> = {
  auto: { global: [], defaults: ['  option splice-auto'] },
  forced: {
    global: ['  tune.pipesize 1048576'],
    defaults: ['  option splice-request', '  option splice-response'],
  },
};

/**
 * Room for the 8,000 idle connections, two descriptors each, within the usual hard limit of 20,000; the pipes of splice
 * count too, and HAProxy would reserve a quarter of `maxconn` for them.
 */
export function haproxyConfig(listeners: readonly Listener[], splice: Splice): string {
  return [
    'global',
    '  nbthread 1',
    '  maxconn 9500',
    '  maxpipes 200',
    ...splicing[splice].global,
    'defaults',
    '  mode tcp',
    `  backlog ${BACKLOG}`,
    '  timeout connect 5s',
    '  timeout client 1h',
    '  timeout server 1h',
    ...splicing[splice].defaults,
    ...listeners.flatMap(({ service, port, to }) => [
      `listen ${service}`,
      `  bind 127.0.0.1:${port}`,
      `  server ${service} ${to.host}:${to.port}`,
    ]),
    '',
  ].join('\n');
}

export function haproxy(name: string, title: string, splice: Splice): Contender {
  return {
    name,
    title,
    serves: serviceNames,
    async start({ children, directory }, services) {
      const listeners = await chooseListeners(services);
      const file = join(mkdtempSync(join(directory, 'haproxy-')), 'haproxy.cfg');
      writeFileSync(file, haproxyConfig(listeners, splice));
      return whenListening(await children.start(HAPROXY, ['-db', '-f', file]), listeners);
    },
    async version({ children }) {
      return /version (\S+)/.exec(await children.run(HAPROXY, ['-v'], 5000))?.[1] ?? 'unknown';
    },
  };
}
