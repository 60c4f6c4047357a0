// docs/codes.md and docs/metrics.md must tell the truth of today: every code and metric, nothing that isn't there.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorCodes } from '../../../src/core/errors.ts';
import { checkCodes } from '../../../src/health/result.ts';
import { createMetrics } from '../../../src/metrics/metrics.ts';
import { closeReasons, connectErrors, rejectReasons } from '../../../src/proxy/events.ts';
import { readRepositoryFile } from '../../support/repository.ts';

const page = (name: string): string => readRepositoryFile(`docs/${name}`);

/** The cells of each table row under a heading, first cell without its backticks. */
function rows(text: string, heading: string): string[][] {
  const [, section = ''] = text.split(new RegExp(`^#+ ${heading}$`, 'm'));
  const [body = ''] = section.split(/^## /m);
  return body
    .split('\n')
    .filter(line => line.startsWith('| `'))
    .map(line =>
      line
        .split('|')
        .slice(1, -1)
        .map(cell => cell.trim().replaceAll('`', '')),
    );
}

const codes = page('codes.md');

test('docs: every check code with what it counts as and means', () => {
  const expected = Object.entries(checkCodes).map(([code, { outcome, means }]) => [code, outcome, means]);
  assert.deepEqual(rows(codes, 'Check codes'), expected);
});

for (const [heading, known] of [
  ['Why a session ended', closeReasons],
  ['Why a server could not be connected', connectErrors],
  ['Error codes', errorCodes],
] as const) {
  test(`docs: "${heading}" lists what the code has, in its words`, () => {
    assert.deepEqual(rows(codes, heading), Object.entries(known));
  });
}

test('docs: every reason to turn a client away, in the code’s words', () => {
  const documented = rows(codes, 'Why a client was turned away').map(([reason, means]) => [reason, means]);
  assert.deepEqual(documented, Object.entries(rejectReasons));
});

test('docs: every metric with its type and labels', async () => {
  const { registry } = createMetrics({ version: '0', node: 'v20' });
  const ours = registry.getMetricsAsArray().filter(({ name }) => name.startsWith('pointsman_'));
  const actual = await Promise.all(
    ours.map(async ({ name }) => {
      const metric = registry.getSingleMetric(name);
      const { type } = (await metric?.get()) ?? { type: 'missing' };
      const { labelNames } = metric as unknown as { labelNames: readonly string[] };
      return [name, String(type), labelNames.join(', ')];
    }),
  );
  const documented = rows(page('metrics.md'), 'Metrics').map(cells => cells.slice(0, 3));
  const byName = (a: readonly (string | undefined)[], b: readonly (string | undefined)[]): number =>
    String(a[0]).localeCompare(String(b[0]));
  assert.ok(actual.length > 20);
  assert.deepEqual(documented.sort(byName), actual.sort(byName));
});
