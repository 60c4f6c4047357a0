// What the proxy tells the rest: one observer, called at each step of a client connection. app wires it to metrics,
// log and incidents. The proxy itself knows none of them.
import { type UnusedServer } from '../topology/unused.ts';
import { type Address } from '../core/address.ts';

/** Why a client was turned away before it had a server. */
export const rejectReasons = {
  'not-allowed': 'the client address is not in the allow list',
  denied: 'the client address is in the deny list',
  'untrusted-proxy': 'the peer is none of the proxies that clients come through here',
  'bad-proxy-header': 'the PROXY header of a trusted proxy was malformed, or did not come in time',
  'max-connections': 'the frontend holds max_connections clients',
  'max-connections-per-ip': 'the client’s address holds max_connections_per_ip connections',
  'rate-limit': 'the client’s address, or all clients together, came faster than rate_limit allows',
  'servers-full': 'every server had its max_connections, or was left alone by its circuit breaker',
  'hold-full': 'hold_max clients are waiting already',
  'hold-timeout': 'no server became available within hold',
  'no-server': 'no server is available and hold is 0',
  'first-bytes-timeout': 'the client sent nothing, or only a part of its first message',
  'bad-first-bytes': 'the first bytes are not of the frontend’s protocol',
  'connect-failed': 'every candidate server refused or timed out',
  descriptors: 'the process is out of file descriptors',
  'tls-required': 'the frontend serves clients in TLS only',
  'tls-handshake': 'the TLS handshake with the client failed',
  'tls-certificate': 'the client showed no certificate that is good here',
  shutdown: 'Pointsman is shutting down',
  'frontend-removed': 'a changed configuration took the frontend away, or gave it another protocol',
} as const;
export type RejectReason = keyof typeof rejectReasons;

/** Why a session (client and server joined) ended. */
export const closeReasons = {
  client: 'the client closed first',
  server: 'the server closed first',
  'client-reset': 'the client connection was reset',
  'server-reset': 'the server connection was reset',
  demotion: 'the server is no longer the primary',
  promotion: 'the replica became the primary',
  'server-down': 'the server was marked down',
  'server-left': 'the server is no longer a member of the backend',
  'backend-removed': 'a changed configuration has the backend no more, or with another protocol',
  switchover: 'a runbook moves the primary: closed between two transactions, or when drain_timeout was over',
  maintenance: 'an operator put the server in maintenance',
  operator: 'an operator closed it',
  'max-age': 'the session had reached its part of max_session_age',
  idle: 'no byte in either direction for idle_timeout',
  shutdown: 'Pointsman is shutting down',
  'worker-lost': 'the worker thread that carried it died',
} as const;
export type CloseReason = keyof typeof closeReasons;

/** Why a connection to a server could not be made, or was of no use. */
export const connectErrors = {
  refused: 'refused',
  timeout: 'not established within connect_timeout',
  unreachable: 'no route',
  local: 'this machine had no socket, port or memory for it',
  tls: 'the server speaks no TLS, broke the handshake off, or showed a certificate that is not good here',
  unanswered: 'connected, but the connection ended before an answer; the HTTP request was repeated',
  other: 'anything else',
} as const;
export type ConnectError = keyof typeof connectErrors;

/** How a wait for a server ended. */
export type HoldOutcome = 'served' | 'left' | 'expired' | 'closed';

export interface SessionEnd {
  readonly frontend: string;
  readonly backend: string;
  readonly server: string;
  readonly client: Address;
  readonly reason: CloseReason;
  /** Client to server, and server to client. */
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** From accept to the end; of it waiting for a server; and connecting to one. */
  readonly totalMs: number;
  readonly heldMs: number;
  readonly connectMs: number;
}

/** Sessions that ended with a worker: there is nobody left who knows more of them. */
export interface LostSessions {
  readonly frontend: string;
  readonly backend: string;
  readonly server: string;
  readonly sessions: number;
}

export interface ProxyObserver {
  accepted(frontend: string, count: number): void;
  /** `count`: of how many, since the last word of that reason, this client is the last; left out: it is the only one. */
  rejected(frontend: string, reason: RejectReason, client: Address, count?: number): void;
  held(frontend: string): void;
  /** `backend` so that an incident can count whom it made wait. */
  holdEnded(frontend: string, backend: string, waitedMs: number, outcome: HoldOutcome): void;
  connectFailed(backend: string, server: string, error: ConnectError, detail: string): void;
  connected(backend: string, server: string, connectMs: number): void;
  /** The circuit breaker of a server has opened (once more), or closed. */
  circuit(backend: string, server: string, isOpen: boolean): void;
  sessionEnded(end: SessionEnd): void;
  /** Sessions to one server closed together, because of a demotion or mark-down. */
  sessionsClosed(backend: string, server: string, reason: CloseReason, count: number): void;
  acceptError(frontend: string, code: string, detail: string): void;
}

/** Of the proxy with the threads it may run in. */
export interface EngineObserver extends ProxyObserver {
  workerLost(lost: readonly LostSessions[], detail: string): void;
  /** A worker works without an io_uring, though one was wanted. */
  withoutUring(reason: string): void;
}

/** What runs now, for metrics and the API: read, never kept. */
export interface FrontendGauge {
  readonly name: string;
  readonly bind: Address;
  readonly backend: string;
  readonly route: string;
  /** Client connections of any state, those joined to a server, and those waiting for one. */
  readonly connections: number;
  readonly sessions: number;
  readonly held: number;
  /** A client that came now would be given a server at once. */
  readonly available: boolean;
  /** The configuration has it no more: its port is closed, and its last sessions go on. */
  readonly leaving?: true;
  /** Servers that get no readers of it now, and why. */
  readonly unused: readonly UnusedServer[];
  /** Since start, open sessions included. */
  readonly bytesUp: number;
  readonly bytesDown: number;
}
