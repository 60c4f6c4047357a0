// One Patroni, asked over its REST API who leads its cluster and who belongs to it. Patroni reads that from its store (etcd …)
// at each question, so an answer is as new as the question; without its store it has none, and the question fails.
// Not a prober (the SQL of each server is asked beside it) and no opinion: topology/sources/patroni.ts weighs the answers.
// Made by app/orchestrators.ts, one for each address. Endpoint: patroni.readthedocs.io, "Patroni REST API", `GET /cluster`.

import { type Address } from '../../../core/address.ts';
import { type WholeTlsConfig } from '../../../config/schema.ts';
import { type Clock, type Timer } from '../../../core/clock.ts';
import { encodeProbeRequest } from '../../../protocol/http/request.ts';
import { type PatroniAnswer } from '../../result.ts';
import { failure, type Failure } from '../failures.ts';
import { HttpLink } from '../http/link.ts';
import { readPatroniAnswer } from './answer.ts';

export interface PatroniClientOptions {
  readonly address: Address;
  readonly tls: WholeTlsConfig;
  /** Between two questions while all is well; and while it has no answer, as each such question is a traceback in its log. */
  readonly intervalMs: number;
  /** While it answers and nobody leads, or the leader isn't running. */
  readonly fastIntervalMs: number;
  /** For one question, the connection included. */
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** Told after each question: the answer, or why there is none. */
export type PatroniHeard = (answer: PatroniAnswer | null, detail: string) => void;

const PATH = '/cluster';

export class PatroniClient {
  readonly #options: PatroniClientOptions;
  readonly #heard: PatroniHeard;
  readonly #link: HttpLink;
  readonly #question: Uint8Array;
  #timer: Timer | null = null;
  #asking = false;
  /** Something happened while a question was under way, which may have been answered before it. */
  #askAgain = false;
  #closed = false;

  constructor(options: PatroniClientOptions, heard: PatroniHeard) {
    this.#options = options;
    this.#heard = heard;
    // Patroni ends each connection after its answer (HTTP/1.0), so the end of one means nothing.
    this.#link = new HttpLink(options, null);
    this.#question = encodeProbeRequest({ address: options.address, path: PATH, host: null, headers: {} });
  }

  start(): void {
    void this.#ask();
  }

  /** What is under way is given up, and nothing is told any more. */
  stop(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#link.close();
  }

  /** At once, or as soon as the question under way is answered. */
  askNow(): void {
    if (this.#closed) return;
    if (this.#asking) this.#askAgain = true;
    else void this.#ask();
  }

  async #ask(): Promise<void> {
    this.#asking = true;
    this.#askAgain = false;
    this.#timer?.cancel();
    const answer = await this.#answer();
    if (this.#closed) return;
    this.#asking = false;
    const failed = 'code' in answer;
    if (failed) this.#heard(null, answer.detail);
    else this.#heard(answer, '');
    if (this.#isStopped() || this.#asking) return;
    if (this.#askAgain) return void this.#ask();
    const { intervalMs, fastIntervalMs, clock } = this.#options;
    const moving = !failed && isMoving(answer);
    this.#timer = clock.schedule(moving ? fastIntervalMs : intervalMs, () => void this.#ask());
  }

  async #answer(): Promise<PatroniAnswer | Failure> {
    const asked = await this.#link.ask(this.#question);
    if (asked.kind === 'failed') return asked.failure;
    const { status, body } = asked.response;
    return status === 200 ? readPatroniAnswer(body) : failure('L7STS', `GET ${PATH} answers ${status}`);
  }

  /** Whoever was told may have stopped it. */
  #isStopped(): boolean {
    return this.#closed;
  }
}

function isMoving({ leader, members }: PatroniAnswer): boolean {
  const member = members.find(({ name }) => name === leader);
  return member === undefined || member.state !== 'running';
}
