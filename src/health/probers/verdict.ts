// What a probe means that asked over the open session, over a fresh connection, or over both at once.
// Pure: the two parts in, an answer and the session to keep out. Used by probers that keep a session.

import { truncate } from '../../core/limits.ts';
import { type ProbeAnswer } from '../prober.ts';
import { checkCodes, type FailureCode, type ServerFacts } from '../result.ts';
import { type Failure } from './failures.ts';

/** One of the two ways to ask. `alive`: the session can be asked again (it answered, if only with an SQL error). */
export type Part =
  | { readonly kind: 'absent' }
  | { readonly kind: 'pending' }
  /** Of a fresh connection: the time for the probe is up, and it is still waited for. */
  | { readonly kind: 'late'; readonly failure: Failure }
  /** `remark`: what the facts have no field for, said after them. */
  | { readonly kind: 'answered'; readonly facts: ServerFacts; readonly remark?: string | null }
  | { readonly kind: 'failed'; readonly failure: Failure; readonly alive: boolean };

export interface Verdict {
  readonly answer: ProbeAnswer;
  /** Which session goes on; the other one is ended. */
  readonly keep: 'open' | 'fresh' | 'none';
  /** New connections are in doubt: the next probe must try one again, whenever it comes. */
  readonly doubt: boolean;
}

/** Endings of a fresh login that mean "accepts connections but doesn't serve them" when the open session answers. */
const hung: ReadonlySet<FailureCode> = new Set(['L4TOUT', 'L6TOUT', 'L7TOUT']);
/** Those that hit every new client. The others concern the probe's own login, its name service or its machine. */
const forEveryone: ReadonlySet<FailureCode> = new Set(['L4CON', 'L4LOST', 'L7RSP', 'L7START']);

/** `null`: wait for the part that is pending. */
export function judge(open: Part, fresh: Part): Verdict | null {
  // A fresh login that worked is all that a client needs, and a lost session is the crash signal: neither waits.
  if (fresh.kind === 'answered') return { answer: passed(fresh), keep: 'fresh', doubt: false };
  if (open.kind === 'failed' && !open.alive && !hung.has(open.failure.code)) {
    return { answer: open.failure, keep: 'none', doubt: true };
  }
  if (open.kind === 'pending' || open.kind === 'late' || fresh.kind === 'pending') return null;
  if (open.kind === 'absent') {
    if (fresh.kind === 'absent' || fresh.kind === 'late') return null;
    return { answer: fresh.failure, keep: fresh.alive ? 'fresh' : 'none', doubt: false };
  }
  if (open.kind === 'failed' && !open.alive) return { answer: open.failure, keep: 'none', doubt: true };
  const answer = open.kind === 'answered' ? passed(open) : open.failure;
  if (fresh.kind === 'absent') return { answer, keep: 'open', doubt: false };
  if (fresh.kind === 'late') {
    const slow = truncate(`${answer.detail}; a new connection is served slowly: ${fresh.failure.detail}`);
    return { answer: { ...answer, detail: slow }, keep: 'open', doubt: true };
  }
  // A fresh session that came as far as an SQL error shows that new connections are served.
  if (fresh.alive) return { answer, keep: 'fresh', doubt: false };

  const { code, detail } = fresh.failure;
  if (hung.has(code)) {
    const words = `the open session answers, but a new connection does not: ${detail}`;
    return { answer: { code: 'L7HUNG', detail: truncate(words) }, keep: 'open', doubt: true };
  }
  if (forEveryone.has(code)) return { answer: fresh.failure, keep: 'open', doubt: true };
  const noted = truncate(
    `${answer.detail}; a new login failed with ${code} (${checkCodes[code].means}): ${detail}`,
  );
  return { answer: { ...answer, detail: noted }, keep: 'open', doubt: false };
}

function passed({ facts, remark = null }: Part & { kind: 'answered' }): ProbeAnswer {
  const words = [facts.role, facts.writable ? 'writable' : 'read-only'];
  if (facts.timeline !== null) words.push(`timeline ${facts.timeline}`);
  if (facts.replicating !== null) words.push(facts.replicating ? 'replicating' : 'not replicating');
  if (remark !== null) words.push(remark);
  return { code: 'L7OK', detail: truncate(words.join(', ')), facts };
}
