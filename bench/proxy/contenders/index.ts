// Who can take part. The subject is who the bench is about, the reference who it is compared with.
// Called by run.ts; the names are also those of `--proxies`.

import { type Contender } from '../model.ts';
import { direct } from './direct.ts';
import { haproxy } from './haproxy.ts';
import { netPipes } from './net-pipes.ts';
import { nginx } from './nginx.ts';
import { pgbouncer } from './pgbouncer.ts';
import { pointsman } from './pointsman.ts';

export const SUBJECT = 'pointsman';
export const REFERENCE = 'haproxy';
export const BASE_LINE = 'direct';
/** The reference in another configuration, better in bulk and worse elsewhere. */
export const FORCED_SPLICE = 'haproxy-splice';
/** The subject with less than it takes by default: without io_uring, as in most containers, and on node:net. */
export const fallbacks: readonly string[] = ['pointsman-epoll', 'pointsman-net'];

/** Enough to see what each step gains, without another half of the time. */
const fallbackScenarios = ['select-16', 'http', 'http-close', 'bulk-up', 'bulk-down', 'memory'];

/** Where it pays, and one of small messages that shows its price. */
const forcedSpliceScenarios = ['http', 'bulk-up', 'bulk-down', 'bulk-both'];

/** `engine`: that of the subject, as in its configuration file; `null`: its default. */
export function contenders(engine: object | null): readonly Contender[] {
  return [
    pointsman(SUBJECT, 'Pointsman', engine),
    haproxy(REFERENCE, 'HAProxy', 'auto'),
    { ...haproxy(FORCED_SPLICE, 'HAProxy (splice forced)', 'forced'), scenarios: forcedSpliceScenarios },
    nginx,
    pgbouncer,
    { ...pointsman('pointsman-epoll', 'Pointsman (epoll)', { io: 'epoll' }), scenarios: fallbackScenarios },
    {
      ...pointsman('pointsman-net', 'Pointsman (net driver)', { driver: 'net' }),
      scenarios: fallbackScenarios,
    },
    netPipes,
    direct,
  ];
}
