// One name, asked of DNS again and again: sooner when its answer is short-lived or missing, and at once when somebody
// finds a server of that name out of reach. Not a prober (DNS is no server of a backend); what an answer means for servers
// stands in topology/sources. Made by app/resolver.ts and app/counsellors.ts.

import { type DnsConfig } from '../../../config/schema.ts';
import { type Clock, type MonotonicMs, type Timer } from '../../../core/clock.ts';
import { type DnsAnswer } from '../../result.ts';
import { Lookup, type DnsQuestion } from './lookup.ts';

/** After an answer that was none, and at least between two of short-lived ones. */
const RETRY_MS = 1000;
/** Probes and clients that fail by the hundred ask for no more questions than this, from start to start. */
const ASKED_INTERVAL_MS = 500;

export interface DnsClientOptions {
  readonly question: DnsQuestion;
  readonly dns: DnsConfig;
  readonly clock: Clock;
}

export class DnsClient {
  readonly #options: DnsClientOptions;
  readonly #heard: (answer: DnsAnswer) => void;
  readonly #lookup: Pick<Lookup, 'ask' | 'close'>;
  #timer: Timer | null = null;
  #phase: 'idle' | 'waiting' | 'asking' | 'stopped' = 'idle';
  #startedAt: MonotonicMs = 0;
  #dueAt: MonotonicMs = 0;
  /** Asked for while a question was under way, which may have been answered before what the asker knows. */
  #askAgain = false;

  /** `heard` is told of every answer, and of every question that got none. */
  constructor(
    options: DnsClientOptions,
    heard: (answer: DnsAnswer) => void,
    lookup: Pick<Lookup, 'ask' | 'close'> = new Lookup(options.dns, options.clock),
  ) {
    this.#options = options;
    this.#heard = heard;
    this.#lookup = lookup;
  }

  start(): void {
    if (this.#phase === 'idle') void this.#ask();
  }

  stop(): void {
    this.#phase = 'stopped';
    this.#timer?.cancel();
    this.#lookup.close();
  }

  /** As soon as a question may follow the last. */
  askNow(): void {
    if (this.#phase === 'asking') this.#askAgain = true;
    if (this.#phase === 'waiting')
      this.#waitUntil(Math.min(this.#dueAt, this.#startedAt + ASKED_INTERVAL_MS));
  }

  async #ask(): Promise<void> {
    const { question, clock } = this.#options;
    this.#phase = 'asking';
    this.#askAgain = false;
    this.#startedAt = clock.now();
    const answer = await this.#lookup.ask(question);
    if (this.#isStopped()) return;
    this.#phase = 'waiting';
    this.#waitUntil(clock.now() + this.#pauseMs(answer));
    if (this.#askAgain) this.askNow();
    this.#heard(answer);
  }

  /** It may be stopped while an answer is awaited. */
  #isStopped(): boolean {
    return this.#phase === 'stopped';
  }

  #pauseMs(answer: DnsAnswer): number {
    const { intervalMs } = this.#options.dns;
    if (answer.kind !== 'found') return Math.min(intervalMs, RETRY_MS);
    return answer.ttlMs === null ? intervalMs : Math.min(intervalMs, Math.max(RETRY_MS, answer.ttlMs));
  }

  #waitUntil(dueAt: MonotonicMs): void {
    const { clock } = this.#options;
    this.#timer?.cancel();
    this.#dueAt = dueAt;
    this.#timer = clock.schedule(Math.max(0, dueAt - clock.now()), () => void this.#ask());
  }
}
