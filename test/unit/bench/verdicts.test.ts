// The bench's arithmetic: medians, what a proxy adds, ratios to HAProxy, and whether a target is reached.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contenders } from '../../../bench/proxy/contenders/index.ts';
import { type Contender, type Sample, type ScenarioResult } from '../../../bench/proxy/model.ts';
import { plot } from '../../../bench/proxy/plot.ts';
import { medians, rotated, withAdded } from '../../../bench/proxy/rounds.ts';
import { scenarios } from '../../../bench/proxy/scenarios/index.ts';
import { median, quantile } from '../../../bench/proxy/stats.ts';
import { targets, verdicts } from '../../../bench/proxy/targets.ts';

const contender = (name: string): Contender => {
  const found = contenders(null).find(one => one.name === name);
  assert.ok(found);
  return found;
};

function result(name: string, samples: Record<string, readonly Sample[]>): ScenarioResult {
  const scenario = scenarios.find(one => one.name === name);
  assert.ok(scenario);
  return {
    scenario,
    measured: Object.entries(samples).map(([of, taken]) => ({ contender: contender(of), samples: taken })),
  };
}

const verdictOf = (results: readonly ScenarioResult[], scenario: string, figure: string) =>
  verdicts(results).find(({ target }) => target.scenario === scenario && target.figure === figure);

test('median: the middle one, or the middle of the two middle ones; NaN of nothing', () => {
  assert.equal(median([10, 1, 9]), 9);
  assert.equal(median([10, 1, 9, 2]), 5.5);
  assert.ok(Number.isNaN(median([])));
});

test('quantile: the least value that so many do not exceed', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
  assert.deepEqual(
    [0, 0.5, 0.99, 0.999, 1].map(share => quantile(hundred, share)),
    [1, 50, 99, 100, 100],
  );
  assert.ok(Number.isNaN(quantile([], 0.5)));
});

test('turns: the order moves on by one and comes round again', () => {
  assert.deepEqual(rotated(['a', 'b', 'c'], 1), ['b', 'c', 'a']);
  assert.deepEqual(rotated(['a', 'b', 'c'], 3), ['a', 'b', 'c']);
  assert.deepEqual(rotated([], 4), []);
});

test('medians of repeats: figure by figure', () => {
  assert.deepEqual(
    medians([
      { a: 1, b: 9 },
      { a: 5, b: 7 },
      { a: 3, b: 8 },
    ]),
    { a: 3, b: 8 },
  );
  assert.deepEqual(medians([]), {});
});

test('added latency: that of the direct connection in the same turn is taken off', () => {
  const [direct, haproxy] = [contender('direct'), contender('haproxy')];
  const turn = new Map([
    [direct, { p99: 100 }],
    [haproxy, { p99: 180 }],
  ]);
  const added = { p99Added: 'p99' };
  assert.deepEqual(withAdded({ added }, turn, haproxy, { p99: 180 }), { p99: 180, p99Added: 80 });
  assert.deepEqual(withAdded({ added }, turn, direct, { p99: 100 }), { p99: 100 });
  const alone = new Map([[haproxy, { p99: 180 }]]);
  assert.deepEqual(withAdded({ added }, alone, haproxy, { p99: 180 }), { p99: 180 });
});

test('targets: each names a figure that its scenario has', () => {
  for (const { scenario, figure } of targets) {
    const keys = scenarios.find(({ name }) => name === scenario)?.figures.map(({ key }) => key);
    assert.ok(keys?.includes(figure), `${scenario} ${figure}`);
  }
});

test('verdict: the ratio of the medians, against the target in its direction', () => {
  const samples = (tps: number, cpuUs: number): Sample[] => [
    { tps, cpuUs },
    { tps: 1, cpuUs: 1 },
    { tps: 1e9, cpuUs: 1e9 },
  ];
  const results = [result('select-16', { pointsman: samples(30_000, 9.5), haproxy: samples(30_000, 10) })];
  const [tps, cpu] = [verdictOf(results, 'select-16', 'tps'), verdictOf(results, 'select-16', 'cpuUs')];
  assert.equal(tps?.ratio, 1);
  assert.equal(tps.reached, true);
  assert.equal(cpu?.ratio, 0.95);
  assert.equal(cpu.reached, false);
});

test('verdict: none where one of the two was not measured', () => {
  assert.deepEqual(verdicts([result('select-16', { pointsman: [{ tps: 1 }] })]), []);
});

test('verdict: none on a figure that is lost in the noise, whoever of the two it is', () => {
  const added = (pointsman: number, haproxy: number) =>
    verdictOf(
      [result('latency', { pointsman: [{ p99Added: pointsman }], haproxy: [{ p99Added: haproxy }] })],
      'latency',
      'p99Added',
    );
  for (const [pointsman, haproxy] of [
    [5, -3],
    [-4, 3],
    [-4, -3],
    [5, 0],
  ] as const) {
    assert.ok(Number.isNaN(added(pointsman, haproxy)?.ratio));
    assert.equal(added(pointsman, haproxy)?.reached, null);
  }
  assert.equal(added(3, 4)?.reached, true);
  assert.equal(added(4, 3)?.reached, false);
});

test('plot: a bar as long as its ratio, ended at the scale; what has no ratio is left out', () => {
  const drawn = (pointsman: number, haproxy = 10): string =>
    plot(
      verdicts([
        result('http', { pointsman: [{ perSecond: pointsman }], haproxy: [{ perSecond: haproxy }] }),
      ]),
      { subject: 'P', reference: 'H & <others>' },
    );
  const bar = (svg: string): number => Number(/<rect x="\d+" y="\d+" width="([\d.]+)"/.exec(svg)?.[1]);
  assert.ok(Math.abs(bar(drawn(10)) - 2 * bar(drawn(5))) < 0.2);
  assert.equal(bar(drawn(90)), bar(drawn(900)));
  assert.match(drawn(12), />1\.20 \(≥ 1\.00\)</);
  assert.match(drawn(12), /P ÷ H &amp; &lt;others&gt;/);
  assert.doesNotMatch(drawn(12, 0), /HTTP keep-alive/);
});
