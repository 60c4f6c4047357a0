// The kinds of values that configuration keys hold: durations, rates, addresses, names, networks. Each says what is wrong with a
// value as the second half of a sentence ("is not a name …"): load.ts puts the value before it, or hides it.
// Not keys and not their meaning: schema.ts, schema-frontend.ts and backends/*.ts, which use these.

import { BlockList } from 'node:net';
import { z } from 'zod';
import { addToBlockList } from './addresses.ts';
import {
  DURATION_PATTERN,
  HOST_PORT_PATTERN,
  RATE_PATTERN,
  readDuration,
  readHostPort,
  readRate,
  readSize,
  SIZE_PATTERN,
  type Reading,
} from './units.ts';

function reading<T>(context: z.RefinementCtx, result: Reading<T>): T {
  if (result.ok) return result.value;
  context.addIssue({ code: 'custom', message: result.reason });
  return z.NEVER;
}

/** A duration in the file; milliseconds in the program. */
export const duration = () =>
  z
    .union([z.literal(0), z.string().meta({ pattern: DURATION_PATTERN })], { error: wrongDuration })
    .transform((text, context) => reading(context, readDuration(text)));

const TEN_YEARS_MS = 3650 * 86_400_000;

/** Of what is kept rather than waited for. */
export const longDuration = () =>
  z
    .union([z.literal(0), z.string().meta({ pattern: DURATION_PATTERN })], { error: wrongDuration })
    .transform((text, context) => reading(context, readDuration(text, TEN_YEARS_MS)))
    .refine(ms => ms >= 1000, { error: 'is too short; it must be at least 1s' });

function wrongDuration({ input }: { readonly input?: unknown }): string {
  const read = readDuration(typeof input === 'number' ? input : '');
  return read.ok ? '' : read.reason;
}

/** A duration that paces something: anything shorter would keep a processor busy for nothing. */
export const pace = () =>
  duration().refine(ms => ms >= 1, { error: 'is too short; it must be at least 1ms' });

/** A size in the file; bytes in the program. */
export const size = () =>
  z
    .string({ error: 'is not a size; write it as 512B, 64KiB, 16MiB or 1GiB' })
    .meta({ pattern: SIZE_PATTERN })
    .transform((text, context) => reading(context, readSize(text)));

/** A rate in the file; how many a second in the program. */
export const rate = () =>
  z
    .string({ error: 'is not a rate; write it as 100/s, 6000/m or 500/h' })
    .meta({ pattern: RATE_PATTERN })
    .transform((text, context) => reading(context, readRate(text)));

export const address = (allowZero = false) =>
  z
    .string({ error: 'is not an address; write host:port' })
    .meta({ pattern: HOST_PORT_PATTERN })
    .transform((text, context) => reading(context, readHostPort(text, allowZero)));

/** Not of digits alone: JavaScript objects put such keys first, and the order of the servers in the file counts. */
export const name = z
  .string({ error: 'is not a name; put it in quotes' })
  .regex(/^(?!\d+$)[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/, {
    error:
      'is not a name: a name starts with a letter or digit, holds up to 63 letters, digits, "_", "." and "-", and is more than a number',
  });

const NOT_A_NETWORK = 'is not an address or network; write it as 10.0.0.0/8, 192.0.2.7 or ::1';
export const cidr = z.string({ error: NOT_A_NETWORK }).refine(isCidr, { error: NOT_A_NETWORK });

function isCidr(text: string): boolean {
  try {
    addToBlockList(new BlockList(), text);
    return true;
  } catch {
    return false; // BlockList throws on anything that is no address; the refinement says so by key
  }
}

/** Whole seconds, as the kernel counts them; rounded up. */
export const seconds = () =>
  duration().refine(ms => ms >= 1000, { error: 'is too short; it must be at least 1s' });
