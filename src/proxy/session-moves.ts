// The moves that several states of a session share: ask for a server, wait, dial, ask again, refuse, cancel, close.
// Pure like session.ts, which is the only caller and decides when each is made.

import { type MonotonicMs } from '../core/clock.ts';
import { invariant, PointsmanError } from '../core/errors.ts';
import { FIRST_BYTES_TIMEOUT_MS, HELD_CLIENT_MAX_BYTES } from '../core/limits.ts';
import { isRepeatable } from '../protocol/http/repeatable.ts';
import { decodeFirstPacket, REFUSE_ENCRYPTION } from '../protocol/postgres/startup.ts';
import { CANCEL_TIMEOUT_MS, ENCRYPTION_REFUSALS_MAX } from './bounds.ts';
import { type CloseReason, type HoldOutcome, type RejectReason } from './events.ts';
import { protocolTraits } from './protocols.ts';
import {
  type CloseMode,
  type Outcome,
  type Progress,
  type SessionAction,
  type SessionEvent,
  type SessionRules,
  type SessionState,
  type Target,
  type Waiting,
} from './session-model.ts';

export interface Step {
  readonly state: SessionState;
  readonly actions: readonly SessionAction[];
}

export type In<K extends SessionState['kind']> = Extract<SessionState, { kind: K }>;
export type Of<K extends SessionEvent['kind']> = Extract<SessionEvent, { kind: K }>;

// What is the same for every client exists once: thousands come and go in a second.
export const nothing: readonly SessionAction[] = [];
const closed: SessionState = { kind: 'closed' };
/** ContentType of the record that a TLS client begins with (RFC 8446, section 5.1). */
export const TLS_HANDSHAKE = 0x16;
export const noDeadline: SessionAction = { kind: 'deadline', at: null };

export function route(waiting: Waiting, before: readonly SessionAction[]): Step {
  return {
    state: { kind: 'routing', waiting },
    actions: [...before, { kind: 'route', waited: waiting.heldSince !== null }],
  };
}

/** Waits, if there is time left; else refuses. */
export function holdOn(waiting: Waiting, at: MonotonicMs, pause: boolean, rules: SessionRules): Step {
  // Nothing more is heard of it: it may be gone, and nobody waits for those.
  if (waiting.ended) return close('end', { kind: 'left' }, endWait(waiting, 'left', at));
  const holdUntil = waiting.holdUntil ?? at;
  if (at >= holdUntil) {
    return refuse(waiting, expiry(waiting, rules.holdMs === 0 ? 'no-server' : 'hold-timeout'), at, rules);
  }
  const again = waiting.heldSince !== null;
  return {
    state: { kind: 'holding', waiting: { ...waiting, heldSince: waiting.heldSince ?? at } },
    actions: [
      { kind: 'deadline', at: holdUntil },
      { kind: 'hold', again, pause },
    ],
  };
}

/** Why a client's time is over: the last that was in its way. */
export function expiry({ crowded, lastError }: Waiting, otherwise: RejectReason): RejectReason {
  if (crowded) return 'servers-full';
  return lastError === null ? otherwise : 'connect-failed';
}

export function dial(
  waiting: Waiting,
  holdUntil: MonotonicMs,
  candidates: readonly Target[],
  index: number,
  epoch: number,
  rules: SessionRules,
): Step {
  const target = candidates[index];
  invariant(target !== undefined, 'only a candidate is dialed');
  const number = waiting.dials + 1;
  return {
    state: { kind: 'dialing', waiting: { ...waiting, holdUntil, dials: number }, candidates, index, epoch },
    actions: [
      {
        kind: 'dial',
        dial: number,
        target,
        timeoutMs: rules.connectTimeoutMs,
        announced: waiting.announced,
      },
    ],
  };
}

/**
 * Takes a session from a server that went without a word to the next one, with the same bytes; null when that isn't safe
 * or has been tried often enough. Safe: the server has sent nothing, the client nothing but the one request that is kept,
 * and that request changes nothing, should the server have carried it out (RFC 9110, section 9.2.2).
 */
export function repeat(
  state: In<'relaying'>,
  { fromClient, fromServer }: Progress,
  reason: CloseReason,
): Step | null {
  const { repeat: kept } = state;
  if (kept === null || fromServer > 0 || fromClient !== kept.skipped + kept.bytes.length) return null;
  if (kept.repeatsLeft === 0 || !isRepeatable(kept.bytes)) return null;
  // Its wait for the first server is over; should it have to wait again, it has all of the time again.
  const waiting: Waiting = {
    ...kept,
    heldSince: null,
    holdUntil: null,
    lastError: null,
    repeatsLeft: kept.repeatsLeft - 1,
  };
  return route(waiting, [{ kind: 'unjoin', reason }]);
}

export function leave(
  waiting: Waiting,
  event: Of<'client-ended'> | Of<'client-reset'>,
  before: readonly SessionAction[],
): Step {
  const actions = [...before, ...endWait(waiting, 'left', event.at)];
  return close(event.kind === 'client-reset' ? 'reset' : 'end', { kind: 'left' }, actions);
}

/** Turns a client away: at once if an answer would be understood by now, or never will be, else after reading on for a bounded time. */
export function refuse(
  waiting: Waiting,
  reason: RejectReason,
  at: MonotonicMs,
  rules: SessionRules,
  before: readonly SessionAction[] = nothing,
): Step {
  const isClosing = reason === 'shutdown' || reason === 'frontend-removed';
  const ended = endWait(waiting, isClosing ? 'closed' : 'expired', at);
  const actions = [...before, ...ended];
  const { refusal } = protocolTraits[rules.protocol];
  if (refusal === 'never') return close('reset', { kind: 'rejected', reason }, actions);
  if (refusal === 'at-once') return close('answer', { kind: 'rejected', reason }, actions);
  const refusing: In<'refusing'> = { kind: 'refusing', bytes: waiting.bytes, reason, answered: 0 };
  return answer(refusing, at, rules, [...actions, { kind: 'deadline', at: at + FIRST_BYTES_TIMEOUT_MS }]);
}

/** Answers a refused client if it has sent enough to understand it. */
export function answer(
  state: In<'refusing'>,
  at: MonotonicMs,
  rules: SessionRules,
  before: readonly SessionAction[],
): Step {
  if (protocolTraits[rules.protocol].refusal === 'after-startup') return answerStartup(state, at, before);
  const [first] = state.bytes;
  if (first === undefined) return { state, actions: before };
  // A plain answer would be gibberish to a client that speaks TLS.
  const mode = first === TLS_HANDSHAKE ? 'end' : 'answer';
  return close(mode, { kind: 'rejected', reason: state.reason }, before);
}

/**
 * Reads what a refused client sent: an ErrorResponse is only understood after its StartupMessage, and that only comes
 * after an answer to SSLRequest. A CancelRequest is honoured still: it needs no room, and may be what makes some.
 */
function answerStartup(state: In<'refusing'>, at: MonotonicMs, before: readonly SessionAction[]): Step {
  const { reason, answered } = state;
  const rejected: Outcome = { kind: 'rejected', reason };
  const packet = decodeFirstPacket(state.bytes);
  if (packet.kind === 'need') return { state, actions: before };
  if (packet.kind === 'bad') return close('reset', rejected, before);
  const rest = state.bytes.subarray(packet.consumed);
  const { value } = packet;
  switch (value.kind) {
    case 'cancel':
      return cancel(value.pid, value.key, state.bytes.subarray(0, packet.consumed), at, before);
    case 'startup':
      return close('answer', rejected, before);
    case 'direct-tls':
      return close('end', rejected, before);
    case 'ssl-request':
    case 'gssenc-request':
      if (answered === ENCRYPTION_REFUSALS_MAX) return close('reset', rejected, before);
      return answerStartup({ ...state, bytes: rest, answered: answered + 1 }, at, [
        ...before,
        { kind: 'answer', bytes: REFUSE_ENCRYPTION },
      ]);
  }
}

export function cancel(
  pid: number,
  key: Uint8Array,
  bytes: Uint8Array,
  at: MonotonicMs,
  before: readonly SessionAction[] = nothing,
): Step {
  return {
    state: { kind: 'cancelling' },
    actions: [
      ...before,
      { kind: 'deadline', at: at + CANCEL_TIMEOUT_MS },
      { kind: 'cancel', pid, key, bytes },
    ],
  };
}

/** A wait has one end, however often the client was released and given back. */
export function endWait(
  { heldSince }: Waiting,
  outcome: HoldOutcome,
  at: MonotonicMs,
): readonly SessionAction[] {
  return heldSince === null ? nothing : [{ kind: 'unhold', outcome, waitedMs: at - heldSince }];
}

export function close(mode: CloseMode, outcome: Outcome, before: readonly SessionAction[] = nothing): Step {
  return { state: closed, actions: [...before, noDeadline, { kind: 'close', mode, outcome }] };
}

export function received(waiting: Waiting, more: Uint8Array): { waiting: Waiting; filled: boolean } {
  const bytes = concat(waiting.bytes, more);
  const full = bytes.length > HELD_CLIENT_MAX_BYTES;
  return { waiting: { ...waiting, bytes, full }, filled: full && !waiting.full };
}

/** A copy, also of the bytes that a driver lends for the call. From Buffer's pool: every client's first bytes come by. */
export function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = Buffer.allocUnsafe(a.length + b.length);
  if (a.length > 0) joined.set(a);
  joined.set(b, a.length);
  return joined;
}

/** An aborted dial may still report, and a change may come between two steps; neither matters any more. All else is a bug. */
export function late(state: SessionState, event: SessionEvent, { dials }: Waiting): Step {
  if (event.kind === 'snapshot-changed') return stay(state);
  const aDial = event.kind === 'connected' || event.kind === 'connect-failed';
  return aDial && event.dial <= dials ? stay(state) : illegal(state, event);
}

export const stay = (state: SessionState): Step => ({ state, actions: nothing });

export function illegal(state: SessionState, event: SessionEvent): never {
  throw new PointsmanError('INTERNAL', `event ${event.kind} in session state ${state.kind}`);
}
