// A PostgreSQL prober whose answer a REST API beside the server must confirm, such as Patroni's: SQL tells whether it takes
// writes, the orchestrator whether it may (the leader's lock is elsewhere). Only where both agree there is a role.
// Not the asking of PostgreSQL: it wraps the prober that does, and is made by it. Endpoints: Patroni, "REST API".

import { type Address } from '../../../core/address.ts';
import { type CheckConfig } from '../../../config/schema.ts';
import { type Clock, type MonotonicMs } from '../../../core/clock.ts';
import { encodeProbeRequest } from '../../../protocol/http/request.ts';
import { type ProbeAnswer, type Prober } from '../../prober.ts';
import { hasPassed, type PassCode, type ServerFacts } from '../../result.ts';
import { failure } from '../failures.ts';
import { type Asked } from '../http/connection.ts';
import { shownRequest } from '../http/expectation.ts';
import { HttpLink } from '../http/link.ts';

export interface ConfirmedOptions {
  readonly address: Address;
  readonly rest: NonNullable<CheckConfig<'postgres'>['rest']>;
  readonly timeoutMs: number;
  readonly fastIntervalMs: number;
  readonly clock: Clock;
}

/**
 * So long a primary that was confirmed before may be denied: it gets no new client meanwhile, and keeps its sessions. A Patroni
 * that is restarted says 503 for some 100 ms while its server is well; one that has lost the lock makes its server read-only.
 */
const DENIAL_MAX_MS = 1000;

type Passed = Extract<ProbeAnswer, { readonly code: PassCode }>;

export class ConfirmedProber implements Prober {
  readonly #prober: Prober;
  readonly #options: ConfirmedOptions;
  readonly #link: HttpLink;
  readonly #questions: Readonly<Record<'primary' | 'replica', Uint8Array>>;
  /** The last word about a replica, and when it came. */
  #replicaSaid: { readonly asked: Asked; readonly at: MonotonicMs } | null = null;
  /** Since when a confirmed primary is denied; `null`: it was never confirmed, or has been denied for too long. */
  #deniedFrom: MonotonicMs | 'confirmed' | null = null;

  /** Takes `prober` over: its `close` ends both. */
  constructor(prober: Prober, options: ConfirmedOptions) {
    this.#prober = prober;
    this.#options = options;
    const { rest, timeoutMs, clock } = options;
    const address = { host: options.address.host, port: rest.port };
    // Nobody is told when its connection ends: an orchestrator that restarts is no crash of the server.
    this.#link = new HttpLink({ address, tls: rest.tls, timeoutMs, clock }, null);
    const question = (path: string): Uint8Array =>
      encodeProbeRequest({ address, path, host: null, headers: {} });
    this.#questions = { primary: question(rest.primary), replica: question(rest.replica) };
  }

  async probe(): Promise<ProbeAnswer> {
    const { clock, rest, timeoutMs } = this.#options;
    const startedAt = clock.now();
    const answer = await this.#prober.probe();
    if (!hasPassed(answer) || answer.facts.role === 'unknown') return answer;
    const { role } = answer.facts;
    if (role === 'replica') this.#deniedFrom = null;
    const leftMs = Math.max(1, startedAt + timeoutMs - clock.now());
    const asked = role === 'primary' ? await this.#ask('primary', leftMs) : await this.#replicaWord(leftMs);
    const word = confirmed(answer, role === 'primary' ? rest.primary : rest.replica, asked);
    return role === 'primary' ? this.#patiently(word) : word;
  }

  #patiently(word: ProbeAnswer): ProbeAnswer {
    if (!hasPassed(word)) return word;
    if (word.facts.role === 'primary') {
      this.#deniedFrom = 'confirmed';
      return word;
    }
    const now = this.#options.clock.now();
    if (this.#deniedFrom === 'confirmed') this.#deniedFrom = now;
    if (this.#deniedFrom !== null && now - this.#deniedFrom >= DENIAL_MAX_MS) this.#deniedFrom = null;
    return this.#deniedFrom === null ? word : failure('L7REST', word.detail);
  }

  close(): void {
    this.#prober.close();
    this.#link.close();
  }

  #ask(role: 'primary' | 'replica', leftMs: number): Promise<Asked> {
    return this.#link.ask(this.#questions[role], leftMs);
  }

  /**
   * While a primary is awaited replicas are asked every few milliseconds, and Patroni asks its database at each GET. So its
   * word is kept for `fast_interval`: it can only be wrong about who reads. A promotion is always asked for anew.
   */
  async #replicaWord(leftMs: number): Promise<Asked> {
    const { clock, fastIntervalMs } = this.#options;
    const said = this.#replicaSaid;
    if (said !== null && clock.now() - said.at < fastIntervalMs) return said.asked;
    const asked = await this.#ask('replica', leftMs);
    this.#replicaSaid = { asked, at: clock.now() };
    return asked;
  }
}

/**
 * What SQL and REST say together. An API that can't be reached proves nothing: a primary stays what it is, but is
 * doubtful, so it gets no new client (`L7REST` is inconclusive). Where the API answers and disagrees, the server has no role.
 */
export function confirmed(answer: Passed, path: string, asked: Asked): ProbeAnswer {
  const request = shownRequest(path);
  const said = wordsFor(answer.facts);
  if (asked.kind === 'failed') {
    return failure('L7REST', `${said}, but ${request} got no answer: ${asked.failure.detail}`);
  }
  const { status } = asked.response;
  if (status === 200) return { ...answer, detail: `${answer.detail}; ${request} agrees` };
  return {
    code: answer.code,
    detail: `${said}, but ${request} answers ${status}`,
    facts: { ...answer.facts, role: 'unknown', writable: false },
  };
}

function wordsFor({ role, writable }: ServerFacts): string {
  if (role === 'replica') return 'PostgreSQL is a replica';
  return writable ? 'PostgreSQL takes writes' : 'PostgreSQL is a read-only primary';
}
