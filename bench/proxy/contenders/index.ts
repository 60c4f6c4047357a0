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
export const NET_DRIVER = 'pointsman-net';

/** Enough to see what the other driver gains, without another quarter of the time. */
const netDriverScenarios = ['select-16', 'http', 'http-close', 'bulk-up', 'bulk-down', 'memory'];

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
    { ...pointsman(NET_DRIVER, 'Pointsman (net driver)', { driver: 'net' }), scenarios: netDriverScenarios },
    netPipes,
    direct,
  ];
}
