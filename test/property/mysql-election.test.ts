// Safety rules 2, 6 and 8 for a pair of masters, over random histories: two servers with logs of their own that ship to each
// other, break, die, return and write on the side, and an election after every probe.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ReplicationChannel } from '../../src/health/result.ts';
import { initialHealth, observe, type HealthState } from '../../src/health/state.ts';
import { Topology } from '../../src/topology/topology.ts';
import { brokenBy, channel, master } from '../support/mysql-views.ts';
import { fail, FRESHNESS_MS } from '../support/views.ts';

const names = ['db1', 'db2'] as const;
type Name = (typeof names)[number];
const otherOf = (name: Name): Name => (name === 'db1' ? 'db2' : 'db1');

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('probe' as const), on: fc.constantFrom(...names) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('write' as const), count: fc.integer({ min: 1, max: 3 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('ship' as const),
      on: fc.constantFrom(...names),
      count: fc.integer({ min: 1, max: 6 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(1, 50, 700, 1100, 2100) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('die', 'fall', 'return', 'break', 'mend', 'stray'),
      on: fc.constantFrom(...names),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** A server: what it has, in order, as `server-sequence`. One domain: the next sequence is one above all it has. */
interface Node {
  readonly log: string[];
  alive: boolean;
  broken: boolean;
}

interface Seen {
  readonly at: number;
  readonly log: ReadonlySet<string>;
  readonly broken: boolean;
}

/** What the checker keeps for itself, to judge an election by. */
interface Moment {
  readonly now: number;
  readonly primary: Name | null;
  readonly lastPrimary: Name | null;
  readonly seen: Readonly<Record<Name, readonly Seen[]>>;
  readonly healthOf: (name: Name) => HealthState;
  readonly claims: (name: Name) => boolean;
}

function append(node: Node, name: Name): void {
  const highest = Math.max(0, ...node.log.map(entry => Number(entry.split('-')[1])));
  node.log.push(`${name.slice(2)}-${highest + 1}`);
}

function positionOf({ log }: Node): string {
  const last = new Map<string, number>();
  for (const entry of log) {
    const [server = '', sequence] = entry.split('-');
    last.set(server, Math.max(last.get(server) ?? 0, Number(sequence)));
  }
  return [...last].map(([server, sequence]) => `0-${server}-${sequence}`).join(',');
}

function replay(
  steps: readonly Step[],
  incompleteWriter: 'hold' | 'serve',
  look: (moment: Moment) => void,
): void {
  let now = 0;
  const never = (): never => assert.fail('an election waits for nothing');
  const clock = { now: () => now, wall: () => now, schedule: never, afterInput: never };
  const servers = names.map((name, index) => ({
    name,
    address: { host: '10.0.0.1', port: 5001 + index },
    weight: 100,
  }));
  const rules = { protocol: 'mysql', multipleWriters: 'ordered', incompleteWriter } as const;
  const topology = new Topology(
    [{ name: 'app', ...rules, servers, freshnessMs: FRESHNESS_MS, slowStartMs: 0, settleMs: 0 }],
    clock,
  );
  const nodes: Record<Name, Node> = {
    db1: { log: [], alive: true, broken: false },
    db2: { log: [], alive: true, broken: false },
  };
  const health = new Map<Name, HealthState>();
  const seen: Record<Name, Seen[]> = { db1: [], db2: [] };
  let lastPrimary: Name | null = null;

  const channelOf = (name: Name): ReplicationChannel => {
    const away = nodes[otherOf(name)].alive ? {} : { receiving: 'connecting' as const };
    return channel(otherOf(name), { ...away, ...(nodes[name].broken ? brokenBy(1950) : {}) });
  };
  const probe = (name: Name): void => {
    const node = nodes[name];
    const word = node.alive ? master(name, positionOf(node), { follows: [channelOf(name)] }) : fail();
    const result = { ...word, at: now, wallAt: now };
    const next = observe(health.get(name) ?? initialHealth, result, { rise: 1, fall: 2 }).state;
    health.set(name, next);
    if (node.alive) seen[name].push({ at: now, log: new Set(node.log), broken: node.broken });
    topology.report('app', name, next, result);
    const view = topology.view('app');
    const claims = (server: Name): boolean => {
      const last = view.servers.find(each => each.name === server)?.result;
      return last?.code === 'L7OK' && now - last.at <= FRESHNESS_MS && health.get(server)?.kind === 'up';
    };
    const primary = names.find(server => server === view.primary) ?? null;
    look({
      now,
      primary,
      lastPrimary,
      seen,
      healthOf: server => health.get(server) ?? initialHealth,
      claims,
    });
    lastPrimary = primary ?? lastPrimary;
  };
  for (const each of steps) {
    switch (each.kind) {
      case 'probe':
        now += 1;
        probe(each.on);
        break;
      case 'write': {
        const primary = names.find(name => name === topology.view('app').primary);
        if (primary !== undefined && nodes[primary].alive)
          for (let i = 0; i < each.count; i += 1) append(nodes[primary], primary);
        break;
      }
      case 'ship': {
        const [to, from] = [nodes[each.on], nodes[otherOf(each.on)]];
        const lacking = from.log.filter(entry => !to.log.includes(entry));
        if (to.alive && from.alive && !to.broken) to.log.push(...lacking.slice(0, each.count));
        break;
      }
      case 'pass':
        now += each.ms;
        break;
      case 'die':
        nodes[each.on].alive = false;
        break;
      case 'fall': // noticed at once, as a lost session is
        nodes[each.on].alive = false;
        for (const name of [each.on, each.on, otherOf(each.on)]) {
          now += 1;
          probe(name);
        }
        break;
      case 'return':
        nodes[each.on].alive = true;
        break;
      case 'break':
        nodes[each.on].broken = true;
        break;
      case 'mend':
        nodes[each.on].broken = false;
        break;
      case 'stray':
        append(nodes[each.on], each.on);
        break;
    }
  }
}

// Without a size of its own, fast-check would hardly make one longer than ten.
const steps = fc.array(step, { minLength: 20, maxLength: 80, size: 'max' });
const RUNS = { numRuns: 800 };
/** Of one server a GTID position tells only the last: gaps below it can't be seen, nor asked for. */
const lastsOf = (log: ReadonlySet<string>): Map<string, number> => {
  const lasts = new Map<string, number>();
  for (const entry of log) {
    const [server = '', sequence] = entry.split('-');
    lasts.set(server, Math.max(lasts.get(server) ?? 0, Number(sequence)));
  }
  return lasts;
};
const has = (log: ReadonlySet<string>, wanted: ReadonlySet<string>, own: Name): boolean =>
  [...lastsOf(wanted)].every(
    ([server, last]) => server === own.slice(2) || (lastsOf(log).get(server) ?? 0) >= last,
  );

test('a pair: under hold nobody takes over who lacks what the old primary had for a second, or anything while broken', () => {
  let changes = 0;
  fc.assert(
    fc.property(steps, history => {
      replay(history, 'hold', ({ primary, lastPrimary, seen }) => {
        if (primary === null || lastPrimary === null || primary === lastPrimary) return;
        changes += 1;
        const had = seen[lastPrimary];
        const now = seen[primary].at(-1);
        const last = had.at(-1);
        // Samples nearer than a quarter of a second may have become one.
        const settled = last && had.findLast(({ at }) => at <= last.at - 1250);
        assert.ok(now);
        if (settled)
          assert.ok(has(now.log, settled.log, primary), `${primary} lacks what ${lastPrimary} had`);
        if (last && now.broken)
          assert.ok(has(now.log, last.log, primary), `${primary} is broken and lacks something`);
      });
    }),
    RUNS,
  );
  assert.ok(changes > 100, `the histories hold ${changes} changes of the primary only`);
});

test('a pair: the primary stays as long as it is seen well, whatever the other shows (sticky, no failback)', () => {
  fc.assert(
    fc.property(steps, fc.constantFrom('hold' as const, 'serve' as const), (history, incomplete) => {
      replay(history, incomplete, ({ primary, lastPrimary, claims }) => {
        if (primary !== null && lastPrimary !== null && primary !== lastPrimary) {
          assert.ok(!claims(lastPrimary), `${lastPrimary} was well and lost its place to ${primary}`);
        }
      });
    }),
    RUNS,
  );
});

test('a pair: whoever becomes the primary has just said that it is writable, and the lost one was down', () => {
  fc.assert(
    fc.property(steps, fc.constantFrom('hold' as const, 'serve' as const), (history, incomplete) => {
      replay(history, incomplete, ({ primary, lastPrimary, claims, healthOf }) => {
        if (primary === null || primary === lastPrimary) return;
        assert.ok(claims(primary));
        if (lastPrimary !== null) assert.equal(healthOf(lastPrimary).kind, 'down');
      });
    }),
    RUNS,
  );
});

test('a pair: under serve a server that is writable is never refused for more than two seconds after a loss', () => {
  fc.assert(
    fc.property(steps, history => {
      let since: number | null = null;
      replay(history, 'serve', ({ now, primary, lastPrimary, claims, healthOf }) => {
        const isVacant = primary === null && lastPrimary !== null && healthOf(lastPrimary).kind === 'down';
        const next = lastPrimary === null ? null : otherOf(lastPrimary);
        if (!isVacant || next === null || !claims(next)) since = null;
        else since ??= now;
        if (since !== null) assert.ok(now - since <= 2000 + FRESHNESS_MS, `vacant for ${now - since} ms`);
      });
    }),
    RUNS,
  );
});
