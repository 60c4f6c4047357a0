// One Patroni, asked over its REST API who leads its cluster and who belongs to it. Patroni reads that from its store (etcd …)
// at each question, so an answer is as new as the question; without its store it has none, and the question fails.
// Not a prober (the SQL of each server is asked beside it) and no opinion: topology/sources/patroni.ts weighs the answers.
// Made by app/orchestrators.ts, one for each address. Endpoints: patroni.readthedocs.io, "Patroni REST API".

import { type Address } from '../../../core/address.ts';
import { type WholeTlsConfig } from '../../../config/schema.ts';
import { type Clock, type MonotonicMs } from '../../../core/clock.ts';
import { encodeProbeRequest } from '../../../protocol/http/request.ts';
import { type HttpResponse } from '../../../protocol/http/response.ts';
import { Asking, type Round } from '../../asking.ts';
import { type PatroniAnswer } from '../../result.ts';
import { failure, type Failure } from '../failures.ts';
import { HttpLink } from '../http/link.ts';
import { readCluster, readStoreSeen, withAbsent } from './answer.ts';

export interface PatroniClientOptions {
  readonly address: Address;
  readonly tls: WholeTlsConfig;
  /** Between two questions while all is well, and while it has no answer. */
  readonly intervalMs: number;
  /** While it answers and a change is under way: nobody leads, the leader isn't running, or one is expected (`askNow`). */
  readonly fastIntervalMs: number;
  /** For one question, the connection included. */
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** Told after each question: the answer, or why there is none. */
export type PatroniHeard = (answer: PatroniAnswer | null, detail: string) => void;

/** Who leads and who there is, fresh from the store; without it a traceback in Patroni's log and no answer. */
const CLUSTER = '/cluster';
/** About the node itself; never waits for the store. */
const NODE = '/patroni';

/** So long another leader is expected: a lock's time to live is 30 s by default, and taking it over some seconds more. */
const EXPECTING_MS = 60_000;

/** A Patroni that is there and has no answer: why, and when it had last reached its store before it was asked. */
interface Cut {
  readonly failure: Failure;
  readonly storeSeen: number | null;
}

export class PatroniClient {
  readonly #options: PatroniClientOptions;
  readonly #heard: PatroniHeard;
  readonly #link: HttpLink;
  readonly #asking: Asking;
  #last: PatroniAnswer | null = null;
  /** Asked fast until another leads, or until then. */
  #expecting: { readonly otherThan: string | null; readonly until: MonotonicMs } | null = null;
  #cut: Cut | null = null;

  constructor(options: PatroniClientOptions, heard: PatroniHeard) {
    this.#options = options;
    this.#heard = heard;
    // Patroni ends each connection after its answer (HTTP/1.0), so the end of one means nothing.
    this.#link = new HttpLink(options, null);
    this.#asking = new Asking(options.clock, () => this.#ask());
  }

  start(): void {
    this.#asking.start();
  }

  /** What is under way is given up, and nothing is told any more. */
  stop(): void {
    this.#asking.stop();
    this.#link.close();
  }

  /**
   * At once, or as soon as the question under way is answered; and then often, for whoever can't wait has lost a primary. The
   * lock is taken before the promotion, so the new leader is known here by the time its server takes writes.
   */
  askNow(): void {
    const until = this.#options.clock.now() + EXPECTING_MS;
    this.#expecting = { otherThan: this.#expecting?.otherThan ?? this.#last?.leader ?? null, until };
    this.#asking.askNow();
  }

  async #ask(): Promise<Round> {
    const answer = await this.#answer();
    const { intervalMs, fastIntervalMs } = this.#options;
    if ('code' in answer) return { pauseMs: intervalMs, tell: () => this.#heard(null, answer.detail) };
    return {
      pauseMs: this.#isMoving(answer) ? fastIntervalMs : intervalMs,
      tell: () => this.#heard(answer, ''),
    };
  }

  async #answer(): Promise<PatroniAnswer | Failure> {
    let storeSeen: number | null = null;
    if (this.#cut !== null) {
      const node = await this.#get(NODE);
      if ('code' in node) return node;
      storeSeen = readStoreSeen(node.body);
      if (storeSeen !== null && storeSeen === this.#cut.storeSeen) return this.#cut.failure;
    }
    const asked = await this.#get(CLUSTER);
    const answer = 'code' in asked ? asked : readCluster(asked.body);
    if ('code' in answer) {
      this.#cut = isUnreachable(answer) ? null : { failure: answer, storeSeen };
      return answer;
    }
    this.#cut = null;
    this.#last = withAbsent(this.#last, answer);
    return this.#last;
  }

  #isMoving({ leader, members }: PatroniAnswer): boolean {
    if (members.find(({ name }) => name === leader)?.state !== 'running') return true;
    const expecting = this.#expecting;
    if (expecting === null) return false;
    const come = leader !== expecting.otherThan || this.#options.clock.now() >= expecting.until;
    if (come) this.#expecting = null;
    return !come;
  }

  async #get(path: string): Promise<HttpResponse | Failure> {
    const { address } = this.#options;
    const asked = await this.#link.ask(encodeProbeRequest({ address, path, host: null, headers: {} }));
    if (asked.kind === 'failed') return asked.failure;
    const { status } = asked.response;
    return status === 200 ? asked.response : failure('L7STS', `GET ${path} answers ${status}`);
  }
}

/** No question has come through to it. */
const isUnreachable = ({ code }: Failure): boolean => !code.startsWith('L7') && code !== 'L4LOST';
