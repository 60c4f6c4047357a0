// What every contender has to decide first: one port of its own for each service.
// Called by the contenders.

import { type Address } from '../../../src/core/address.ts';
import { type Server } from '../children.ts';
import { type Addresses, type RunningContender, type ServiceName } from '../model.ts';
import { takePort, untilListening } from '../ports.ts';

/** Deep enough for every burst here, the same for all (the kernel caps it at net.core.somaxconn, mostly 4096). */
export const BACKLOG = 4096;

export interface Listener {
  readonly service: ServiceName;
  readonly port: number;
  readonly to: Address;
}

export async function chooseListeners(services: Addresses): Promise<readonly Listener[]> {
  const listeners: Listener[] = [];
  for (const [service, to] of services) listeners.push({ service, port: await takePort(), to });
  return listeners;
}

/** The contender once its process listens. */
export async function whenListening(
  server: Server,
  listeners: readonly Listener[],
  signals?: readonly NodeJS.Signals[],
): Promise<RunningContender> {
  await untilListening(
    server,
    listeners.map(({ port }) => port),
  );
  return {
    ports: new Map(listeners.map(({ service, port }) => [service, { host: '127.0.0.1', port }])),
    pid: server.pid,
    assertRunning: () => server.assertRunning(),
    stop: () => server.stop(signals),
  };
}
