// The beginning of a connection that comes through a trusted proxy: its PROXY header is read before anything else, within a
// bound of bytes and of time, and says who the client is. Pure like session.ts, which calls it and goes on from there.

import { decodeProxyHeader } from '../protocol/proxy-protocol/decode.ts';
import { type SessionEvent } from './session-model.ts';
import { close, concat, illegal, noDeadline, nothing, stay, type In, type Step } from './session-moves.ts';

const noHeader = close('reset', { kind: 'rejected', reason: 'bad-proxy-header' });

export function inAnnouncing(state: In<'announcing'>, event: SessionEvent): Step {
  switch (event.kind) {
    case 'received':
      return read(concat(state.bytes, event.bytes));
    case 'deadline':
      return noHeader;
    case 'client-ended':
      // A proxy that looks whether somebody accepts here: nobody is turned away.
      return close('end', { kind: 'left' });
    case 'client-reset':
      return close('reset', { kind: 'left' });
    case 'shutdown':
      return close('reset', { kind: 'rejected', reason: event.reason });
    case 'snapshot-changed':
      return stay(state);
    default:
      return illegal(state, event);
  }
}

function read(bytes: Uint8Array): Step {
  const header = decodeProxyHeader(bytes);
  if (header.kind === 'need') return { state: { kind: 'announcing', bytes }, actions: nothing };
  if (header.kind === 'bad') return noHeader;
  const { value: announcement, consumed } = header;
  const rest = bytes.subarray(consumed);
  return {
    state: { kind: 'admitting', announcement, skipped: consumed, rest },
    actions: [noDeadline, { kind: 'admit', client: announcement.ends?.source ?? null }],
  };
}
