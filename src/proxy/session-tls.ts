// The beginning of a client connection where TLS ends at the frontend, or where only the servers are spoken to in TLS: who
// may go on in plain text, when the handshake begins, and what is refused. Pure like session.ts, which calls it.
// PostgreSQL asks for TLS in its first packet (documentation, 55.2.10 "SSL Session Encryption"), the others begin with it
// or not. MySQL asks amid its login, when it has a server already: that is mysql-login.ts's.

import { type FrontendConfig } from '../config/schema.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { FIRST_BYTES_TIMEOUT_MS } from '../core/limits.ts';
import { ACCEPT_TLS, decodeFirstPacket, REFUSE_ENCRYPTION } from '../protocol/postgres/startup.ts';
import { ENCRYPTION_REFUSALS_MAX } from './bounds.ts';
import { type ConnectionHost } from './connection-host.ts';
import { type RejectReason } from './events.ts';
import { protocolTraits } from './protocols.ts';
import { type SessionAction, type SessionEvent, type SessionRules, type Waiting } from './session-model.ts';
import {
  cancel,
  close,
  illegal,
  late,
  noDeadline,
  nothing,
  refuse,
  route,
  stay,
  TLS_HANDSHAKE,
  type In,
  type Step,
} from './session-moves.ts';

const noBytes = new Uint8Array(0);
const handshakeFailed = close('reset', { kind: 'rejected', reason: 'tls-handshake' });

/** What the configuration of a frontend means for the TLS of its sessions. */
export function tlsTerms(
  { tls, serversSpeakTls }: Pick<FrontendConfig, 'tls' | 'serversSpeakTls'>,
  protocol: SessionRules['protocol'],
): Pick<ConnectionHost<never>, 'secure' | 'login'> & { readonly rule: Pick<SessionRules, 'tls'> } {
  const { tls: way } = protocolTraits[protocol];
  const client = tls?.mode ?? (serversSpeakTls ? 'refuse' : null);
  return {
    rule: client === null ? {} : { tls: client },
    secure: serversSpeakTls && way !== 'amid' ? way : null,
    login: client !== null && way === 'amid' ? { client, server: serversSpeakTls } : null,
  };
}

/** Whether the first bytes of a client are looked at for TLS. Not where it comes amid the login, nor where all passes. */
export function looksForTls({ tls, protocol }: SessionRules): boolean {
  if (tls === undefined) return false;
  const { tls: kind } = protocolTraits[protocol];
  return kind === 'asked' || (kind === 'whole' && tls !== 'refuse');
}

/** The first step of a client whose first bytes are looked at. `refused`: it is only heard to be told why not. */
export function beginWithTls(
  waiting: Waiting,
  refused: RejectReason | null,
  at: MonotonicMs,
  rules: SessionRules,
): Step {
  const deadline: SessionAction = { kind: 'deadline', at: at + FIRST_BYTES_TIMEOUT_MS };
  if (protocolTraits[rules.protocol].tls === 'whole' && rules.tls === 'require') {
    return encrypt(waiting, waiting.bytes, false, refused, [deadline]);
  }
  const state: In<'opening'> = { kind: 'opening', waiting, refused, answers: 0 };
  if (waiting.bytes.length === 0) return { state, actions: [deadline] };
  // What came behind a PROXY header is here already.
  const next = inOpening(state, { kind: 'received', at, bytes: noBytes }, rules);
  return { ...next, actions: [deadline, ...next.actions] };
}

/** `heard`: what the client has sent of its handshake already. */
function encrypt(
  waiting: Waiting,
  heard: Uint8Array,
  direct: boolean,
  refused: RejectReason | null,
  before: readonly SessionAction[],
): Step {
  return {
    // What is read within is counted from here on.
    state: { kind: 'encrypting', waiting: { ...waiting, bytes: noBytes, skipped: 0 }, refused },
    actions: [...before, { kind: 'encrypt', heard, direct }],
  };
}

/** Its bytes are added to `waiting` by session.ts. */
export function inOpening(state: In<'opening'>, event: SessionEvent, rules: SessionRules): Step {
  switch (event.kind) {
    case 'received':
      return protocolTraits[rules.protocol].tls === 'asked'
        ? openPostgres(state, event.at, rules, nothing)
        : openWhole(state, event.at, rules);
    case 'client-ended':
      return close('end', { kind: 'left' });
    case 'client-reset':
      return close('reset', { kind: 'left' });
    case 'deadline':
      // Silent for so long, it is no TLS client: those speak first.
      if (protocolTraits[rules.protocol].tls === 'whole') return goOn(state, event.at, rules);
      return close('reset', { kind: 'rejected', reason: 'first-bytes-timeout' });
    case 'shutdown':
      return refuse(state.waiting, 'shutdown', event.at, rules);
    default:
      return late(state, event, state.waiting);
  }
}

/** Only where plain clients are allowed: the first byte tells. */
function openWhole(state: In<'opening'>, at: MonotonicMs, rules: SessionRules): Step {
  const { waiting, refused } = state;
  if (waiting.bytes[0] === TLS_HANDSHAKE) return encrypt(waiting, waiting.bytes, false, refused, nothing);
  return goOn(state, at, rules);
}

function goOn({ waiting, refused }: In<'opening'>, at: MonotonicMs, rules: SessionRules): Step {
  return refused === null ? route(waiting, [noDeadline]) : refuse(waiting, refused, at, rules);
}

function openPostgres(
  state: In<'opening'>,
  at: MonotonicMs,
  rules: SessionRules,
  before: readonly SessionAction[],
): Step {
  const { waiting, refused, answers } = state;
  const packet = decodeFirstPacket(waiting.bytes);
  const bad = close('reset', { kind: 'rejected', reason: 'bad-first-bytes' }, before);
  if (packet.kind === 'need') return { state, actions: before };
  if (packet.kind === 'bad') return bad;
  const { value, consumed } = packet;
  const rest = waiting.bytes.subarray(consumed);
  const ends = rules.tls === 'require' || rules.tls === 'allow';
  switch (value.kind) {
    case 'cancel':
      return cancel(value.pid, value.key, waiting.bytes.subarray(0, consumed), at, before);
    case 'startup': {
      if (refused !== null) return refuse(waiting, refused, at, rules, before);
      if (rules.tls === 'require') return refuse(waiting, 'tls-required', at, rules, before);
      return route({ ...waiting, opening: 'startup' }, [...before, noDeadline]);
    }
    case 'direct-tls':
      return ends ? encrypt(waiting, waiting.bytes, true, refused, before) : bad;
    case 'ssl-request':
    case 'gssenc-request':
      if (value.kind === 'ssl-request' && ends) {
        // What stands behind the request was sent in the clear: it must not pass for what comes encrypted.
        if (rest.length > 0) return bad;
        return encrypt(waiting, noBytes, false, refused, [...before, { kind: 'answer', bytes: ACCEPT_TLS }]);
      }
      if (answers === ENCRYPTION_REFUSALS_MAX) return bad;
      return openPostgres(
        { ...state, waiting: { ...waiting, bytes: rest }, answers: answers + 1 },
        at,
        rules,
        [...before, { kind: 'answer', bytes: REFUSE_ENCRYPTION }],
      );
  }
}

/** The newest deadline still runs: the handshake has the same time as the first bytes, together with them. */
export function inEncrypting(state: In<'encrypting'>, event: SessionEvent, rules: SessionRules): Step {
  const { waiting, refused } = state;
  switch (event.kind) {
    case 'encrypted': {
      const reason = refused ?? (event.trusted ? null : 'tls-certificate');
      if (reason !== null) return refuse(waiting, reason, event.at, rules);
      if (protocolTraits[rules.protocol].reads !== 'nothing') {
        return { state: { kind: 'greeting', waiting, secured: true }, actions: nothing };
      }
      return route(waiting, [noDeadline]);
    }
    case 'encrypt-failed':
    case 'deadline':
    case 'client-ended':
    case 'client-reset':
      return handshakeFailed;
    case 'shutdown':
      return close('reset', { kind: 'rejected', reason: 'shutdown' });
    case 'received':
      return illegal(state, event);
    case 'snapshot-changed':
      return stay(state);
    default:
      return late(state, event, waiting);
  }
}
