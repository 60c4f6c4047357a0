// The loss report against the truth, over random histories: three PostgreSQL servers that write, stream, die, are promoted
// (seen or unseen, with or without a new timeline), come back and follow one another, asked now and then.
// Safety rule 9: `none` is never said while an answered commit is gone, and no more is said to be missing than is.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ProbeResult } from '../../src/health/result.ts';
import { initialHealth, observe, type HealthState } from '../../src/health/state.ts';
import { IncidentRecorder } from '../../src/topology/incidents.ts';
import { Topology } from '../../src/topology/topology.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { wal } from '../unit/topology/loss/kit.ts';
import { fail, FRESHNESS_MS, pass, passReplica } from '../support/views.ts';

const names = ['pg1', 'pg2', 'pg3'] as const;
type Name = (typeof names)[number];

const kinds = ['promote', 'restart-as-primary', 'die', 'start', 'follow', 'ask-all'] as const;
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('ask' as const), on: fc.constantFrom(...names) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('write' as const, 'stream' as const),
      on: fc.constantFrom(...names),
      bytes: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constantFrom(...kinds), on: fc.constantFrom(...names) }) },
);
const settings = fc.constantFrom('', 'pg2', 'FIRST 1 (pg2, pg3)', 'ANY 1 (pg2,pg3)', '2 (pg2, pg3)', '*');

/** One byte of the log; its position is its index. Bytes that were written apart are different objects. */
interface Byte {
  readonly timeline: number;
}

interface Node {
  log: Byte[];
  timeline: number;
  alive: boolean;
  primary: boolean;
  follows: Name | null;
  recoveredTo: number | null;
}

const START = 16;

class Cluster {
  readonly nodes: Record<Name, Node>;
  /** Of each byte, on whose primary it was written, once a client had an answer for it. */
  readonly answered = new Map<Byte, Name>();
  readonly #written = new Map<Byte, Name>();
  readonly #synchronous: string;

  constructor(synchronous: string) {
    this.#synchronous = synchronous;
    const log = Array.from({ length: START }, () => ({ timeline: 1 }));
    const node = (follows: Name | null): Node => ({
      log: [...log],
      timeline: 1,
      alive: true,
      primary: follows === null,
      follows,
      recoveredTo: null,
    });
    this.nodes = { pg1: node(null), pg2: node('pg1'), pg3: node('pg1') };
  }

  write(on: Name, count: number): void {
    const node = this.nodes[on];
    if (!node.alive || !node.primary) return;
    for (let i = 0; i < count; i += 1) {
      const byte: Byte = { timeline: node.timeline };
      node.log.push(byte);
      this.#written.set(byte, on);
    }
    this.#answer();
  }

  stream(on: Name, count: number): void {
    const node = this.nodes[on];
    const source = this.#sourceOf(on);
    if (source === null) return;
    node.log.push(...source.log.slice(node.log.length, node.log.length + count));
    node.timeline = Math.max(node.timeline, node.log.at(-1)?.timeline ?? 1);
    this.#answer();
  }

  promote(on: Name, isNewTimeline: boolean): void {
    const node = this.nodes[on];
    if (!node.alive || node.primary) return;
    node.primary = true;
    node.follows = null;
    node.recoveredTo = isNewTimeline ? node.log.length : null;
    // Without an archive each server counts on from what it has itself.
    if (isNewTimeline) node.timeline += 1;
  }

  /** Rewound or copied where its own log isn't the beginning of the other's; that takes a restart which may go unseen. */
  follow(on: Name): void {
    const node = this.nodes[on];
    const [leader] = names
      .filter(name => name !== on && this.nodes[name].primary && this.nodes[name].alive)
      .sort((a, b) => this.nodes[b].timeline - this.nodes[a].timeline);
    if (!node.alive || leader === undefined) return;
    const source = this.nodes[leader].log;
    const apart = node.log.findIndex((byte, index) => source[index] !== byte);
    if (apart !== -1) node.log = source.slice(0, apart);
    Object.assign(node, { primary: false, follows: leader, recoveredTo: null });
    node.timeline = this.nodes[leader].timeline;
  }

  /** What the old primary had answered for, and the new one doesn't have. */
  lost(from: Name, to: Name): number {
    const has = new Set(this.nodes[to].log);
    return [...this.answered].filter(([byte, on]) => on === from && !has.has(byte)).length;
  }

  missing(from: readonly Byte[], to: Name): number {
    const has = new Set(this.nodes[to].log);
    return from.filter(byte => !has.has(byte)).length;
  }

  tell(on: Name): ProbeResult {
    const { alive, primary, log, timeline, recoveredTo } = this.nodes[on];
    if (!alive) return fail();
    const position = lsn(log.length);
    if (!primary) {
      const replicating = this.#sourceOf(on) !== null;
      return passReplica({
        position,
        timeline,
        replicating,
        wal: wal({ standbyName: replicating ? on : null }),
      });
    }
    const standbys = names
      .filter(name => this.nodes[name].follows === on && this.#sourceOf(name) !== null)
      .map((name, _, all) => ({ name, synchronous: this.#isWaitedFor(name, all) }));
    return pass({
      position,
      timeline,
      wal: wal({
        recoveredTo: recoveredTo === null ? null : lsn(recoveredTo),
        synchronousNames: this.#synchronous,
        standbys: this.#synchronous === '' ? null : standbys,
      }),
    });
  }

  #sourceOf(on: Name): Node | null {
    const node = this.nodes[on];
    const source = node.follows === null ? null : this.nodes[node.follows];
    if (!node.alive || source?.alive !== true || !source.primary) return null;
    // PostgreSQL refuses to follow what isn't a continuation of its own log.
    return node.log.every((byte, index) => source.log[index] === byte) ? source : null;
  }

  #isWaitedFor(name: Name, present: readonly Name[]): boolean {
    if (this.#synchronous === '*') return present[0] === name || present.length === 1;
    if (!this.#synchronous.includes(name)) return false;
    return !this.#synchronous.startsWith('FIRST') || name === 'pg2' || !present.includes('pg2');
  }

  #answer(): void {
    for (const [byte, on] of this.#written) {
      const has = (name: Name): boolean =>
        this.nodes[name].follows === on &&
        this.#sourceOf(name) !== null &&
        this.nodes[name].log.includes(byte);
      if (!this.#isEnough(names.filter(has))) continue;
      this.#written.delete(byte);
      this.answered.set(byte, on);
    }
  }

  #isEnough(having: readonly Name[]): boolean {
    switch (this.#synchronous) {
      case '':
        return true;
      case 'pg2':
        return having.includes('pg2');
      case '2 (pg2, pg3)':
        return having.includes('pg2') && having.includes('pg3');
      default:
        return having.length > 0;
    }
  }
}

const lsn = (length: number): string => `0/${length.toString(16).toUpperCase()}`;

test('loss report of PostgreSQL: it never says none while an answered commit is gone, nor that more is missing than is', () => {
  const said = new Map<string, number>();
  fc.assert(
    fc.property(settings, fc.array(step, { minLength: 5, maxLength: 50 }), (synchronous, steps) => {
      const cluster = new Cluster(synchronous);
      const clock = new FakeClock();
      const servers = names.map((name, index) => ({
        name,
        address: { host: '127.0.0.1', port: 5001 + index },
        weight: 100,
      }));
      const rules = {
        multipleWriters: 'newest',
        freshnessMs: FRESHNESS_MS,
        slowStartMs: 0,
        settleMs: 0,
      } as const;
      const topology = new Topology([{ name: 'app', protocol: 'postgres', servers, ...rules }], clock);
      const incidents = new IncidentRecorder(clock);
      topology.changes.subscribe(change => incidents.observe(change));
      const health = new Map<Name, HealthState>();
      /** All that any old primary ever had. */
      const longest = new Map<Name, Byte[]>([['pg1', cluster.nodes.pg1.log.slice()]]);
      let judged: unknown = null;

      const judge = (): void => {
        const [incident] = incidents.list();
        if (incident === undefined || incident.loss === null || incident.loss === judged) return;
        judged = incident.loss;
        const { oldPrimary, newPrimary, loss } = incident;
        said.set(loss.kind, (said.get(loss.kind) ?? 0) + 1);
        const [from, to] = [oldPrimary as Name, newPrimary as Name];
        if (loss.kind === 'none') assert.equal(cluster.lost(from, to), 0, `${from} to ${to}: ${loss.words}`);
        // Two logs under one number look like one, and then more may be said to be missing.
        if (loss.kind === 'bytes' && !steps.some(({ kind }) => kind === 'restart-as-primary')) {
          const missing = cluster.missing(longest.get(from) ?? [], to);
          assert.ok(loss.bytes <= missing, `${missing} of ${from}, ${to}: ${loss.words}`);
        }
      };
      const ask = (on: Name): void => {
        const result = { ...cluster.tell(on), at: clock.now(), wallAt: clock.wall() };
        const next = observe(health.get(on) ?? initialHealth, result, { rise: 1, fall: 1 }).state;
        health.set(on, next);
        topology.report('app', on, next, result);
        judge();
      };
      names.forEach(ask);
      for (const { kind, on, ...rest } of steps) {
        void clock.advance(1);
        const count = 'bytes' in rest ? rest.bytes : 0;
        if (kind === 'ask') ask(on);
        if (kind === 'ask-all') names.forEach(ask);
        if (kind === 'write') cluster.write(on, count);
        if (kind === 'stream') cluster.stream(on, count);
        if (kind === 'promote') cluster.promote(on, true);
        if (kind === 'restart-as-primary') cluster.promote(on, false);
        if (kind === 'die') cluster.nodes[on].alive = false;
        if (kind === 'start') cluster.nodes[on].alive = true;
        if (kind === 'follow') cluster.follow(on);
        const { primary, log } = cluster.nodes[on];
        if (primary) longest.set(on, [...new Set([...(longest.get(on) ?? []), ...log])]);
      }
    }),
    { numRuns: 3000 },
  );
  for (const kind of ['none', 'bytes', 'unknown'])
    assert.ok((said.get(kind) ?? 0) > 10, `never judged: ${kind}`);
});
