// The shapes of the one source of truth: frozen views of servers and backends, replaced as a whole on any change.
// No decisions here. Made by topology.ts; read by the proxy, the metrics and the API.

import { type Address } from '../core/address.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { type Directive } from './directive.ts';
import {
  type CircuitBreakerConfig,
  type Protocol,
  type SendProxy,
  type SurgeConfig,
} from '../config/schema.ts';
import { type HealthState } from '../health/state.ts';
import { type PassedResult, type ProbeResult } from '../health/result.ts';

export interface ServerView {
  readonly name: string;
  /** Where it is probed and dialed: its host is an IP address, or `host` itself while that has none. */
  readonly address: Address;
  /** The name that stands for the host; `null`: none, it is known by its address. */
  readonly host: string | null;
  readonly health: HealthState;
  /** The newest probe result, whatever its outcome; `null` before the first. */
  readonly result: ProbeResult | null;
  /** The newest result that carried facts: what the server last said of itself, for people and for evidence. */
  readonly lastAnswer: PassedResult | null;
  /** Since when it has been up without a break, `-Infinity` if it was when it was first asked; `null` while it isn't. */
  readonly upSince: MonotonicMs | null;
  /** Since when it has said without contradiction that it is a primary and writable; a missed answer is no contradiction. */
  readonly writableSince: MonotonicMs | null;
  /** Against the weights of the others, where there is a choice. */
  readonly weight: number;
  /** Where it stands, in the operator's words; `null`: nowhere in particular. */
  readonly zone: string | null;
  /** Gets readers only while nobody else can. */
  readonly backup: boolean;
  readonly standing: Standing;
  /** Connections of clients that it may have at once; `null`: any number. */
  readonly maxConnections: number | null;
  readonly admin: AdminState;
}

/** How it stands as one to read from, after its newest answer (standing.ts). A primary has no such standing. */
export interface Standing {
  /** Bytes of the log that the primary has told of and this one hasn't replayed; `null` where that can't be told. */
  readonly lagBytes: number | null;
  /** The limits of frontends that it went beyond, and has not come clearly below since. */
  readonly beyond: readonly string[];
  /**
   * Whether every commit waits for it. `quorum`: commits wait for some of several, and nobody knows which. `hidden`: the probe
   * user may not see it. `unknown`: there is no primary to tell. `null`: nobody asked.
   */
  readonly synchronous: 'yes' | 'no' | 'quorum' | 'hidden' | 'unknown' | null;
  /** The newest lag that it told while it replicated, and when. */
  readonly told: { readonly at: MonotonicMs; readonly seconds: number } | null;
}

/**
 * What an operator decided about a server: neither health nor role. `drain`: no new sessions, those it has go on;
 * `maintenance`: no sessions at all, and it is elected by nobody.
 */
export const adminStates = ['ready', 'drain', 'maintenance'] as const;
export type AdminState = (typeof adminStates)[number];

/** Something wrong between servers that are up and take clients: broken replication, histories that went apart. */
export interface Fault {
  readonly server: string;
  /** Stable, for alert rules: `sql-stopped`, `gtid-order`, `diverged` … */
  readonly code: string;
  /** One sentence for people. */
  readonly what: string;
  /** Statements that mend it, in order, each with the server to run it on; empty where only a person can decide. */
  readonly mend: readonly { readonly server: string; readonly statement: string }[];
}

/** A server as somebody else knows it: by address, or by the name that a server of ours may have too. */
export interface Nominee {
  readonly address: Address;
  readonly name: string | null;
}

/** What an orchestrator, such as a quorum of Sentinels or Patroni, says of who the primary is. */
export interface Opinion {
  /** Who says what, as a clause: `2 of 3 Sentinels name 10.0.0.1:6379`, `Patroni names nobody`. */
  readonly words: string;
  /** `null`: it answers, and for it nobody is the primary now. */
  readonly primary: Nominee | null;
  /** Those that must not be the primary now, such as one that is being demoted. */
  readonly against: readonly Nominee[];
  /** The process that all of them have seen there, when none doubts it; `null` otherwise. A restart makes it another. */
  readonly process: string | null;
  /** It doesn't act now (paused, in maintenance): what it says is shown, and forbids nothing. */
  readonly passive: boolean;
  readonly at: MonotonicMs;
}

export interface BackendView {
  readonly name: string;
  readonly protocol: Protocol;
  readonly servers: readonly ServerView[];
  /** The elected primary; always `null` where servers have no roles. It stays elected through a doubt (a missed probe), so ask `acceptsWrites` before routing. */
  readonly primary: string | null;
  /** Grows by one at every change of `primary`; never falls. */
  readonly epoch: number;
  /** Several servers claim to be writable. */
  readonly splitBrain: boolean;
  readonly faults: readonly Fault[];
  /** Who is asked beside the servers, as `Patroni`; `null`: nobody. */
  readonly orchestrator: string | null;
  /** `null`: there is no orchestrator, or it is silent. */
  readonly opinion: Opinion | null;
  /** What a runbook says of who may be the primary; `null`: nothing. */
  readonly directive: Directive | null;
  /** Why new clients of the primary wait though it may be well, as a sentence: a runbook is about to move it. `null`: they don't. */
  readonly held: string | null;
  /** What somebody should look at by what those who are asked beside the servers say, in sentences. */
  readonly notes: readonly string[];
  /** Where the orchestrator and the servers themselves say different things, as a sentence. */
  readonly disagreement: string | null;
  /** Why the primary is what it is, in sentences for people. */
  readonly reasons: readonly string[];
  /** A result older than this proves nothing (safety rule 1). */
  readonly freshnessMs: number;
  /** A server that came up takes this long to grow to its share; 0: at once. */
  readonly slowStartMs: number;
  /** When a server that clients can't be connected to is left alone; `null`: never. */
  readonly circuitBreaker: CircuitBreakerConfig | null;
  /** At what pace a new primary gets clients; `null`: that of logins (decision 4). */
  readonly surge: SurgeConfig | null;
  /** The PROXY header that connections to its servers begin with; `null`: none. */
  readonly sendProxy: SendProxy | null;
}

/** Every way in which others may write where a server is: its address, and the name that stands for it. */
export function addressesOf({
  address,
  host = null,
}: Pick<ServerView, 'address'> & Partial<Pick<ServerView, 'host'>>): readonly Address[] {
  return host === null ? [address] : [address, { host, port: address.port }];
}

/** Whether its name stands for no address now: such a server is neither probed nor dialed. */
export function isNowhere({ address, host }: Pick<ServerView, 'address' | 'host'>): boolean {
  return address.host === host;
}

/**
 * Whether the servers of a protocol are primaries and replicas. Where they aren't, there never is a primary, and nothing
 * is wrong with that.
 */
export function hasRoles(protocol: Protocol): boolean {
  return protocol !== 'tcp' && protocol !== 'http';
}

/** What changed, with the view after it; published in the order of happening. */
export interface BackendChange {
  readonly before: BackendView;
  readonly after: BackendView;
  readonly at: MonotonicMs;
}

/** Whether a result is young enough to be evidence (safety rule 1). */
export function isFresh(result: ProbeResult | null, now: MonotonicMs, freshnessMs: number): boolean {
  return result !== null && now - result.at <= freshnessMs;
}
