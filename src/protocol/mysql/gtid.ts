// Global transaction identifiers of MySQL and MariaDB as sets: read, united, subtracted, counted, written.
// Pure, and no wire code: the texts are those of system variables. Used by the prober and by the election's evidence.
// Formats: MySQL Reference Manual, "GTID Format and Storage" (tags since 8.3); MariaDB documentation, "Global Transaction ID".

/** Both ends belong to it. */
type GtidRange = readonly [first: number, last: number];

/**
 * Transactions by origin, as inclusive ranges in ascending order that don't touch.
 * MySQL: by UUID, or `UUID:tag`. MariaDB: by `domain-server`, from 1 (it tells the last of each origin, and nothing of
 * gaps); `domain-*` stands for every server of the domain, where only the position in the domain is known.
 */
export type GtidSet = Readonly<Record<string, readonly GtidRange[]>>;

type Flavor = 'mysql' | 'mariadb';

/** A set that outgrew this isn't told apart any more: a server may send what it likes, and it is read at every probe. */
const TEXT_MAX_CHARS = 1024 * 1024;
const RANGES_MAX = 20_000;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const TAG = /^[a-z_][a-z0-9_]{0,31}$/;
const INTERVAL = /^(\d{1,16})(?:-(\d{1,16}))?$/;
const MARIADB_GTID = /^(\d{1,10})-(\d{1,10})-(\d{1,16})$/;
const MARIADB_ORIGIN = /^(\d+)-(\d+|\*)$/;

/**
 * Reads a set such as `gtid_executed`. `null`: it isn't one, or it is too large (1 MiB, 20,000 ranges, or a number above
 * 2^53 - 1).
 */
export function parseMysqlGtids(text: string): GtidSet | null {
  if (text.length > TEXT_MAX_CHARS) return null;
  const found = new Map<string, GtidRange[]>();
  let count = 0;
  for (const part of text.toLowerCase().split(',')) {
    const [uuid = '', ...rest] = part.split(':').map(word => word.trim());
    if (uuid === '' && rest.length === 0) continue;
    if (!UUID.test(uuid) || rest.length === 0) return null;
    let origin = uuid;
    for (const word of rest) {
      if (TAG.test(word)) {
        origin = `${uuid}:${word}`;
        continue;
      }
      const range = parseInterval(word);
      if (range === null || (count += 1) > RANGES_MAX) return null;
      push(found, origin, range);
    }
  }
  return freeze(found);
}

/**
 * Reads a list such as `gtid_binlog_state` or `gtid_slave_pos`: of each origin, all up to the one named. `null`: it isn't
 * one, or it is too large, as above.
 */
export function parseMariadbGtids(text: string): GtidSet | null {
  if (text.length > TEXT_MAX_CHARS) return null;
  const found = new Map<string, GtidRange[]>();
  let count = 0;
  for (const part of text.split(',')) {
    const word = part.trim();
    if (word === '') continue;
    const [, domain, server, sequence] = MARIADB_GTID.exec(word) ?? [];
    const last = Number(sequence);
    if (domain === undefined || !Number.isSafeInteger(last) || (count += 1) > RANGES_MAX) return null;
    if (last > 0) push(found, `${Number(domain)}-${Number(server)}`, [1, last]);
  }
  return freeze(found);
}

/**
 * What a MariaDB server has: its binary log's state, and what its position (`gtid_slave_pos`) says beyond it. A server
 * that was restored from a copy, or that doesn't log what it applies, has all of a domain up to its position.
 */
export function mariadbHistory(binlogState: GtidSet, slavePosition: GtidSet): GtidSet {
  const beyond = new Map<string, GtidRange[]>();
  for (const [origin, ranges] of Object.entries(slavePosition)) {
    const last = lastOf(ranges);
    if (last <= lastOf(binlogState[origin])) continue;
    push(beyond, origin, [1, last]);
    push(beyond, `${domainOf(origin)}-*`, [1, last]);
  }
  return uniteGtids(binlogState, freeze(beyond));
}

export function uniteGtids(a: GtidSet, b: GtidSet): GtidSet {
  const united = new Map<string, GtidRange[]>();
  for (const set of [a, b]) {
    for (const [origin, ranges] of Object.entries(set)) push(united, origin, ...ranges);
  }
  return freeze(united);
}

/**
 * What `of` has and `from` lacks.
 *
 * MySQL's sets are exact. MariaDB tells only the last of each server in a domain, whose servers share one sequence: that
 * something of a server is missing is certain, where it begins is taken to be after the newest that both have. So the
 * count is exact where writers took turns once, and else an estimate of at least 1 per origin.
 */
export function missingGtids(from: GtidSet, of: GtidSet): GtidSet {
  const missing = new Map<string, GtidRange[]>();
  const common = commonByDomain(from, of);
  for (const [origin, ranges] of Object.entries(of)) {
    const rest = MARIADB_ORIGIN.test(origin)
      ? missingOfServer(origin, ranges, from, common)
      : subtract(ranges, from[origin] ?? []);
    if (rest.length > 0) push(missing, origin, ...rest);
  }
  dropEchoes(missing);
  return freeze(missing);
}

/** How many transactions; of MariaDB's, see `missingGtids`. */
export function countGtids(set: GtidSet): number {
  return Object.values(set)
    .flat()
    .reduce((sum, [first, last]) => sum + last - first + 1, 0);
}

export function isEmptyGtids(set: GtidSet): boolean {
  return Object.keys(set).length === 0;
}

/** As the server writes it. MariaDB's ranges that don't begin at 1, of which it has no notation, as `0-1-5..9`. */
export function formatGtids(set: GtidSet, flavor: Flavor): string {
  const origins = Object.keys(set).sort(flavor === 'mariadb' ? byNumbers : undefined);
  if (flavor === 'mariadb') {
    return origins
      .flatMap(origin =>
        (set[origin] ?? []).map(([first, last]) =>
          first === 1 || first === last ? `${origin}-${last}` : `${origin}-${first}..${last}`,
        ),
      )
      .join(',');
  }
  return origins
    .map(origin => {
      const words = (set[origin] ?? []).map(([first, last]) =>
        first === last ? String(first) : `${first}-${last}`,
      );
      return [origin, ...words].join(':');
    })
    .join(',');
}

function parseInterval(word: string): GtidRange | null {
  const match = INTERVAL.exec(word);
  if (match === null) return null;
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  return first >= 1 && first <= last && Number.isSafeInteger(last) ? [first, last] : null;
}

function push(sets: Map<string, GtidRange[]>, origin: string, ...ranges: readonly GtidRange[]): void {
  const present = sets.get(origin);
  if (present === undefined) sets.set(origin, [...ranges]);
  else for (const range of ranges) present.push(range);
}

function freeze(sets: ReadonlyMap<string, readonly GtidRange[]>): GtidSet {
  return Object.freeze(
    Object.fromEntries([...sets].map(([origin, ranges]) => [origin, Object.freeze(merge(ranges))])),
  );
}

/** In ascending order, with those that overlap or touch made one. */
function merge(ranges: readonly GtidRange[]): readonly GtidRange[] {
  const merged: GtidRange[] = [];
  for (const range of ranges.toSorted((a, b) => a[0] - b[0])) {
    const before = merged.at(-1);
    if (before === undefined || range[0] > before[1] + 1) merged.push(range);
    else merged[merged.length - 1] = [before[0], Math.max(before[1], range[1])];
  }
  return merged;
}

/** Both in ascending order, each without overlaps. */
function subtract(ranges: readonly GtidRange[], taken: readonly GtidRange[]): GtidRange[] {
  const rest: GtidRange[] = [];
  let next = 0;
  for (const [first, last] of ranges) {
    let from = first;
    while (next < taken.length && (taken[next]?.[1] ?? 0) < from) next += 1;
    for (let i = next; i < taken.length && from <= last; i += 1) {
      const [takenFirst, takenLast] = taken[i] ?? [Infinity, Infinity];
      if (takenFirst > last) break;
      if (takenFirst > from) rest.push([from, takenFirst - 1]);
      from = takenLast + 1;
    }
    if (from <= last) rest.push([from, last]);
  }
  return rest;
}

/** By domain, the highest sequence that both have of the same server. */
function commonByDomain(a: GtidSet, b: GtidSet): ReadonlyMap<string, number> {
  const common = new Map<string, number>();
  for (const [origin, ranges] of Object.entries(a)) {
    if (!MARIADB_ORIGIN.test(origin)) continue;
    const both = Math.min(lastOf(ranges), lastOf(b[origin]));
    common.set(domainOf(origin), Math.max(both, common.get(domainOf(origin)) ?? 0));
  }
  return common;
}

function missingOfServer(
  origin: string,
  ranges: readonly GtidRange[],
  from: GtidSet,
  common: ReadonlyMap<string, number>,
): GtidRange[] {
  const domain = domainOf(origin);
  const last = lastOf(ranges);
  const had = origin.endsWith('*')
    ? highestInDomain(from, domain)
    : Math.max(lastOf(from[origin]), lastOf(from[`${domain}-*`]));
  if (had >= last) return [];
  return [[Math.min(last, Math.max(had, common.get(domain) ?? 0) + 1), last]];
}

/** What is missing of a domain is named by its server where that is known, and not a second time for the whole domain. */
function dropEchoes(missing: Map<string, GtidRange[]>): void {
  for (const origin of [...missing.keys()]) {
    if (!origin.endsWith('-*')) continue;
    const domain = domainOf(origin);
    const named = [...missing.keys()].some(other => other !== origin && domainOf(other) === domain);
    if (named) missing.delete(origin);
  }
}

function highestInDomain(set: GtidSet, domain: string): number {
  const lasts = Object.entries(set).map(([origin, ranges]) =>
    domainOf(origin) === domain ? lastOf(ranges) : 0,
  );
  return Math.max(0, ...lasts);
}

function domainOf(origin: string): string {
  return origin.slice(0, origin.indexOf('-'));
}

function lastOf(ranges: readonly GtidRange[] | undefined): number {
  return ranges?.at(-1)?.[1] ?? 0;
}

function byNumbers(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
