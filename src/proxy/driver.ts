// What a driver is to the proxy: sockets that tell what happens to them and can be joined in pairs. Types only.
// Two drivers exist: drivers/net (node:net, everywhere) and drivers/kernel (Linux system calls in a worker thread).
// Used by frontend.ts and connection.ts, which know no more of sockets than this.

import { type Address } from '../core/address.ts';
import { type ConnectError } from './events.ts';
import { type LoginRules } from './mysql-login.ts';

/** Which end of a connection between a client and a server a socket leads to. */
export type Side = 'client' | 'server';

/** Who is told what a socket does. One owner may have a socket on each side. */
export interface SocketOwner {
  /** While the sockets aren't joined only. `bytes` may be used during the call only. */
  socketData(side: Side, bytes: Uint8Array): void;
  /** The peer ended its half (FIN), after all bytes. */
  socketEnded(side: Side): void;
  /** Reset, or broken otherwise. `socketClosed` follows. */
  socketFailed(side: Side): void;
  /** The last word of a socket, exactly once. */
  socketClosed(side: Side): void;
}

export interface TcpSocket {
  readonly bytesRead: number;
  /** Bytes the kernel has taken for the peer. */
  readonly bytesSent: number;
  /** Our end and the other, asked of the system; `null` once it is closed. */
  localAddress(): Address | null;
  peerAddress(): Address | null;
  /** Names the owner; of a client's socket this also starts the reading, though no call comes before this one returns. */
  attach(owner: SocketOwner, side: Side): void;
  /** Of a joined server's socket: whether bytes of the client went there after it last spoke, so that an answer may be due. */
  awaitsAnswer(): boolean;
  /** Called once the connection has lived for a moment: most are over before a dead peer could matter. */
  keepAlive(tcp: TcpOptions): void;
  /** Queues whatever the kernel doesn't take at once. */
  write(bytes: Uint8Array): void;
  /** Reads no more, until it is resumed, joined, parted or ended; of a joined one full buffers may end the pause too. */
  pause(): void;
  resume(): void;
  /** Undoes the joining for this socket. A client's is its owner's again, and may be joined once more; a server's is to be closed. */
  part(): void;
  /** FIN after everything written; the peer may go on. */
  end(): void;
  /**
   * As `end`, and the socket is closed when the peer ends too, at the latest after `boundMs`. What the peer sends
   * meanwhile is read and dropped: a close with unread input would reset, and cost the peer what it hasn't read yet.
   */
  endWithin(boundMs: number): void;
  /** RST at once, whatever waits to be written. The owner hears of nothing more but `socketClosed`. */
  reset(): void;
  /** Closes at once, in whichever way the system does. */
  destroy(): void;
}

export interface IncomingClient {
  readonly address: Address;
  readonly socket: TcpSocket;
}

export interface ListenerEvents {
  accepted(client: IncomingClient): void;
  /** Told at most once in ACCEPT_ERROR_INTERVAL_MS; `detail` says how many there were since. */
  acceptError(code: string, detail: string): void;
}

export interface Listener {
  /** The bound address: the port is the real one where the configured is 0. */
  readonly address: Address;
  /** How those that are accepted from now on behave on the wire. */
  keepAlive(tcp: TcpOptions): void;
  /** Of the sockets themselves, for whoever hands them to another process. */
  readonly descriptors: readonly number[];
  /** Stops accepting and lets go of the sockets, which other processes may have too. Accepted ones are their owner's and go on. */
  close(): void;
}

/** How connections of a frontend behave on the wire, on both sides. Times in whole seconds as the kernel has them. */
export interface TcpOptions {
  readonly keepaliveIdleSeconds: number;
  readonly keepaliveIntervalSeconds: number;
  readonly keepaliveCount: number;
  /** Unacknowledged for this long: the connection is given up (TCP_USER_TIMEOUT). 0: the kernel's own patience. */
  readonly userTimeoutMs: number;
}

export interface ListenRequest {
  readonly frontend: string;
  readonly bind: Address;
  readonly tcp: TcpOptions;
  /** Listening sockets that are open already, in place of new ones at `bind`. */
  readonly inherited: readonly InheritedSocket[];
}

export interface InheritedSocket {
  readonly fd: number;
  /** Whoever started us keeps it, and who waits in it when we end: systemd. */
  readonly isKept: boolean;
}

/** Those that were inherited for a frontend: handed out once, and then the receiver's to close. */
export type Inherited = (frontend: string, bind: Address) => readonly InheritedSocket[];

export const nothingInherited: Inherited = () => [];

/** A listening socket that this process has, by the frontend it is for. */
export interface ListeningSocket {
  readonly name: string;
  readonly fd: number;
  readonly address: Address;
}

/** What becomes of clients that have no server yet when no new ones are taken any more. */
export type Waiting = 'refuse' | 'serve';

export interface DialRequest {
  readonly address: Address;
  readonly timeoutMs: number;
  /** A PROXY header: the first bytes on the connection, sent as soon as it is made. A few hundred bytes at most. */
  readonly header?: Uint8Array;
  /** Connected is who has made a handshake of TLS. Left out: plain. Of drivers with `tls` only. */
  readonly secure?: SecureDial;
}

export interface SecureDial {
  readonly backend: string;
  /** The name that stands for the address, if there is one: what the certificate may have to carry. */
  readonly host: string | null;
  /** `asked`: in PostgreSQL's way. */
  readonly how: 'asked' | 'whole';
}

interface EncryptRequest {
  readonly socket: TcpSocket;
  readonly frontend: string;
  /** What the client has sent of its handshake already. */
  readonly heard: Uint8Array;
  /** The client didn't ask before. */
  readonly direct: boolean;
}

/** How a login begins whose TLS ends or begins here amid it. */
export interface LoginDial extends Omit<SecureDial, 'how'> {
  readonly frontend: string;
  readonly address: Address;
  readonly rules: LoginRules;
  /** The server broke the handshake off, or its certificate is no good. */
  failed(detail: string): void;
}

/** Told one of the two, once, unless the socket is closed before by us. */
interface EncryptEvents {
  /** `trusted`: the client's certificate is good, or none is wanted. */
  encrypted(trusted: boolean): void;
  /** The socket closes by itself. */
  failed(): void;
}

/** What only drivers have that speak TLS. */
export interface DriverTls {
  /** Makes a handshake on a client's socket, as the server. Its owner hears no data of it meanwhile, and clear text after. */
  encrypt(request: EncryptRequest, events: EncryptEvents): void;
  /** As `splice`, after a login of MySQL in whose midst TLS is begun. */
  join(pair: Splice, login: LoginDial): void;
}

export interface DialEvents {
  /** The receiver owns the socket from here on. */
  connected(socket: TcpSocket): void;
  failed(error: ConnectError, detail: string): void;
}

/** Sees the server's bytes before the client gets them; returns false when it wants no more. */
export type Tap = (chunk: Uint8Array) => boolean;

/** Changes the server's first bytes on their way; of drivers with `tls` only. */
export interface Rewrite {
  /** It has changed what it is for, and is to be taken off. */
  readonly done: boolean;
  push(chunk: Uint8Array): Uint8Array;
}

/** What is counted for every byte that passes; the sums of a whole frontend. */
export interface Traffic {
  bytesUp: number;
  bytesDown: number;
}

export interface Splice {
  readonly client: TcpSocket;
  readonly server: TcpSocket;
  /** Goes to the server before anything the client sends from now on. */
  readonly first: Uint8Array;
  readonly tap: Tap | null;
  readonly rewrite?: Rewrite | null;
  readonly traffic: Traffic;
}

export interface Driver {
  /** Left out: it serves no frontend with TLS, nor one of a backend with TLS. */
  readonly tls?: DriverTls;
  /** Rejects with BIND_FAILED, naming the frontend, the address and the reason. */
  listen(request: ListenRequest, events: ListenerEvents): Promise<Listener>;
  /** One attempt, told of exactly once. Returns how to abort it: after that no event comes; harmless once one has come. */
  dial(request: DialRequest, events: DialEvents): () => void;
  /**
   * Joins two sockets: bytes go both ways as fast as the slower side takes them. Ends and failures are the owners' to
   * act on.
   */
  splice(pair: Splice): void;
}
