// What the kernel says this process and its connections consist of, read from /proc: Linux only, like the kernel driver.

import { readdirSync, readFileSync } from 'node:fs';
import { type Address } from '../../src/core/address.ts';

/** Open file descriptors; the one that reads the list is among them each time. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** States of a connection (include/net/tcp_states.h). */
const tcpStates = { established: '01', synSent: '02', timeWait: '06' } as const;

/**
 * Connections that the kernel keeps in a state, one end of which is this address (proc(5), /proc/net/tcp). With `end` local:
 * at a server, its clients. Of that very address: on another one of 127/8 the port may be somebody else's.
 */
export function connectionsIn(
  state: keyof typeof tcpStates,
  { host, port }: Address,
  end: 'local' | 'either',
): number {
  const octets = host.split('.').map(octet => Number(octet).toString(16).padStart(2, '0'));
  const wanted = `${octets.reverse().join('')}:${port.toString(16).padStart(4, '0')}`.toUpperCase();
  return readFileSync('/proc/self/net/tcp', 'latin1')
    .split('\n')
    .filter(line => {
      const [, local, remote, its] = line.trim().split(/ +/);
      return its === tcpStates[state] && (local === wanted || (end === 'either' && remote === wanted));
    }).length;
}
