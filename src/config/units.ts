// Readers for durations, sizes and socket addresses as people write them. Pure: text in, number or reason out.
// Used by the schema only; the rest of the program sees milliseconds, bytes and host/port.

export type Reading<T> = { ok: true; value: T } | { ok: false; reason: string };

const durationFactors: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const sizeFactors: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

export const DURATION_PATTERN = '^(0|\\d+(\\.\\d+)?(ms|s|m|h|d))$';
export const SIZE_PATTERN = '^\\d+(\\.\\d+)?(B|KiB|MiB|GiB)$';
const DURATION_MAX_MS = 7 * 86_400_000;

/** `250ms`, `2s`, `1.5m`, `0` to milliseconds; at most seven days. */
export function readDuration(text: string | number): Reading<number> {
  if (text === 0 || text === '0') return { ok: true, value: 0 };
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(String(text));
  const factor = durationFactors[match?.[2] ?? ''];
  if (match?.[1] === undefined || factor === undefined) {
    return { ok: false, reason: `"${text}" is not a duration; write it as 250ms, 2s, 5m, 1h or 0` };
  }
  const value = Number(match[1]) * factor;
  if (value > DURATION_MAX_MS) return { ok: false, reason: `"${text}" is longer than 7d` };
  return { ok: true, value };
}

/** `64KiB`, `1MiB` to bytes. */
export function readSize(text: string): Reading<number> {
  const match = /^(\d+(?:\.\d+)?)(B|KiB|MiB|GiB)$/.exec(text);
  const factor = sizeFactors[match?.[2] ?? ''];
  if (match?.[1] === undefined || factor === undefined) {
    return { ok: false, reason: `"${text}" is not a size; write it as 512B, 64KiB, 1MiB or 2GiB` };
  }
  return { ok: true, value: Math.round(Number(match[1]) * factor) };
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** `10.0.0.1:5432`, `db.example:5432`, `[::1]:5432`. Port 0 (let the system choose) only where `allowZero`. */
export function readHostPort(text: string, allowZero = false): Reading<HostPort> {
  const match = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:[\]/@]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined) {
    return { ok: false, reason: `"${text}" is not an address; write host:port, or [address]:port for IPv6` };
  }
  if (port > 65_535 || (port === 0 && !allowZero)) {
    return { ok: false, reason: `port ${port} is outside ${allowZero ? 0 : 1}–65535` };
  }
  return { ok: true, value: { host, port } };
}

export function formatHostPort(address: HostPort): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
