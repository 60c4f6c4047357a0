// No proxy at all: the base line that added latency is counted from,
// and a look at what the machine would do alone.

import { serviceNames, type Contender } from '../model.ts';

export const direct: Contender = {
  name: 'direct',
  title: 'direct (no proxy)',
  serves: serviceNames,
  start: (_context, services) =>
    Promise.resolve({
      ports: services,
      pid: null,
      assertRunning: () => undefined,
      stop: () => Promise.resolve(),
    }),
  version: () => Promise.resolve(''),
};
