// The vocabulary of a client connection: its states, what can happen to it, and what a driver has to do about it.
// No behaviour here: session.ts moves between the states, connection.ts turns what sockets do into events and actions
// into calls of a driver.

import { type Address } from '../core/address.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { type BackendView } from '../topology/model.ts';
import { type Announcement } from '../protocol/proxy-protocol/header.ts';
import { type Admission } from './admission.ts';
import { type CloseReason, type ConnectError, type HoldOutcome, type RejectReason } from './events.ts';
import { type Eligibility } from '../topology/eligibility.ts';
import { type RouteDecision } from './router.ts';

/** What a frontend's configuration means for one client. */
export interface SessionRules extends Eligibility {
  /** Decides what is read of the client, and what it can be told (protocols.ts). */
  readonly protocol: BackendView['protocol'];
  readonly holdMs: number;
  readonly connectTimeoutMs: number;
  /**
   * Left out: TLS is between client and server, and passes. Else it ends here: clients may or must speak it, or they are
   * told that there is none (`refuse`), since only the servers are spoken to in TLS.
   */
  readonly tls?: 'require' | 'allow' | 'refuse';
}

/** How a client opened the connection; the name of its first packet. */
export type Opening = 'startup' | 'ssl-request' | 'gssenc-request' | 'direct-tls';

/** What is known of a client until it has a server, and for as long as it may have to be given another. */
export interface Waiting {
  /** All bytes it has sent; a server gets them unchanged. */
  readonly bytes: Uint8Array;
  readonly opening: Opening | null;
  /** It sent more than HELD_CLIENT_MAX_BYTES and is no longer read. */
  readonly full: boolean;
  /** It has ended its half and waits for the answer; of protocols only that read first bytes. */
  readonly ended: boolean;
  /** When its wait began; null if it never had to wait. */
  readonly heldSince: MonotonicMs | null;
  /** Set when it first asked for a server. */
  readonly holdUntil: MonotonicMs | null;
  /** Connection attempts so far: also the number of the newest. */
  readonly dials: number;
  /** Why the newest attempt failed. */
  readonly lastError: ConnectError | null;
  /** What a proxy before us said of it; `null`: there is none. */
  readonly announced: Announcement | null;
  /** Bytes that it, or the proxy for it, sent before those: no server gets them. */
  readonly skipped: number;
  /** How often it may still go to another server after one that went without an answer. */
  readonly repeatsLeft: number;
  /** The servers that it may have had no room for it when it last asked. */
  readonly crowded: boolean;
}

/** What a dial needs of a `ServerView`; the rest of it ages. */
export interface Target {
  readonly name: string;
  readonly address: Address;
  /** The name that stands for the address, if there is one. */
  readonly host?: string | null;
}

export type SessionState =
  | { readonly kind: 'new' }
  /** Reading the header of a trusted proxy. */
  | { readonly kind: 'announcing'; readonly bytes: Uint8Array }
  /** Asked whether who was announced may come in; the answer comes at once. `rest`: what the client itself has sent. */
  | {
      readonly kind: 'admitting';
      readonly announcement: Announcement;
      readonly skipped: number;
      readonly rest: Uint8Array;
    }
  /** Reading the first packet. `secured`: within TLS that ends here. */
  | { readonly kind: 'greeting'; readonly waiting: Waiting; readonly secured: boolean }
  /** Reading what comes before TLS, or instead of it. `answers`: requests for encryption that were denied. */
  | {
      readonly kind: 'opening';
      readonly waiting: Waiting;
      readonly refused: RejectReason | null;
      readonly answers: number;
    }
  /** The handshake of TLS is under way. */
  | { readonly kind: 'encrypting'; readonly waiting: Waiting; readonly refused: RejectReason | null }
  /** Asked for candidates; the answer comes at once. */
  | { readonly kind: 'routing'; readonly waiting: Waiting }
  | { readonly kind: 'holding'; readonly waiting: Waiting }
  | {
      readonly kind: 'dialing';
      readonly waiting: Waiting;
      readonly candidates: readonly Target[];
      /** The candidate that is being dialed. */
      readonly index: number;
      /** Of the view the candidates came from: a new epoch makes them worthless to a primary route. */
      readonly epoch: number;
    }
  | {
      readonly kind: 'relaying';
      readonly ended: 'client' | 'server' | null;
      /** What it would go to another server with; null once that can't be: nothing is kept that isn't needed. */
      readonly repeat: Waiting | null;
    }
  /** Reading on until the answer can be given. `bytes` are those not understood yet. */
  | {
      readonly kind: 'refusing';
      readonly bytes: Uint8Array;
      readonly reason: RejectReason;
      readonly answered: number;
    }
  | { readonly kind: 'cancelling' }
  | { readonly kind: 'closed' };

/** How far a joined session has come: the bytes that each socket has read in its life. */
export interface Progress {
  readonly fromClient: number;
  readonly fromServer: number;
}

export type SessionEvent =
  /** `refuse`: the client is over a limit; it is read only to be told so. `announces`: a trusted proxy says first who it is. */
  | {
      readonly kind: 'accepted';
      readonly at: MonotonicMs;
      readonly refuse: RejectReason | null;
      readonly announces: boolean;
    }
  | { readonly kind: 'admitted'; readonly at: MonotonicMs; readonly admission: Admission }
  | { readonly kind: 'received'; readonly at: MonotonicMs; readonly bytes: Uint8Array }
  | {
      readonly kind: 'routed';
      readonly at: MonotonicMs;
      readonly decision: RouteDecision;
      readonly epoch: number;
    }
  /** The answer to `hold` when there is no room. */
  | { readonly kind: 'hold-full'; readonly at: MonotonicMs }
  /** Its turn in the hold has come. */
  | { readonly kind: 'released'; readonly at: MonotonicMs }
  | { readonly kind: 'snapshot-changed'; readonly at: MonotonicMs; readonly view: BackendView }
  | {
      readonly kind: 'connected';
      readonly at: MonotonicMs;
      readonly dial: number;
      readonly view: BackendView;
    }
  | {
      readonly kind: 'connect-failed';
      readonly at: MonotonicMs;
      readonly dial: number;
      readonly error: ConnectError;
    }
  /** The answer to `dial` when the server has no room after all. */
  | { readonly kind: 'server-full'; readonly at: MonotonicMs; readonly dial: number }
  /** The peer ended its half (FIN); it may still read. */
  | { readonly kind: 'client-ended'; readonly at: MonotonicMs }
  | ({ readonly kind: 'server-ended'; readonly at: MonotonicMs } & Progress)
  | { readonly kind: 'client-reset'; readonly at: MonotonicMs }
  | ({ readonly kind: 'server-reset'; readonly at: MonotonicMs } & Progress)
  /** The server has said its first bytes. Told only where a request might be repeated. */
  | { readonly kind: 'answered'; readonly at: MonotonicMs }
  /** A joined session must leave its server for a reason of ours. */
  | ({ readonly kind: 'evicted'; readonly at: MonotonicMs; readonly reason: CloseReason } & Progress)
  /** Every server has closed its cancel connection. */
  | { readonly kind: 'cancel-done'; readonly at: MonotonicMs }
  /** The client is spoken to in TLS from here on. `trusted`: its certificate is good, or none is wanted of it. */
  | { readonly kind: 'encrypted'; readonly at: MonotonicMs; readonly trusted: boolean }
  | { readonly kind: 'encrypt-failed'; readonly at: MonotonicMs }
  /** The time set by the newest `deadline` action has come. */
  | { readonly kind: 'deadline'; readonly at: MonotonicMs }
  /** Nobody is served any more who isn't yet. */
  | {
      readonly kind: 'shutdown';
      readonly at: MonotonicMs;
      readonly reason: Extract<RejectReason, 'shutdown' | 'frontend-removed'>;
    };

/** What became of a client connection: told to the observer exactly once, when it closes. */
export type Outcome =
  | { readonly kind: 'session'; readonly reason: CloseReason }
  | { readonly kind: 'rejected'; readonly reason: RejectReason }
  | { readonly kind: 'cancel' }
  /** The client went before it had a server. */
  | { readonly kind: 'left' };

/**
 * How sockets are closed.
 * `answer`: write the refusal, then as `end`. `end`: FIN after what is already written, to both sides; read and drop
 * the rest within a bound. `cut`: reset the server at once, `end` the client. `reset`: reset both at once.
 */
export type CloseMode = 'answer' | 'end' | 'cut' | 'reset';

export type SessionAction =
  /** Take note of the client that was announced, if one was, and ask whether it may come in; answer with `admitted`. */
  | { readonly kind: 'admit'; readonly client: Address | null }
  /** Ask the router; answer with `routed`. `waited`: it has been in the hold, so it doesn't queue behind others again. */
  | { readonly kind: 'route'; readonly waited: boolean }
  /** `again`: give it back to the head of the hold. `pause`: every candidate refused, so nobody tries for a moment. */
  | { readonly kind: 'hold'; readonly again: boolean; readonly pause: boolean }
  /** Its wait is over; take it out of the hold, wherever it is there. */
  | { readonly kind: 'unhold'; readonly outcome: HoldOutcome; readonly waitedMs: number }
  | {
      readonly kind: 'dial';
      readonly dial: number;
      readonly target: Target;
      readonly timeoutMs: number;
      readonly announced: Announcement | null;
    }
  /** Close that connection whatever has become of it; its events count no more. */
  | { readonly kind: 'abort-dial'; readonly dial: number }
  /** Send to the client. */
  | { readonly kind: 'answer'; readonly bytes: Uint8Array }
  | { readonly kind: 'stop-reading' }
  /** TLS with the client from here on, as the server. `heard`: its beginning. `direct`: nobody asked for it before. */
  | { readonly kind: 'encrypt'; readonly heard: Uint8Array; readonly direct: boolean }
  /** Join client and server; `first` goes to the server before anything else. */
  | {
      readonly kind: 'relay';
      /** When it was found that the server may serve the client. */
      readonly at: MonotonicMs;
      readonly dial: number;
      readonly target: Target;
      readonly first: Uint8Array;
      readonly opening: Opening | null;
      readonly epoch: number;
    }
  /** Undoes `relay`: resets the server, for which this was no session, and reads the client for events again. */
  | { readonly kind: 'unjoin'; readonly reason: CloseReason }
  /** Pass the end of one half on, after all bytes. */
  | { readonly kind: 'half-close'; readonly side: 'client' | 'server' }
  | {
      readonly kind: 'cancel';
      readonly pid: number;
      readonly key: Uint8Array;
      readonly bytes: Uint8Array;
    }
  /** Replaces the time set before; null: none. */
  | { readonly kind: 'deadline'; readonly at: MonotonicMs | null }
  | { readonly kind: 'close'; readonly mode: CloseMode; readonly outcome: Outcome };
