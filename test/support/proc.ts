// What the kernel says this process and its connections consist of, read from /proc: Linux only, like the kernel driver.

import { readdirSync, readFileSync } from 'node:fs';

/** Open file descriptors; the one that reads the list is among them each time. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

const ESTABLISHED = '01';

/** Connections that the kernel counts as established, by the local port: at a server, its clients. */
export function establishedAt(port: number): number {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return readFileSync('/proc/self/net/tcp', 'latin1')
    .split('\n')
    .filter(line => {
      const [, address = '', , state] = line.trim().split(/ +/);
      return state === ESTABLISHED && address.endsWith(local);
    }).length;
}
