// What systemd is told (sd_notify(3)): that all listens, that a reload is under way, that we live, that another process takes
// over. A datagram to NOTIFY_SOCKET, sent through koffi as Node has no such sockets; where there is no koffi, by the program
// systemd-notify. Without NOTIFY_SOCKET nothing happens. Made by cli/run.ts.

import { spawn } from 'node:child_process';
import { type Clock, type Timer } from '../core/clock.ts';
import { describeError } from '../core/errors.ts';
import { type Logger } from '../core/logger.ts';
import { machineMs } from '../core/thread-clock.ts';
import * as linux from '../proxy/drivers/kernel/libc.ts';
import { loadLibc, type Libc } from '../proxy/drivers/kernel/libc.ts';

export interface Notifier {
  ready(status: string): void;
  reloading(): void;
  /** `boundMs`: the end may take that long. */
  stopping(boundMs: number): void;
  /** Another process is the main one from now on. */
  succeeded(pid: number): void;
  /** Tells that we live at half the interval that systemd wants, while `isAlive` says so. */
  watch(isAlive: () => boolean): void;
  /** Ends the watch. */
  end(): void;
}

const silent: Notifier = {
  ready: () => undefined,
  reloading: () => undefined,
  stopping: () => undefined,
  succeeded: () => undefined,
  watch: () => undefined,
  end: () => undefined,
};

/** What `stopping` adds: the last steps after the deadline of the sessions. */
const END_MARGIN_MS = 5000;

export interface NotifyDeps {
  readonly env: NodeJS.ProcessEnv;
  readonly pid: number;
  /** Born as the successor of the process that systemd watched: WATCHDOG_PID is still that one's. */
  readonly isSuccessor: boolean;
  readonly clock: Clock;
  readonly log: Logger;
}

export async function createNotifier({ env, pid, isSuccessor, clock, log }: NotifyDeps): Promise<Notifier> {
  const path = env['NOTIFY_SOCKET'];
  if (path === undefined || path === '') return silent;
  const loaded = await loadLibc();
  const send = loaded.ok ? datagramTo(loaded.libc, path, log) : byProgram(log);
  const watchdogMs =
    isSuccessor || Number(env['WATCHDOG_PID'] ?? pid) === pid ? Number(env['WATCHDOG_USEC'] ?? 0) / 1000 : 0;
  let timer: Timer | null = null;
  return {
    ready: status => send({ READY: 1, STATUS: status }),
    reloading: () => send({ RELOADING: 1, MONOTONIC_USEC: Math.floor(machineMs() * 1000) }),
    stopping: boundMs =>
      send({
        STOPPING: 1,
        STATUS: 'draining',
        EXTEND_TIMEOUT_USEC: Math.ceil((boundMs + END_MARGIN_MS) * 1000),
      }),
    succeeded(successor) {
      timer?.cancel();
      send({ MAINPID: successor, STATUS: `process ${successor} has taken over` });
    },
    watch(isAlive) {
      if (!(watchdogMs > 0)) return;
      const turn = (): void => {
        if (isAlive()) send({ WATCHDOG: 1 });
        timer = clock.schedule(watchdogMs / 2, turn);
      };
      turn();
    },
    end: () => timer?.cancel(),
  };
}

type Send = (assignments: Readonly<Record<string, string | number>>) => void;

const textOf = (assignments: Parameters<Send>[0]): readonly string[] =>
  // A value is one line.
  Object.entries(assignments).map(([key, value]) => `${key}=${String(value).replaceAll('\n', ' ')}`);

/** sockaddr_un; a path that begins with `@` is an abstract one. `null`: too long. */
export function encodeUnixAddress(path: string): Uint8Array | null {
  const name = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : path);
  const SUN_PATH_BYTES = 108;
  if (name.length >= SUN_PATH_BYTES) return null;
  // Of a path the zero behind it is a part, of an abstract name each byte counts.
  const end = name[0] === 0 ? [] : [0];
  return Uint8Array.from([linux.AF_UNIX, 0, ...name, ...end]);
}

function datagramTo(libc: Libc, path: string, log: Logger): Send {
  const address = encodeUnixAddress(path);
  let isTold = false;
  function fail(call: string): void {
    if (!isTold)
      log.warn({ path }, `systemd can't be told anything: ${call}: ${linux.errnoName(libc.errno())}`);
    isTold = true;
  }
  return assignments => {
    if (address === null) return;
    const fd = libc.socket(linux.AF_UNIX, linux.SOCK_DGRAM | linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC, 0);
    if (fd === -1) return fail('socket');
    const bytes = Buffer.from(textOf(assignments).join('\n'));
    if (libc.connect(fd, address, address.length) === -1) fail('connect');
    else if (libc.send(fd, bytes, bytes.length, linux.MSG_NOSIGNAL) === -1) fail('send');
    libc.close(fd);
  };
}

/** One after the other, so that they arrive in order. The unit has to accept them from it: NotifyAccess=all. */
function byProgram(log: Logger): Send {
  let last = Promise.resolve();
  return assignments => {
    last = last.then(
      () =>
        new Promise(resolve => {
          const child = spawn('systemd-notify', [...textOf(assignments)], { stdio: 'ignore' });
          child.once('error', thrown => {
            log.warn({}, `systemd can't be told anything: ${describeError(thrown).message}`);
            resolve();
          });
          child.once('exit', () => resolve());
        }),
    );
  };
}
