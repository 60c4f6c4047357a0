// What a backend goes on from after a restart: which member is the primary of before, what its elector remembers, what
// operators had decided; and what of it is to be saved again. No file and no clock. Owned by topology.ts, one per backend.

import { isIpAddress } from '../config/addresses.ts';
import { readHostPort } from '../config/units.ts';
import { formatAddress } from '../core/address.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { type Past } from './elector.ts';
import { type AdminState, type BackendView, type ServerView } from './model.ts';
import { type SavedBackend, type SavedServer } from './saved.ts';

/** A server as the configuration, or whoever tells the members, has it. */
type Known = Pick<ServerView, 'name' | 'address'> & { readonly host?: string | null };

/** What must be known of a backend to find its servers again. */
interface Spec {
  readonly protocol: SavedBackend['protocol'];
  readonly servers: readonly Known[];
  /** Learned members: a name may be another server's after a restart, only the address tells. */
  readonly slots?: readonly string[];
}

export class Resumption {
  /** What the elector goes on from; `null`: nothing is remembered. */
  readonly past: Past | null;
  #spec: Spec;
  readonly #saved: SavedBackend | null;
  readonly #decisions: Map<string, AdminState>;
  #isAwaited: boolean;

  constructor(spec: Spec, saved: SavedBackend | null, now: MonotonicMs) {
    this.#spec = spec;
    this.#saved = saved;
    const isOurs = saved !== null && saved.protocol === spec.protocol;
    const decided = [...(saved?.servers ?? [])].filter(([, { admin }]) => admin !== 'ready');
    this.#decisions = new Map(
      decided.map(([name, { address, admin }]) => [this.#isLearned ? address : name, admin]),
    );
    this.past =
      isOurs && saved.memory !== null
        ? { memory: saved.memory, now, isSame: name => this.#isSame(name) }
        : null;
    const mayCome = this.#isLearned || spec.servers.some(server => this.#wasPrimary(server));
    this.#isAwaited = isOurs && saved.primary !== null && mayCome;
  }

  /** Of a backend that learns its members: those of before, until it is told others. The teller may be away. */
  get members(): readonly Pick<ServerView, 'name' | 'address'>[] {
    const { slots = [], protocol } = this.#spec;
    const before = this.#saved?.protocol === protocol ? [...this.#saved.servers] : [];
    return before.flatMap(([name, { address: text }]) => {
      const read = readHostPort(text);
      return read.ok && isIpAddress(read.value.host) && slots.includes(name)
        ? [{ name, address: read.value }]
        : [];
    });
  }

  /** The configuration was changed: what is saved from now on is of these servers. */
  follow(spec: Spec): void {
    this.#spec = spec;
  }

  get epoch(): number {
    return this.#saved?.epoch ?? 0;
  }

  get since(): number | null {
    return this.#saved?.since ?? null;
  }

  /** Which of them was the primary before, until somebody has been the primary since. */
  primaryAmong(servers: readonly Known[]): string | null {
    return (this.#isAwaited && servers.find(server => this.#wasPrimary(server))?.name) || null;
  }

  /** There is a primary again, or the one of before was found and is lost. */
  endWaiting(): void {
    this.#isAwaited = false;
  }

  /** What an operator had decided about a server that is new here; once. */
  takeDecision(server: Known): AdminState | undefined {
    const key = this.#isLearned ? this.#addressOf(server) : server.name;
    const admin = this.#decisions.get(key);
    this.#decisions.delete(key);
    return admin;
  }

  /** What is to be saved; what could not be taken up yet is saved as it was. */
  save(
    { epoch, primary, servers }: Pick<BackendView, 'epoch' | 'primary' | 'servers'>,
    since: number | null,
    memory: object | null,
  ): SavedBackend {
    const { protocol } = this.#spec;
    const members = servers.map((server): [string, SavedServer] => [
      server.name,
      { address: this.#addressOf(server), admin: server.admin },
    ]);
    const before = [...(this.#saved?.servers ?? [])];
    const awaited = this.#isAwaited ? (this.#saved?.primary ?? null) : null;
    // Of a backend that learns its members, nothing is known before they have been told.
    const kept = servers.length === 0 ? before : [];
    const missed = before.filter(([name]) => name === awaited);
    return {
      protocol,
      epoch,
      primary: primary ?? awaited,
      since,
      servers: new Map([...kept, ...members, ...missed]),
      memory,
    };
  }

  get #isLearned(): boolean {
    return this.#spec.slots !== undefined;
  }

  #wasPrimary(server: Known): boolean {
    const { primary = null, servers } = this.#saved ?? {};
    if (primary === null || (!this.#isLearned && server.name !== primary)) return false;
    return servers?.get(primary)?.address === this.#addressOf(server);
  }

  #isSame(name: string): boolean {
    const server = this.#spec.servers.find(each => each.name === name);
    return server !== undefined && this.#saved?.servers.get(name)?.address === this.#addressOf(server);
  }

  /** As written, where it was: what a name stands for may change meanwhile. */
  #addressOf({ address, host = null }: Known): string {
    return formatAddress(!this.#isLearned && host !== null ? { ...address, host } : address);
  }
}
