// The bench's readers of what its load generators report: a failed transaction or request must never become a figure.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readReport as readIperf } from '../../../bench/proxy/load/iperf.ts';
import { readLog, readReport as readPgbench } from '../../../bench/proxy/load/pgbench.ts';
import { readReport as readWrk } from '../../../bench/proxy/load/wrk.ts';

const pgbench = (failed: number, tps: string): string =>
  [
    'pgbench (15.18 (Debian 15.18-0+deb12u1))',
    'transaction type: <builtin: select only>',
    'number of transactions actually processed: 61234',
    `number of failed transactions: ${failed} (0.000%)`,
    'latency average = 0.784 ms',
    tps,
    '',
  ].join('\n');

test('pgbench report: the rate without the first connections, and with all of them under -C', () => {
  const lasting = pgbench(0, 'tps = 20411.330078 (without initial connection time)');
  assert.deepEqual(readPgbench(lasting), { transactions: 61234, tps: 20411.330078 });
  const anew = pgbench(0, 'tps = 811.5 (including reconnection times)');
  assert.equal(readPgbench(anew).tps, 811.5);
});

test('pgbench report: a failed transaction is an error', () => {
  const text = pgbench(1, 'tps = 20411.3 (without initial connection time)');
  assert.throws(() => readPgbench(text), /pgbench reported:[^]*failed transactions: 1/);
});

test('pgbench report: no rate is an error', () => {
  assert.throws(() => readPgbench(pgbench(0, '')), /pgbench reported/);
  assert.throws(() => readPgbench(''), /pgbench reported/);
});

test('pgbench log: the latencies ascend as numbers, those of the first moments are left out', () => {
  const log = [
    '0 0 9000 0 1700000000 900000 10',
    '1 0 1000 0 1700000001 400000 0',
    '2 0 200 0 1700000002 0 0',
    '',
  ];
  assert.deepEqual([...readLog(log.join('\n'), 500_000)], [200, 1000]);
  assert.deepEqual([...readLog(log.join('\n'), 0)], [200, 1000, 9000]);
  assert.equal(readLog('', 0).length, 0);
});

const wrk = (extra: string): string =>
  [
    'Running 3s test @ http://127.0.0.1:15000/',
    '  1 threads and 32 connections',
    '  213456 requests in 3.00s, 81.23MB read',
    ...(extra === '' ? [] : [extra]),
    'Requests/sec:  71152.10',
    'Transfer/sec:     27.08MB',
    '',
  ].join('\n');

test('wrk report: requests and their rate', () => {
  assert.deepEqual(readWrk(wrk('')), { requests: 213456, perSecond: 71152.1 });
});

test('wrk report: failed connections and answers are an error', () => {
  const broken = wrk('  Socket errors: connect 0, read 3, write 0, timeout 0');
  assert.throws(() => readWrk(broken), /read 3/);
  assert.throws(() => readWrk(wrk('  Non-2xx or 3xx responses: 7')), /responses: 7/);
  assert.throws(() => readWrk(''), /wrk reported/);
});

test('iperf3 report: what was received, both ways together', () => {
  const sum = (bytes: number) => ({ bytes, bits_per_second: bytes * 8 });
  const one = JSON.stringify({ end: { sum_received: sum(100), sum_sent: sum(900) } });
  assert.deepEqual(readIperf(one), { bytes: 100, bitsPerSecond: 800 });
  const both = JSON.stringify({ end: { sum_received: sum(100), sum_received_bidir_reverse: sum(50) } });
  assert.deepEqual(readIperf(both), { bytes: 150, bitsPerSecond: 1200 });
});

test('iperf3 report: a test that moved nothing is an error', () => {
  assert.throws(() => readIperf(JSON.stringify({ end: { sum_received: { bytes: 0, bits_per_second: 0 } } })));
  assert.throws(() => readIperf(JSON.stringify({ error: 'the server is busy', end: {} })));
});
