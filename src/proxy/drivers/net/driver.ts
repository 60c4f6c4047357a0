// The `net` driver: node:net sockets on the thread it is made in. Runs everywhere Node does.
// Made by app (through engine.ts) and by tests.

import { type Clock } from '../../../core/clock.ts';
import { type Driver } from '../../driver.ts';
import { dial } from './dialer.ts';
import { listen } from './listener.ts';
import { splice } from './splice.ts';

export function createNetDriver(clock: Clock): Driver {
  return {
    listen: (request, events) => listen(request, events, clock),
    dial: (request, events) => dial(request, events, clock),
    splice,
  };
}
