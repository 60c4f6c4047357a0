// Listening sockets that this process was born with: from systemd (socket activation, sd_listen_fds(3)), or from the process
// that it succeeds (handover.ts). Says which of them is for whom; whoever takes one owns it, and what nobody wants is closed.
// Read once, by cli/run.ts.

import { closeSync, readFileSync, readlinkSync } from 'node:fs';
import { isIP } from 'node:net';
import { z } from 'zod';
import { formatAddress, type Address } from '../core/address.ts';
import { describeError } from '../core/errors.ts';
import { type Logger } from '../core/logger.ts';
import { type InheritedSocket } from '../proxy/driver.ts';

/** Where inherited descriptors begin, for systemd and for us. */
const FIRST_FD = 3;
/** The name that systemd gives a socket without one, and that of ours for the admin server. */
export const ADMIN_NAME = 'admin';
/** Our own variable: LISTEN_PID has to be known before the successor is. */
export const HANDOVER_ENV = 'POINTSMAN_HANDOVER';

const handoverSchema = z.object({
  /** Who started it: the variable isn't meant for anybody further down. */
  parent: z.int(),
  /** In the order of their descriptors. */
  sockets: z.array(
    z.object({
      name: z.string(),
      address: z.object({ host: z.string(), port: z.int() }).nullable(),
      isKept: z.boolean(),
    }),
  ),
});
export type HandoverNote = z.output<typeof handoverSchema>;

interface Found extends InheritedSocket {
  readonly name: string;
  readonly address: Address | null;
}

export class InheritedSockets {
  readonly #left: Set<Found>;
  /** Some are systemd's: it goes on listening when we end. */
  readonly areKept: boolean;
  readonly #kept = new Set<number>();

  private constructor(found: readonly Found[]) {
    this.#left = new Set(found);
    this.areKept = found.some(({ isKept }) => isKept);
    for (const { fd, isKept } of found) if (isKept) this.#kept.add(fd);
  }

  /** Takes the variables out of `env`: they are ours, and no child's. */
  static read(
    env: NodeJS.ProcessEnv,
    { pid, ppid }: { readonly pid: number; readonly ppid: number },
  ): InheritedSockets {
    const note = noteIn(env);
    const found =
      note !== null && note.parent === ppid
        ? note.sockets.map((socket, index) => ({ ...socket, fd: FIRST_FD + index }))
        : fromSystemd(env, pid);
    Reflect.deleteProperty(env, HANDOVER_ENV);
    delete env['LISTEN_PID'];
    delete env['LISTEN_FDS'];
    delete env['LISTEN_FDNAMES'];
    return new InheritedSockets(found);
  }

  /** Those that are for whoever listens at `bind`, or was given them by name. */
  take(name: string, bind: Address): readonly InheritedSocket[] {
    const taken = [...this.#left].filter(socket => isFor(socket, name, bind));
    for (const socket of taken) this.#left.delete(socket);
    return taken;
  }

  /** Whether systemd has this one of ours as well. */
  isKept(fd: number): boolean {
    return this.#kept.has(fd);
  }

  closeRest(log: Logger): void {
    for (const { fd, name, address } of this.#left) {
      const at = address === null ? 'an unknown address' : formatAddress(address);
      log.warn(
        { name, fd },
        `the inherited socket ${name} (${at}) is for no frontend and not for admin: closed`,
      );
      closeSync(fd);
    }
    this.#left.clear();
  }
}

function isFor({ name: given, address, isKept }: Found, name: string, bind: Address): boolean {
  if (isKept && given === name) return true;
  if (address === null) return false;
  // Who asked for any port goes on with the one it got.
  if (bind.port === 0) return given === name && address.host === bind.host;
  if (address.port !== bind.port) return false;
  const isAny = address.host === '::' && bind.host === '0.0.0.0';
  // A host name was resolved by the one before.
  return address.host === bind.host || isAny || (given === name && isIP(bind.host) === 0);
}

function noteIn(env: NodeJS.ProcessEnv): HandoverNote | null {
  const text = env[HANDOVER_ENV];
  if (text === undefined) return null;
  try {
    return handoverSchema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null; // not ours: somebody else's variable of that name
  }
}

function fromSystemd(env: NodeJS.ProcessEnv, pid: number): readonly Found[] {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES = '' } = env;
  const count = Number(LISTEN_FDS);
  if (Number(LISTEN_PID) !== pid || !Number.isInteger(count) || count <= 0) return [];
  const names = LISTEN_FDNAMES.split(':');
  return Array.from({ length: count }, (_, index) => {
    const fd = FIRST_FD + index;
    return { fd, name: names[index] || 'unknown', address: addressOf(fd), isKept: true };
  });
}

/** As the kernel lists it: the calls that would say so need koffi. `null`: it can't be seen. */
function addressOf(fd: number): Address | null {
  try {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1];
    if (inode === undefined) return null;
    for (const table of ['tcp', 'tcp6']) {
      const address = findListening(readFileSync(`/proc/self/net/${table}`, 'latin1'), inode);
      if (address !== null) return address;
    }
    return null;
  } catch (thrown) {
    // No /proc, or one that shows less: names still tell.
    if (['ENOENT', 'EACCES', 'EPERM'].includes(describeError(thrown).code)) return null;
    throw thrown;
  }
}

/** In a table as of proc(5), /proc/net/tcp: `sl local_address rem_address st … inode`, addresses in words of 32 bits. */
export function findListening(table: string, inode: string): Address | null {
  for (const line of table.split('\n')) {
    const [, local = '', , state, , , , , , found] = line.trim().split(/\s+/);
    if (found !== inode || state !== '0A') continue;
    const [hex = '', port = ''] = local.split(':');
    const bytes = [...Buffer.from(hex, 'hex').swap32()];
    const host = bytes.length === 4 ? bytes.join('.') : ipv6(bytes);
    return { host, port: parseInt(port, 16) };
  }
  return null;
}

/** In the usual short form. */
function ipv6(bytes: readonly number[]): string {
  const groups = Array.from({ length: 8 }, (_, at) =>
    (((bytes[2 * at] ?? 0) << 8) | (bytes[2 * at + 1] ?? 0)).toString(16),
  );
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}
