// The `net` driver: node:net sockets on the thread it is made in. Runs everywhere Node does.
// Made by app (through engine.ts) and by tests.

import { type Clock } from '../../../core/clock.ts';
import { type Driver } from '../../driver.ts';
import { dial } from './dialer.ts';
import { listen } from './listener.ts';
import { splice } from './splice.ts';
import { type TlsTerms } from './handshake.ts';
import { createDriverTls } from './tls.ts';

/** `terms`: left out, it speaks no TLS. */
export function createNetDriver(clock: Clock, terms: TlsTerms | null = null): Driver {
  return {
    ...(terms === null ? {} : { tls: createDriverTls(terms) }),
    listen: (request, events) => listen(request, events, clock),
    dial: (request, events) => dial(request, events, clock, terms),
    splice,
  };
}
