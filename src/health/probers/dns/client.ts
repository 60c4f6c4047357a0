// One name, asked of DNS again and again: sooner when its answer is short-lived or missing, and at once when somebody
// finds a server of that name out of reach. Not a prober (DNS is no server of a backend); what an answer means for servers
// stands in topology/sources. Made by app/resolver.ts and app/counsellors.ts.

import { type DnsConfig } from '../../../config/schema.ts';
import { type Clock } from '../../../core/clock.ts';
import { Asking, type Round } from '../../asking.ts';
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
  readonly #asking: Asking;

  /** `heard` is told of every answer, and of every question that got none. */
  constructor(
    options: DnsClientOptions,
    heard: (answer: DnsAnswer) => void,
    lookup: Pick<Lookup, 'ask' | 'close'> = new Lookup(options.dns, options.clock),
  ) {
    this.#options = options;
    this.#heard = heard;
    this.#lookup = lookup;
    this.#asking = new Asking(options.clock, () => this.#ask());
  }

  start(): void {
    this.#asking.start();
  }

  stop(): void {
    this.#asking.stop();
    this.#lookup.close();
  }

  /** As soon as a question may follow the last. */
  askNow(): void {
    this.#asking.askNow(ASKED_INTERVAL_MS);
  }

  async #ask(): Promise<Round> {
    const answer = await this.#lookup.ask(this.#options.question);
    return { pauseMs: this.#pauseMs(answer), tell: () => this.#heard(answer) };
  }

  #pauseMs(answer: DnsAnswer): number {
    const { intervalMs } = this.#options.dns;
    if (answer.kind !== 'found') return Math.min(intervalMs, RETRY_MS);
    return answer.ttlMs === null ? intervalMs : Math.min(intervalMs, Math.max(RETRY_MS, answer.ttlMs));
  }
}
