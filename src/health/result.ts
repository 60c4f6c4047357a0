// What a probe found: the taxonomy of results by layer, and the facts a server told of itself.
// Not health (that is the reducer in state.ts) and not a decision (topology/elect.ts). Read by everything downstream.

import { type Address } from '../core/address.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { type GtidSet } from '../protocol/mysql/gtid.ts';

/**
 * Codes by layer, in HAProxy's manner: L4 the connection, L6 TLS, L7 the protocol.
 * `outcome` says what a code counts as: `fail` counts towards `fall`; `inconclusive` proves neither life nor death
 * of the service (safety rule 7: busy isn't dead) and moves no counter, but no new client is sent there meanwhile.
 */
export const checkCodes = {
  L7OK: { outcome: 'pass', means: 'the server answered as it should, a database with its role' },
  L4OK: { outcome: 'pass', means: 'the server accepted the connection; nothing was asked' },
  L4CON: { outcome: 'fail', means: 'the connection was refused or the host is unreachable' },
  L4TOUT: { outcome: 'fail', means: 'the connection was not established in time' },
  L4LOST: { outcome: 'fail', means: 'an established probe session was closed or reset by the server' },
  L4DNS: { outcome: 'fail', means: 'the server name could not be resolved' },
  L4SYS: {
    outcome: 'inconclusive',
    means: 'this machine could not open a socket (descriptors, ports, memory)',
  },
  L6TOUT: { outcome: 'fail', means: 'the TLS handshake was not finished in time' },
  L6RSP: { outcome: 'inconclusive', means: 'TLS failed: refused, or a certificate that does not verify' },
  L7TOUT: { outcome: 'fail', means: 'the server accepted the connection but did not answer in time' },
  L7HUNG: { outcome: 'fail', means: 'an open session still answers, but new connections are not served' },
  L7RSP: { outcome: 'fail', means: 'the answer is not of this protocol' },
  L7BUSY: {
    outcome: 'inconclusive',
    means: 'no free connection slot (PostgreSQL 53300, MySQL 1040, Redis “max number of clients reached”)',
  },
  L7START: {
    outcome: 'inconclusive',
    means: 'starting up, shutting down or in crash recovery (PostgreSQL 57P03, MySQL 1053, Redis LOADING)',
  },
  L7BLOCK: {
    outcome: 'inconclusive',
    means: 'the server has blocked this host after too many connection errors (MySQL 1129)',
  },
  L7AUTH: { outcome: 'inconclusive', means: 'the probe user was not let in' },
  L7DB: { outcome: 'inconclusive', means: 'the database to ask in does not exist' },
  L7STS: { outcome: 'inconclusive', means: 'the server answered the question with an error' },
  L7HTTP: { outcome: 'fail', means: 'an HTTP answer of another status or content than expected' },
  L7REST: {
    outcome: 'inconclusive',
    means: 'the server answered, but the REST API that must confirm it (Patroni’s) did not',
  },
} as const;

export type CheckCode = keyof typeof checkCodes;
export type Outcome = 'pass' | 'fail' | 'inconclusive';
export type Role = 'primary' | 'replica' | 'unknown';

/** What a server says of itself. `null` where it can't say: never a made-up zero. */
export interface ServerFacts {
  readonly role: Role;
  /** Takes writes from an ordinary session right now. */
  readonly writable: boolean;
  /** Server version as the server writes it, such as `15.18`. */
  readonly version: string | null;
  /** Identity of the data set (PostgreSQL system identifier): differs between unrelated clusters. */
  readonly systemId: string | null;
  /** PostgreSQL timeline: grows by one at each promotion. */
  readonly timeline: number | null;
  /** Write position (primary) or replay position (replica) as the server writes it, such as `0/3000148`. */
  readonly position: string | null;
  /** How far a replica is behind, in seconds; 0 when it has replayed all it received, `null` on a primary or when it doesn't replicate. */
  readonly lagSeconds: number | null;
  /** A replica that receives from an upstream now; `null` on a primary. */
  readonly replicating: boolean | null;
  /** Whom a replica follows, `host:port` as the replica names it. */
  readonly upstream: string | null;
  /** Replication from each source, as MySQL tells it; empty where there is none, or it isn't told. */
  readonly channels: readonly ReplicationChannel[];
  /** The probe user may not see replication: that `channels` is empty says nothing. */
  readonly channelsHidden?: boolean;
  /** What it has of the service's transactions, to be measured against its peers'. PostgreSQL tells that by timelines. */
  readonly history: History | null;
  /** Of PostgreSQL: what a failover may have lost is told by it. */
  readonly wal: WalFacts | null;
}

/** What a PostgreSQL server tells of its write-ahead log beside its position. */
export interface WalFacts {
  /**
   * Where the log ended that it replayed last: of a promoted server where it left the log of its old primary, of one that
   * crashed what it still had. `null` in recovery, and when there was none since it was started.
   */
  readonly recoveredTo: string | null;
  /** `synchronous_standby_names`: empty when no commit waits for a standby. */
  readonly synchronousNames: string;
  /** `synchronous_commit` of an ordinary session. */
  readonly synchronousCommit: string;
  /** Its standbys now, while commits wait for some; `null` when they don't, or where the probe user may not see it. */
  readonly standbys: readonly Standby[] | null;
  /** The name under which its primary knows a standby; `null` while it receives nothing, or where it is hidden. */
  readonly standbyName: string | null;
}

export interface Standby {
  readonly name: string;
  /** A commit waits for it: `sync` or `quorum`. */
  readonly synchronous: boolean;
}

/** One source that a MySQL or MariaDB server replicates from. */
export interface ReplicationChannel {
  /** Empty for the one that has no name. */
  readonly name: string;
  /** `host:port` as the server names it. */
  readonly source: string;
  /** The receiving thread is connected; `connecting` while it tries to be (a source that is away is no fault of ours). */
  readonly receiving: 'yes' | 'connecting' | 'no';
  /** The applying thread runs. */
  readonly applying: boolean;
  /** All that was received is applied; `null` where it can't be told. */
  readonly caughtUp: boolean | null;
  readonly lagSeconds: number | null;
  /** The last error of each thread, as the server writes it; `null` for none. */
  readonly receiveError: ReplicationError | null;
  readonly applyError: ReplicationError | null;
}

export interface ReplicationError {
  readonly errno: number;
  readonly message: string;
}

export type { GtidSet };

export type History =
  | {
      readonly kind: 'gtid';
      readonly flavor: 'mariadb' | 'mysql';
      readonly transactions: GtidSet;
      /** Whose own transactions are its own: the server id of MariaDB, the UUID of MySQL; left out where it isn't known. */
      readonly own?: string;
      /** The operator's own SQL makes it the primary, and it replicates from nobody: its peers may be kept equal by other means. */
      readonly apart?: true;
    }
  | {
      readonly kind: 'redis';
      readonly replicationId: string;
      readonly offset: number;
      /** The history before the last promotion, and the offset up to which it is shared; `null` for none. */
      readonly previous: { readonly replicationId: string; readonly until: number } | null;
      /** Of the process: another one after every start. */
      readonly runId: string;
    };

/** Facts of a server that said nothing; probers fill in what theirs told. */
export const nothingTold: ServerFacts = Object.freeze({
  role: 'unknown',
  writable: false,
  version: null,
  systemId: null,
  timeline: null,
  position: null,
  lagSeconds: null,
  replicating: null,
  upstream: null,
  channels: Object.freeze([]),
  history: null,
  wal: null,
});

interface ResultBase {
  /** When the answer (or its absence) was known. */
  readonly at: MonotonicMs;
  /** The same moment for people: milliseconds since the epoch. */
  readonly wallAt: number;
  readonly durationMs: number;
  /** One sentence for people: the server's own words where there are any. Never a secret. */
  readonly detail: string;
}

/** Codes that come with facts: `L7OK` with what the server told, `L4OK` with the knowledge that nothing was told. */
export type PassCode = 'L7OK' | 'L4OK';
export type FailureCode = Exclude<CheckCode, PassCode>;

export type PassedResult = ResultBase & { readonly code: PassCode; readonly facts: ServerFacts };
export type ProbeResult = PassedResult | (ResultBase & { readonly code: FailureCode });

export function outcomeOf(result: ProbeResult): Outcome {
  return checkCodes[result.code].outcome;
}

/** Whether a result, or a prober's answer, is one of success: it has facts. */
export function hasPassed<T extends { readonly code: CheckCode }>(
  result: T,
): result is T & { readonly code: PassCode } {
  return checkCodes[result.code].outcome === 'pass';
}

/** The facts of a result, or `null` when it has none. */
export function factsOf(result: ProbeResult | null): ServerFacts | null {
  return result !== null && hasPassed(result) ? result.facts : null;
}

/** What a Sentinel says of the service it watches. */
export interface SentinelAnswer {
  /** The address it gives to clients. */
  readonly primary: Address;
  /** Which of the failovers it has heard of was the last; grows with each. */
  readonly configEpoch: number;
  /** The process it has seen there last; `null` before it has. */
  readonly runId: string | null;
  /** It can't reach the primary, or is replacing it. */
  readonly doubts: boolean;
  readonly replicas: readonly Address[];
}

/** What one Patroni says of its cluster (`GET /cluster`), read from its store when it was asked. */
export interface PatroniAnswer {
  /** Name of the member that holds the leader's lock; `null`: nobody does. */
  readonly leader: string | null;
  /** The leader follows a cluster elsewhere: it is a replica too. */
  readonly standbyCluster: boolean;
  /** Patroni watches and does nothing by itself. */
  readonly paused: boolean;
  readonly members: readonly PatroniMember[];
}

export interface PatroniMember {
  readonly name: string;
  /** As the others reach its PostgreSQL; `null` before it has told. */
  readonly address: Address | null;
  /** `running`, `streaming`, `stopped`, `crashed` …: its own word, as old as its last turn (loop_wait). */
  readonly state: string;
  readonly timeline: number | null;
}

/** What the monitor of pg_auto_failover says of the nodes of one group; there is at least one. */
export interface PgafAnswer {
  readonly nodes: readonly PgafNode[];
}

export interface PgafNode {
  readonly name: string;
  /** As the monitor and the other nodes reach it. */
  readonly address: Address;
  /** The state that the node said last that it is in: a word of the state machine of pg_auto_failover. */
  readonly reported: string;
  /** The state that the monitor wants it to be in, and the node goes to when it hears of it. */
  readonly goal: string;
  /** What the monitor's own health checks say; `unknown` before the first one, and on monitors that don't tell. */
  readonly health: 'good' | 'bad' | 'unknown';
  readonly timeline: number | null;
  /** As the server writes it, when it reported last. */
  readonly position: string | null;
}

/** What DNS says of a name, or of the servers listed under it. */
export type DnsAnswer =
  | {
      readonly kind: 'found';
      readonly records: readonly DnsRecord[];
      /** How long that may be kept; `null` where it isn't told. */
      readonly ttlMs: number | null;
    }
  /** `none`: it says that there is no such name, or nothing under it. `failed`: it says nothing. */
  | { readonly kind: 'none' | 'failed'; readonly detail: string };

export interface DnsRecord {
  /** Whose address it is: the name that was asked for, or the target of an SRV record. */
  readonly name: string;
  /** An IP address. */
  readonly host: string;
  /** Of an SRV record. */
  readonly port: number | null;
}
