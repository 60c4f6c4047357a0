// What processes that share a rate limit tell Redis, and what they hear: one script call for a batch of buckets, each of
// which is one number, the time at which it will be full again (proxy/limits/gcra.ts), on Redis's own clock. Pure.
// Used by store.ts, which asks.

import { type RateLimitConfig } from '../../config/schema.ts';
import { type MonotonicMs } from '../../core/clock.ts';
import { type Command } from '../../protocol/redis/command.ts';
import { type Reply } from '../../protocol/redis/reply.ts';
import { formatAddressKey } from '../../proxy/limits/address-key.ts';
import { type AddressTable, type Taking } from '../../proxy/limits/address-table.ts';
import { rateOf, type Rate } from '../../proxy/limits/gcra.ts';

/** A taking with where it belongs. */
export interface SharedTaking {
  readonly frontend: string;
  readonly table: AddressTable;
  readonly rate: Rate;
  readonly taking: Taking;
}

/**
 * Of each bucket: adds `count` intervals to the time at which it will be full, counted from when the first of them was taken,
 * and returns how far that is ahead, in microseconds. A bucket that is full again is forgotten by Redis.
 */
const SCRIPT = `local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local ahead = {}
for i, key in ipairs(KEYS) do
  local interval, count, age = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local full = math.max(tonumber(redis.call('GET', key) or '0'), now - age) + interval * count
  if full > now then redis.call('SET', key, string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000)) end
  ahead[i] = string.format('%.0f', math.max(0, full - now))
end
return ahead`;

/** What was taken of the frontends that share, at most `max` of it. */
export function takingsOf(
  limits: ReadonlyMap<string, RateLimitConfig | null>,
  tables: ReadonlyMap<string, AddressTable>,
  max: number,
): readonly SharedTaking[] {
  const all: SharedTaking[] = [];
  for (const [frontend, table] of tables) {
    const limit = limits.get(frontend) ?? null;
    if (limit === null || !limit.shared) continue;
    for (const taking of table.drain(max - all.length)) {
      const config = taking.key === null ? limit.total : limit.perIp;
      if (config !== null) all.push({ frontend, table, rate: rateOf(config), taking });
    }
    if (all.length >= max) break;
  }
  return all;
}

/** All keys hash to one slot, as a script in a cluster demands. */
export function commandOf(takings: readonly SharedTaking[], prefix: string, now: MonotonicMs): Command {
  const keys = takings.map(({ frontend, taking: { key } }) => {
    const who = key === null ? 'all' : formatAddressKey(key);
    return `{${prefix}}:rate:${frontend}:${who}`;
  });
  const args = takings.flatMap(({ rate, taking: { count, since } }) =>
    [rate.intervalMs * 1000, count, Math.max(0, now - since) * 1000].map(value => String(value)),
  );
  return ['EVAL', SCRIPT, String(keys.length), ...keys, ...args];
}

/** Raises the buckets to what the store says of them; false for an answer of another form. `askedAt`: on our clock. */
export function hear(
  takings: readonly SharedTaking[],
  reply: Reply | undefined,
  askedAt: MonotonicMs,
): boolean {
  if (reply?.kind !== 'list' || reply.items.length !== takings.length) return false;
  const ahead = reply.items.map(item => (item.kind === 'text' ? Number(item.text) : NaN));
  if (!ahead.every(Number.isFinite)) return false;
  for (const [index, { table, rate, taking }] of takings.entries()) {
    table.raise(taking, askedAt + (ahead[index] ?? 0) / 1000, rate);
  }
  return true;
}
