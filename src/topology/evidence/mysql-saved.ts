// The memory of a MySQL backend over a restart: what is written into the state file, and taken out of it again.
// Pure. Moments are kept as ages at the time of saving, which is the least that they are after the restart; signs that pass
// (mysql-watch.ts) are looked for anew. Used by mysql.ts.

import { z } from 'zod';
import { type MonotonicMs } from '../../core/clock.ts';
import { type GtidSet } from '../../health/result.ts';
import { type Restart } from '../evidence.ts';
import { type GtidHistory } from './mysql-history.ts';
import { type MysqlMemory } from './mysql-memory.ts';

type Ranges = GtidSet[string];

const ORIGIN =
  /^(\d{1,10}-(\d{1,10}|\*)|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(:[a-z_][a-z0-9_]{0,31})?)$/;
/** Added to the name of a server that is no member any more, or another one: no member is called so. */
const BEFORE = ' (before the restart)';

/** `1-500,700-800`: as in an array, they would take a line for each number. */
const ranges = z.string().transform((text, context): Ranges => {
  const read = readRanges(text);
  if (read !== null) return read;
  context.addIssue('no ranges of transactions');
  return z.NEVER;
});
const ageMs = z.number().min(0).max(1e12);
const transactions = z.record(z.string().regex(ORIGIN), ranges);
const sample = z.strictObject({
  agoMs: ageMs,
  flavor: z.enum(['mariadb', 'mysql']),
  transactions,
  own: z.string().min(1).max(64).optional(),
  apart: z.literal(true).optional(),
});
const server = z.string().min(1).max(100);
const savedMemory = z.strictObject({
  primary: server,
  systemId: z.string().min(1).max(200).nullable(),
  /** Of about a second, a quarter of one apart. */
  samples: z.array(sample).max(16),
  unseenForMs: ageMs.nullable(),
  owed: z.strictObject({ of: server, transactions }).nullable(),
});
type Saved = z.input<typeof savedMemory>;

export function save(memory: MysqlMemory, now: MonotonicMs): Saved {
  const { primary, systemId, samples, unseenSince, owed } = memory;
  return {
    primary,
    systemId,
    samples: samples.map(one => ({ agoMs: now - one.at, ...writeHistory(one.history) })),
    unseenForMs: unseenSince === null ? null : now - unseenSince,
    owed: owed && { of: owed.of, transactions: writeSet(owed.transactions) },
  };
}

export function load(saved: unknown, { now, isSame }: Restart): MysqlMemory | null {
  const read = savedMemory.safeParse(saved).data;
  if (read === undefined) return null;
  const { primary, systemId, unseenForMs, owed } = read;
  const ages = read.samples.map(({ agoMs }) => agoMs);
  if (ages.some((age, index) => age >= (ages[index - 1] ?? Infinity))) return null;
  return Object.freeze({
    primary: isSame(primary) ? primary : `${primary.replace(BEFORE, '')}${BEFORE}`,
    systemId,
    samples: read.samples.map(({ agoMs, ...written }) => ({ at: now - agoMs, history: historyIn(written) })),
    unseenSince: unseenForMs === null ? null : now - unseenForMs,
    owed,
    watch: {},
  });
}

function writeHistory({ flavor, transactions: set, own, apart }: GtidHistory) {
  return {
    flavor,
    transactions: writeSet(set),
    ...(own === undefined ? {} : { own }),
    ...(apart === undefined ? {} : { apart }),
  };
}

function historyIn(written: Omit<z.output<typeof sample>, 'agoMs'>): GtidHistory {
  const { flavor, transactions: set, own, apart } = written;
  return {
    kind: 'gtid',
    flavor,
    transactions: set,
    ...(own === undefined ? {} : { own }),
    ...(apart === undefined ? {} : { apart }),
  };
}

function writeSet(set: GtidSet): Record<string, string> {
  return Object.fromEntries(
    Object.entries(set).map(([origin, parts]) => [
      origin,
      parts.map(([first, last]) => `${first}-${last}`).join(),
    ]),
  );
}

/** In ascending order, and none touches the next, as in a GtidSet; `null`: they aren't. */
function readRanges(text: string): Ranges | null {
  const found: (readonly [first: number, last: number])[] = [];
  let end = -1;
  for (const word of text.split(',')) {
    const match = /^(\d{1,16})-(\d{1,16})$/.exec(word);
    const [first, last] = [Number(match?.[1]), Number(match?.[2])];
    if (match === null || first < 1 || first > last || first <= end + 1 || !Number.isSafeInteger(last)) {
      return null;
    }
    found.push([first, last]);
    end = last;
  }
  return found;
}
