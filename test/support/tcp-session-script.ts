// Short words for sessions in tests: events by name, and actions as one line of text each, so that a case is a table row.

import { formatAddress } from '../../src/core/address.ts';
import { type Admission } from '../../src/proxy/admission.ts';
import { type CloseReason } from '../../src/proxy/events.ts';
import { type SessionAction, type SessionEvent, type SessionRules } from '../../src/proxy/session-model.ts';
import { newSession, step } from '../../src/proxy/session.ts';
import { type SessionState } from '../../src/proxy/session-model.ts';
import { type BackendView } from '../../src/topology/model.ts';
import { backend, fail, pass, passReplica, server } from './views.ts';

export const primaryRules: SessionRules = {
  protocol: 'postgres',
  route: 'primary',
  limits: [],
  synchronousOnly: false,
  holdMs: 30_000,
  connectTimeoutMs: 2000,
};

/** pg1 is the primary of epoch 1, pg2 its replica. */
export const pg1Leads = backend([server('pg1', pass()), server('pg2', passReplica())], {
  primary: 'pg1',
  epoch: 1,
});
/** The primary was just asked in vain: still elected, but no new client goes there. */
export const pg1Doubted = backend(
  [server('pg1', fail('L7TOUT'), { kind: 'up', fails: 1 }), server('pg2', passReplica())],
  { primary: 'pg1', epoch: 1 },
);
export const nobodyLeads = backend([server('pg1', fail()), server('pg2', passReplica())], {
  primary: null,
  epoch: 2,
});
export const pg2Leads = backend([server('pg1', fail()), server('pg2', pass())], { primary: 'pg2', epoch: 3 });

const answeredOf = { fromClient: 1, fromServer: 1 };

export const on = {
  accepted: (at = 0): SessionEvent => ({ kind: 'accepted', at, refuse: null, announces: false }),
  overLimit: (at = 0): SessionEvent => ({
    kind: 'accepted',
    at,
    refuse: 'max-connections',
    announces: false,
  }),
  proxyAccepted: (at = 0): SessionEvent => ({ kind: 'accepted', at, refuse: null, announces: true }),
  admitted: (admission: Admission, at = 0): SessionEvent => ({ kind: 'admitted', at, admission }),
  received: (bytes: Uint8Array, at = 0): SessionEvent => ({ kind: 'received', at, bytes }),
  candidates: (view: BackendView, names: readonly string[], at = 0): SessionEvent => ({
    kind: 'routed',
    at,
    decision: { kind: 'candidates', servers: view.servers.filter(({ name }) => names.includes(name)) },
    epoch: view.epoch,
  }),
  nobody: (view: BackendView, at = 0): SessionEvent => ({
    kind: 'routed',
    at,
    decision: { kind: 'hold' },
    epoch: view.epoch,
  }),
  changed: (view: BackendView, at = 0): SessionEvent => ({ kind: 'snapshot-changed', at, view }),
  connected: (dial: number, view: BackendView, at = 0): SessionEvent => ({
    kind: 'connected',
    at,
    dial,
    view,
  }),
  refused: (dial: number, at = 0): SessionEvent => ({ kind: 'connect-failed', at, dial, error: 'refused' }),
  noDescriptor: (dial: number, at = 0): SessionEvent => ({
    kind: 'connect-failed',
    at,
    dial,
    error: 'local',
  }),
  just: (
    kind:
      | 'hold-full'
      | 'released'
      | 'client-ended'
      | 'server-ended'
      | 'client-reset'
      | 'server-reset'
      | 'cancel-done'
      | 'answered'
      | 'deadline'
      | 'shutdown',
    at = 0,
  ): SessionEvent => {
    if (kind === 'shutdown') return { kind, at, reason: 'shutdown' };
    return kind === 'server-ended' || kind === 'server-reset' ? { kind, at, ...answeredOf } : { kind, at };
  },
  /** The server goes before it has said a word, when the client had sent `fromClient` bytes. */
  mute: (kind: 'server-ended' | 'server-reset', fromClient: number, at = 0): SessionEvent => ({
    kind,
    at,
    fromClient,
    fromServer: 0,
  }),
  evicted: (reason: CloseReason, { fromClient, fromServer } = answeredOf, at = 0): SessionEvent => ({
    kind: 'evicted',
    at,
    reason,
    fromClient,
    fromServer,
  }),
  demoted: (at = 0): SessionEvent => on.evicted('demotion', answeredOf, at),
  idle: (at = 0): SessionEvent => on.evicted('idle', answeredOf, at),
};

/** `dial 1 pg1`, `hold`, `unhold served 250`, `close cut session demotion`, … */
function told(action: SessionAction): string {
  switch (action.kind) {
    case 'admit':
      return `admit ${action.client === null ? 'nobody' : formatAddress(action.client)}`;
    case 'route':
      return action.waited ? 'route waited' : 'route';
    case 'hold':
      return ['hold', ...(action.again ? ['again'] : []), ...(action.pause ? ['pause'] : [])].join(' ');
    case 'unhold':
      return `unhold ${action.outcome} ${action.waitedMs}`;
    case 'dial':
      return `dial ${action.dial} ${action.target.name}`;
    case 'abort-dial':
      return `abort-dial ${action.dial}`;
    case 'answer':
      return `answer ${Buffer.from(action.bytes).toString('latin1')}`;
    case 'stop-reading':
      return 'stop-reading';
    case 'encrypt':
      return `encrypt ${action.heard.length}${action.direct ? ' direct' : ''}`;
    case 'relay':
      return `relay ${action.target.name} ${action.first.length}`;
    case 'unjoin':
      return `unjoin ${action.reason}`;
    case 'half-close':
      return `half-close ${action.side}`;
    case 'cancel':
      return `cancel ${action.pid}`;
    case 'deadline':
      return `deadline ${action.at ?? 'none'}`;
    case 'close': {
      const { outcome } = action;
      const reason = 'reason' in outcome ? ` ${outcome.reason}` : '';
      return `close ${action.mode} ${outcome.kind}${reason}`;
    }
  }
}

/** Plays the events and returns the actions after each. */
export function play(
  events: readonly SessionEvent[],
  rules: SessionRules = primaryRules,
): { state: SessionState; trace: readonly (readonly string[])[] } {
  let state = newSession;
  const trace = events.map(event => {
    const result = step(state, event, rules);
    state = result.state;
    return result.actions.map(told);
  });
  return { state, trace };
}
