// One client connection as a pure state machine: an event in, the next state and what to do out.
// No socket, clock or randomness: time comes with events, so drivers and simulators run the same code.
// Called by connection.ts. An event that can't happen in a state throws.

import { type MonotonicMs } from '../core/clock.ts';
import { FIRST_BYTES_TIMEOUT_MS, PROXY_HEADER_TIMEOUT_MS } from '../core/limits.ts';
import { decodeFirstPacket } from '../protocol/postgres/startup.ts';
import { REPEATS_MAX } from './bounds.ts';
import { type CloseReason, type RejectReason } from './events.ts';
import { protocolTraits } from './protocols.ts';
import { mayServe } from './router.ts';
import { inAnnouncing } from './session-announce.ts';
import {
  type CloseMode,
  type SessionAction,
  type SessionEvent,
  type SessionRules,
  type SessionState,
  type Waiting,
} from './session-model.ts';
import { beginWithTls, inEncrypting, inOpening, looksForTls } from './session-tls.ts';
import {
  answer,
  cancel,
  close,
  concat,
  dial,
  endWait,
  expiry,
  holdOn,
  illegal,
  late,
  leave,
  noDeadline,
  nothing,
  received,
  refuse,
  repeat,
  route,
  stay,
  type In,
  type Of,
  type Step,
} from './session-moves.ts';

export const newSession: SessionState = { kind: 'new' };

const stopReading: SessionAction = { kind: 'stop-reading' };

/** Its server is out of reach, or not to be used: what it didn't answer may be asked of another. */
const serverTaken: ReadonlySet<CloseReason> = new Set(['server-down', 'server-left', 'maintenance']);
/** Nothing is wrong with either side: what was said already still arrives. */
const gentle: ReadonlySet<CloseReason> = new Set(['idle', 'max-age', 'shutdown', 'switchover']);
const unheard: Waiting = {
  bytes: new Uint8Array(0),
  opening: null,
  full: false,
  ended: false,
  heldSince: null,
  holdUntil: null,
  dials: 0,
  announced: null,
  skipped: 0,
  lastError: null,
  repeatsLeft: REPEATS_MAX,
  crowded: false,
};

// One for all, as most clients take this way: from a door where nothing is read first to a session that both sides end.
const newcomer = route(unheard, nothing);
const relaying: SessionState = { kind: 'relaying', ended: null, repeat: null };
const answered: Step = { state: relaying, actions: nothing };
const clientEnded: Step = {
  state: { kind: 'relaying', ended: 'client', repeat: null },
  actions: [{ kind: 'half-close', side: 'server' }],
};
const serverEnded: Step = {
  state: { kind: 'relaying', ended: 'server', repeat: null },
  actions: [{ kind: 'half-close', side: 'client' }],
};
const endedByClient = endSession('end', 'client');
const endedByServer = endSession('end', 'server');

/** Throws INTERNAL, naming state and event, for an event that the state rules out. */
export function step(state: SessionState, event: SessionEvent, rules: SessionRules): Step {
  switch (state.kind) {
    case 'new':
      return event.kind === 'accepted' ? onAccepted(event, rules) : illegal(state, event);
    case 'announcing':
      return inAnnouncing(state, event);
    case 'admitting':
      return event.kind === 'admitted' ? onAdmitted(state, event, rules) : illegal(state, event);
    case 'greeting':
      return inGreeting(state, event, rules);
    case 'opening':
      if (event.kind !== 'received') return inOpening(state, event, rules);
      return inOpening({ ...state, waiting: received(state.waiting, event.bytes).waiting }, event, rules);
    case 'encrypting':
      return inEncrypting(state, event, rules);
    case 'routing':
      return event.kind === 'routed' ? onRouted(state, event, rules) : late(state, event, state.waiting);
    case 'holding':
      return inHolding(state, event, rules);
    case 'dialing':
      return inDialing(state, event, rules);
    case 'relaying':
      return inRelaying(state, event);
    case 'refusing':
      return inRefusing(state, event, rules);
    case 'cancelling':
      return inCancelling(state, event);
    case 'closed':
      // Sockets and timers go on telling of themselves while they close; nothing is left to do.
      return event.kind === 'accepted' ? illegal(state, event) : stay(state);
  }
}

function onAccepted({ at, refuse: reason, announces }: Of<'accepted'>, rules: SessionRules): Step {
  if (!announces) return begin(unheard, reason, at, rules);
  const deadline: SessionAction = { kind: 'deadline', at: at + PROXY_HEADER_TIMEOUT_MS };
  return { state: { kind: 'announcing', bytes: unheard.bytes }, actions: [deadline] };
}

/** As if it had only now connected, with whatever it has sent behind the header. */
function onAdmitted(state: In<'admitting'>, { at, admission }: Of<'admitted'>, rules: SessionRules): Step {
  const { announcement: announced, skipped, rest } = state;
  if (admission.kind === 'drop') return close('reset', { kind: 'rejected', reason: admission.reason });
  const { waiting, filled } = received({ ...unheard, announced, skipped }, rest);
  const reason = admission.kind === 'refuse' ? admission.reason : null;
  const next = begin(waiting, reason, at, rules);
  return filled ? { ...next, actions: [stopReading, ...next.actions] } : next;
}

/** `waiting`: what is known of it by now, as a rule nothing. */
function begin(waiting: Waiting, reason: RejectReason | null, at: MonotonicMs, rules: SessionRules): Step {
  if (looksForTls(rules)) return beginWithTls(waiting, reason, at, rules);
  if (reason !== null) return refuse(waiting, reason, at, rules);
  if (protocolTraits[rules.protocol].reads === 'nothing') {
    return waiting === unheard ? newcomer : route(waiting, nothing);
  }
  const deadline: SessionAction = { kind: 'deadline', at: at + FIRST_BYTES_TIMEOUT_MS };
  const greeting: In<'greeting'> = { kind: 'greeting', waiting, secured: false };
  if (waiting.bytes.length === 0) return { state: greeting, actions: [deadline] };
  const greeted = greet(greeting, at, rules);
  return { ...greeted, actions: [deadline, ...greeted.actions] };
}

function inGreeting(state: In<'greeting'>, event: SessionEvent, rules: SessionRules): Step {
  const { waiting } = state;
  switch (event.kind) {
    case 'received':
      return greet({ ...state, waiting: received(waiting, event.bytes).waiting }, event.at, rules);
    case 'client-ended':
      return close('end', { kind: 'left' });
    case 'client-reset':
      return close('reset', { kind: 'left' });
    case 'deadline':
      if (protocolTraits[rules.protocol].reads === 'first-bytes') return route(waiting, nothing);
      return close('reset', { kind: 'rejected', reason: 'first-bytes-timeout' });
    case 'shutdown':
      return refuse(waiting, event.reason, event.at, rules);
    default:
      return late(state, event, waiting);
  }
}

/** Looks at the first packet, where there is such a thing: what it is decides where the client goes. */
function greet(state: In<'greeting'>, at: MonotonicMs, rules: SessionRules): Step {
  const { waiting, secured } = state;
  const before = waiting.full ? [noDeadline, stopReading] : [noDeadline];
  if (protocolTraits[rules.protocol].reads === 'first-bytes') return route(waiting, before);
  const packet = decodeFirstPacket(waiting.bytes);
  if (packet.kind === 'need') return { state, actions: nothing };
  const { value, consumed } = packet.kind === 'ok' ? packet : { value: null, consumed: 0 };
  // Within TLS nobody asks for encryption again.
  if (value === null || (secured && value.kind !== 'startup' && value.kind !== 'cancel')) {
    return close('reset', { kind: 'rejected', reason: 'bad-first-bytes' });
  }
  if (value.kind === 'cancel') return cancel(value.pid, value.key, waiting.bytes.subarray(0, consumed), at);
  return route({ ...waiting, opening: value.kind }, before);
}

function onRouted(state: In<'routing'>, { at, decision, epoch }: Of<'routed'>, rules: SessionRules): Step {
  const { waiting } = state;
  const holdUntil = waiting.holdUntil ?? at + rules.holdMs;
  if (decision.kind === 'hold') {
    return holdOn({ ...waiting, holdUntil, crowded: decision.crowded === true }, at, false, rules);
  }
  return dial(waiting, holdUntil, decision.servers, 0, epoch, rules);
}

function inHolding(state: In<'holding'>, event: SessionEvent, rules: SessionRules): Step {
  const { waiting } = state;
  switch (event.kind) {
    case 'received':
      return withMore(state, event.bytes);
    case 'hold-full':
      return refuse({ ...waiting, heldSince: null }, 'hold-full', event.at, rules);
    case 'released':
      return route(waiting, [noDeadline]);
    case 'deadline':
      return refuse(waiting, expiry(waiting, 'hold-timeout'), event.at, rules);
    case 'client-ended':
    case 'client-reset':
      return leave(waiting, event, []);
    case 'shutdown':
      return refuse(waiting, event.reason, event.at, rules);
    default:
      return late(state, event, waiting);
  }
}

function inDialing(state: In<'dialing'>, event: SessionEvent, rules: SessionRules): Step {
  const { waiting } = state;
  switch (event.kind) {
    case 'received':
      return withMore(state, event.bytes);
    case 'connected':
      if (event.dial !== waiting.dials) return late(state, event, waiting);
      return onConnected(state, event, rules);
    case 'connect-failed':
      if (event.dial !== waiting.dials) return late(state, event, waiting);
      return onConnectFailed(state, event, rules);
    case 'server-full':
      return onServerFull(state, event, rules);
    case 'snapshot-changed':
      if (isStillGood(state, event, rules)) return stay(state);
      return route(waiting, [abortDial(waiting)]);
    case 'client-ended':
      // With its question it may have said all it has to say; it is answered still.
      if (protocolTraits[rules.protocol].reads === 'first-bytes' && waiting.bytes.length > 0) {
        return stay({ ...state, waiting: { ...waiting, ended: true } });
      }
      return leave(waiting, event, [abortDial(waiting)]);
    case 'client-reset':
      return leave(waiting, event, [abortDial(waiting)]);
    case 'shutdown':
      return refuse(waiting, event.reason, event.at, rules, [abortDial(waiting)]);
    default:
      return late(state, event, waiting);
  }
}

function abortDial({ dials }: Waiting): SessionAction {
  return { kind: 'abort-dial', dial: dials };
}

/** Safety rules 1 and 3: what was true when the dial began may no longer be. */
function isStillGood(
  { candidates, index, epoch }: In<'dialing'>,
  { view, at }: Of<'connected'> | Of<'snapshot-changed'>,
  rules: SessionRules,
): boolean {
  if (rules.route === 'primary' && view.epoch !== epoch) return false;
  const target = candidates[index];
  return target !== undefined && mayServe(rules, view, at, target);
}

function onConnected(state: In<'dialing'>, event: Of<'connected'>, rules: SessionRules): Step {
  const { waiting, candidates, index, epoch } = state;
  const target = candidates[index];
  if (target === undefined || !isStillGood(state, event, rules)) {
    return route(waiting, [abortDial(waiting)]);
  }
  const { bytes, opening, dials } = waiting;
  const { at } = event;
  const relay: SessionAction = { kind: 'relay', at, dial: dials, target, first: bytes, opening, epoch };
  const waited = endWait(waiting, 'served', at);
  const actions = waited.length === 0 ? [relay] : [...waited, relay];
  if (waiting.ended) return { state: clientEnded.state, actions: [...actions, ...clientEnded.actions] };
  const keeps = protocolTraits[rules.protocol].repeats !== 'nothing' && !waiting.full && bytes.length > 0;
  if (!keeps) return { state: relaying, actions };
  const repeatsLeft = Math.min(waiting.repeatsLeft, candidates.length);
  return { state: { kind: 'relaying', ended: null, repeat: { ...waiting, repeatsLeft } }, actions };
}

/** No byte has been sent to a server yet, so the next may be tried: with a lost primary, after a pause in the hold. */
function onConnectFailed(
  state: In<'dialing'>,
  { at, error }: Of<'connect-failed'>,
  rules: SessionRules,
): Step {
  const waiting = { ...state.waiting, lastError: error };
  // Another server would need a descriptor or port too, and a held client keeps one that sessions may need.
  if (error === 'local') return refuse(waiting, 'descriptors', at, rules);
  const holdUntil = waiting.holdUntil ?? at;
  const timeLeft = rules.holdMs === 0 || at < holdUntil;
  if (timeLeft && state.index + 1 < state.candidates.length) {
    return dial(waiting, holdUntil, state.candidates, state.index + 1, state.epoch, rules);
  }
  return holdOn(waiting, at, true, rules);
}

/** Nothing was tried, so nothing is wrong: the next candidate, or a wait like that of all who find no room. */
function onServerFull(
  { waiting, candidates, index, epoch }: In<'dialing'>,
  { at }: Of<'server-full'>,
  rules: SessionRules,
): Step {
  if (index + 1 < candidates.length) {
    return dial(waiting, waiting.holdUntil ?? at, candidates, index + 1, epoch, rules);
  }
  return holdOn({ ...waiting, crowded: true }, at, false, rules);
}

function inRelaying(state: In<'relaying'>, event: SessionEvent): Step {
  switch (event.kind) {
    case 'client-ended':
      return state.ended === 'server' ? endedByServer : clientEnded;
    case 'server-ended':
      if (state.ended === 'client') return endedByClient;
      return repeat(state, event, 'server') ?? serverEnded;
    case 'answered':
      return state.repeat === null ? stay(state) : answered;
    case 'client-reset':
      return endSession('reset', state.ended === 'server' ? 'server' : 'client-reset');
    case 'server-reset':
      // A server that ended before has said all it had to say; its late reset must not cost the client the last words.
      if (state.ended === 'server') return endSession('cut', 'server');
      return repeat(state, event, 'server-reset') ?? endSession('reset', 'server-reset');
    case 'evicted':
      if (serverTaken.has(event.reason)) {
        const again = repeat(state, event, event.reason);
        if (again !== null) return again;
      }
      return endSession(gentle.has(event.reason) ? 'end' : 'cut', event.reason);
    case 'shutdown':
    case 'connected':
    case 'connect-failed':
    case 'snapshot-changed':
      return stay(state);
    default:
      return illegal(state, event);
  }
}

function inRefusing(state: In<'refusing'>, event: SessionEvent, rules: SessionRules): Step {
  switch (event.kind) {
    case 'received': {
      const bytes = concat(state.bytes, event.bytes);
      return answer({ ...state, bytes }, event.at, rules, nothing);
    }
    case 'deadline':
      return close(deadlineMode(rules), { kind: 'rejected', reason: state.reason });
    case 'client-reset':
      return close('reset', { kind: 'rejected', reason: state.reason });
    case 'client-ended':
      return close('end', { kind: 'rejected', reason: state.reason });
    case 'shutdown':
    case 'connected':
    case 'connect-failed':
    case 'snapshot-changed':
      return stay(state);
    default:
      return illegal(state, event);
  }
}

/** A connection that is merely open is no fault of a client that need not speak yet: it ends as servers end an idle one. */
function deadlineMode({ protocol }: SessionRules): CloseMode {
  return protocolTraits[protocol].refusal === 'after-first-bytes' ? 'end' : 'reset';
}

function inCancelling(state: In<'cancelling'>, event: SessionEvent): Step {
  switch (event.kind) {
    case 'cancel-done':
      return close('end', { kind: 'cancel' });
    case 'deadline':
      return close('reset', { kind: 'cancel' });
    // Some clients don't wait for the end of their request; it is carried out all the same.
    case 'received':
    case 'client-ended':
    case 'client-reset':
    case 'shutdown':
    case 'connected':
    case 'connect-failed':
    case 'snapshot-changed':
      return stay(state);
    default:
      return illegal(state, event);
  }
}

function endSession(mode: CloseMode, reason: CloseReason): Step {
  return close(mode, { kind: 'session', reason });
}

/** More bytes from a client that has no server yet: kept for it, up to the limit. */
function withMore(state: In<'holding'> | In<'dialing'>, bytes: Uint8Array): Step {
  const { waiting, filled } = received(state.waiting, bytes);
  return { state: { ...state, waiting }, actions: filled ? [stopReading] : nothing };
}
