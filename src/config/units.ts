// Readers for durations, rates and socket addresses as people write them. Pure: text in, number or reason out.
// Used by the config only; the rest of the program sees milliseconds, bytes and host/port.

import { isIP } from 'node:net';
import { type Address } from '../core/address.ts';

/**
 * A reason is the second half of a sentence ("is not a duration; write …") and never holds the text itself:
 * the text may be a secret, and only the loader knows whether it may be shown.
 */
export type Reading<T> = { ok: true; value: T } | { ok: false; reason: string };

const durationFactors: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const sizeFactors: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

export const SIZE_PATTERN = '^\\d+(\\.\\d+)?(B|KiB|MiB|GiB)$';
export const DURATION_PATTERN = '^(0|\\d+(\\.\\d+)?(ms|s|m|h|d))$';
export const HOST_PORT_PATTERN = '^(\\[[0-9a-fA-F:.]+(%\\w+)?\\]|[A-Za-z0-9._-]+):\\d{1,5}$';

export const RATE_PATTERN = '^\\d+(\\.\\d+)?/(s|m|h)$';

const NOT_A_RATE = 'is not a rate; write it as 100/s, 6000/m or 500/h';
const NOT_A_DURATION = 'is not a duration; write it as 250ms, 2s, 5m, 1h or 0';
const NO_UNIT = 'has no unit; write a duration as 250ms, 2s, 5m, 1h or 0';
const NOT_A_SIZE = 'is not a size; write it as 512B, 64KiB, 16MiB or 1GiB';
const NOT_AN_ADDRESS = 'is not an address; write host:port, or [address]:port for IPv6';
const DURATION_MAX_MS = 7 * 86_400_000;

/** `250ms`, `2s`, `1.5m`, `0` to milliseconds; at most seven days, or as said. */
export function readDuration(text: string | number, maxMs: number = DURATION_MAX_MS): Reading<number> {
  if (text === 0 || text === '0') return { ok: true, value: 0 };
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(String(text));
  const factor = durationFactors[match?.[2] ?? ''];
  if (match?.[1] === undefined || factor === undefined) {
    const bare = /^\d+(\.\d+)?$/.test(String(text));
    return { ok: false, reason: bare ? NO_UNIT : NOT_A_DURATION };
  }
  const value = Number(match[1]) * factor;
  if (value > maxMs)
    return {
      ok: false,
      reason: `is longer than ${formatDuration(maxMs)}, the longest duration that makes sense here`,
    };
  return { ok: true, value };
}

/** `64KiB`, `1.5GiB` to bytes; at least one. */
export function readSize(text: string): Reading<number> {
  const match = /^(\d+(?:\.\d+)?)(B|KiB|MiB|GiB)$/.exec(text);
  const factor = sizeFactors[match?.[2] ?? ''];
  if (match?.[1] === undefined || factor === undefined) return { ok: false, reason: NOT_A_SIZE };
  const value = Math.round(Number(match[1]) * factor);
  if (value < 1) return { ok: false, reason: 'is too small; it must be at least 1B' };
  return value > Number.MAX_SAFE_INTEGER ? { ok: false, reason: 'is too large' } : { ok: true, value };
}

const rateSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };
/** Between two at the slowest; and what a table of times in milliseconds can tell apart. */
const RATE_MIN_PER_SECOND = 1 / 3600;
const RATE_MAX_PER_SECOND = 1_000_000;

/** `100/s`, `6000/m`, `500/h` to how many a second. */
export function readRate(text: string): Reading<number> {
  const match = /^(\d+(?:\.\d+)?)\/(s|m|h)$/.exec(text);
  const seconds = rateSeconds[match?.[2] ?? ''];
  if (match?.[1] === undefined || seconds === undefined) return { ok: false, reason: NOT_A_RATE };
  const value = Number(match[1]) / seconds;
  if (value < RATE_MIN_PER_SECOND) return { ok: false, reason: 'is less than 1/h, the lowest rate' };
  if (value > RATE_MAX_PER_SECOND) return { ok: false, reason: 'is more than 1000000/s, the highest rate' };
  return { ok: true, value };
}

/** `10.0.0.1:5432`, `db.example:5432`, `[::1]:5432`. Port 0 (let the system choose) only where `allowZero`. */
export function readHostPort(text: string, allowZero = false): Reading<Address> {
  const match = /^(?:\[([^[\]\s]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text);
  const [, bracketed, plain, digits] = match ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || (bracketed !== undefined && isIP(bracketed) !== 6)) {
    return { ok: false, reason: NOT_AN_ADDRESS };
  }
  if (plain !== undefined && /^[\d.]+$/.test(plain) && isIP(plain) !== 4) {
    return { ok: false, reason: 'is not an address: its host has the form of an IPv4 address, but is none' };
  }
  const port = Number(digits);
  if (port > 65_535 || (port === 0 && !allowZero)) {
    return { ok: false, reason: `has a port outside ${allowZero ? 0 : 1}–65535` };
  }
  return { ok: true, value: { host, port } };
}

/** Bytes as a person would write them: `512B`, `16MiB`; rounded to a tenth. */
export function formatSize(bytes: number): string {
  const [unit = 'B', factor = 1] = Object.entries(sizeFactors).findLast(([, size]) => bytes >= size) ?? [];
  return `${Math.round((bytes / factor) * 10) / 10}${unit}`;
}

/** Milliseconds as a person would write them: `0`, `250ms`, `90s`, `5m`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0';
  const [unit = 'ms', factor = 1] =
    Object.entries(durationFactors).findLast(([, size]) => ms >= size && ms % size === 0) ?? [];
  return `${ms / factor}${unit}`;
}
