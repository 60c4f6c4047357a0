import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge, type Part } from '../../../../src/health/probers/verdict.ts';
import { nothingTold, type FailureCode, type ServerFacts } from '../../../../src/health/result.ts';

const facts: ServerFacts = {
  ...nothingTold,
  role: 'primary',
  writable: true,
  version: '16.2',
  systemId: '77',
  timeline: 3,
  position: '0/1',
};
const absent: Part = { kind: 'absent' };
const pending: Part = { kind: 'pending' };
const answered: Part = { kind: 'answered', facts };
const failed = (code: FailureCode, alive = false): Part => ({
  kind: 'failed',
  failure: { code, detail: code },
  alive,
});

/** `code/keep/doubt`, or `wait`. */
function said(open: Part, fresh: Part): string {
  const verdict = judge(open, fresh);
  return verdict === null
    ? 'wait'
    : `${verdict.answer.code}/${verdict.keep}/${verdict.doubt ? 'doubt' : 'sure'}`;
}

test('verdict: without a second connection, the answer is that of the one there is', () => {
  assert.equal(said(answered, absent), 'L7OK/open/sure');
  assert.equal(said(failed('L7STS', true), absent), 'L7STS/open/sure');
  assert.match(said(failed('L4LOST'), absent), /^L4LOST\/none/);
  assert.match(said(failed('L7TOUT'), absent), /^L7TOUT\/none/);
  assert.equal(said(absent, answered), 'L7OK/fresh/sure');
  assert.equal(said(absent, failed('L4CON')), 'L4CON/none/sure');
  assert.equal(said(absent, failed('L7STS', true)), 'L7STS/fresh/sure');
  assert.equal(said(absent, pending), 'wait');
  assert.equal(said(pending, absent), 'wait');
});

test('verdict: a fresh connection that answers takes over at once', () => {
  assert.equal(said(pending, answered), 'L7OK/fresh/sure');
  assert.equal(said(answered, answered), 'L7OK/fresh/sure');
  assert.equal(said(failed('L7TOUT'), answered), 'L7OK/fresh/sure');
});

test('verdict: a lost session is told at once, a slow one waits for the fresh connection', () => {
  assert.match(said(failed('L4LOST'), pending), /^L4LOST\/none/);
  assert.equal(said(failed('L7TOUT'), pending), 'wait');
  assert.equal(said(pending, failed('L7BUSY')), 'wait');
});

test('verdict: an open session that answers beside a silent new connection means hung', () => {
  for (const code of ['L4TOUT', 'L6TOUT', 'L7TOUT'] as const) {
    assert.equal(said(answered, failed(code)), 'L7HUNG/open/doubt');
    assert.equal(said(failed('L7STS', true), failed(code)), 'L7HUNG/open/doubt');
  }
});

test('verdict: a new connection that is merely slow leaves the open session its word, and is asked for again', () => {
  const late: Part = { kind: 'late', failure: { code: 'L7TOUT', detail: 'no answer yet' } };
  assert.equal(said(answered, late), 'L7OK/open/doubt');
  assert.match(judge(answered, late)?.answer.detail ?? '', /served slowly: no answer yet/);
  assert.equal(said(failed('L7STS', true), late), 'L7STS/open/doubt');
  assert.equal(said(failed('L7TOUT'), late), 'L7TOUT/none/doubt');
});

test('verdict: a refusal that every new client would get is the answer, and is asked again at once', () => {
  for (const code of ['L4CON', 'L4LOST', 'L7RSP', 'L7START'] as const) {
    assert.equal(said(answered, failed(code)), `${code}/open/doubt`);
  }
});

test('verdict: a refusal of the probe’s own login leaves the open session and its answer', () => {
  for (const code of ['L7BUSY', 'L7AUTH', 'L7DB', 'L6RSP', 'L4SYS', 'L4DNS'] as const) {
    assert.equal(said(answered, failed(code)), 'L7OK/open/sure');
    assert.match(
      judge(answered, failed(code))?.answer.detail ?? '',
      new RegExp(code),
      'and the detail says so',
    );
  }
});

test('verdict: when neither answers, the open session’s ending counts', () => {
  assert.match(said(failed('L7TOUT'), failed('L4TOUT')), /^L7TOUT\/none/);
  assert.match(said(failed('L7TOUT'), failed('L7BUSY')), /^L7TOUT\/none/);
});
