// The truth about a pair of MySQL masters under `ordered`: what the one that was followed had, and since when. Its successor
// must have what it had a second before its last word; and it alone goes on when it is there again. Used by oracle.ts.

import { type Loss } from '../../src/topology/loss.ts';
import { type Lineage, type Scene, type Truths } from './truths.ts';
import { type Witness } from './witness.ts';

/** Decision 0006: a second; the samples of the production code may lie a quarter of one apart. */
const SETTLED_MS = 1250;

interface Sample {
  readonly at: number;
  /** Of its own transactions. */
  readonly count: number;
}

interface Known {
  readonly address: string;
  readonly samples: readonly Sample[];
}

interface Remembered {
  readonly known: Known | null;
  readonly savedAt: number;
}

export class MysqlTruths implements Truths {
  /** Nothing is to be brought back: each has its own for good. */
  readonly lineage: Lineage | null = null;
  #known: Known | null = null;
  #former: Known | null = null;
  #now = 0;

  disqualifies(): string | null {
    return null;
  }

  isQuestionable(server: Witness, { members, claims }: Scene): boolean {
    if (this.#known !== null) return server.address !== this.#known.address;
    return members.some(other => other !== server && claims(other) && had(server, other) < written(other));
  }

  objectionTo(server: Witness, { members, claims, followed }: Scene): string | null {
    const known = this.#known;
    if (known === null || server.address === known.address) return null;
    const last = members.find(({ address }) => address === known.address);
    if (last === undefined) return null;
    if (followed === null && claims(last)) return `${last.address} was the primary, and is there again`;
    const lastAt = known.samples.at(-1)?.at ?? 0;
    const settled = known.samples.findLast(({ at }) => at <= lastAt - SETTLED_MS);
    const lacks = (settled?.count ?? 0) - had(server, last);
    return lacks > 0 ? `it lacks ${lacks} transactions that ${last.address} had long before` : null;
  }

  isConfirmed(): boolean {
    return false;
  }

  isPromoted(): boolean {
    return false;
  }

  beats(): boolean {
    return false;
  }

  successorOf(): Witness | null {
    return null;
  }

  learn({ followed, claims, now }: Scene): void {
    this.#now = now;
    if (followed === null || !claims(followed)) return;
    const before = this.#known?.address === followed.address ? this.#known.samples : [];
    const sample = { at: followed.at, count: written(followed) };
    if (before.at(-1)?.at === sample.at) return;
    const all = [...before, sample];
    const settled = all.findLastIndex(({ at }) => at <= sample.at - SETTLED_MS);
    this.#known = { address: followed.address, samples: all.slice(Math.max(0, settled)) };
  }

  followedAnother(): void {
    this.#former = this.#known;
  }

  lieIn(loss: Loss, { followed, members }: Scene): string | null {
    const told = loss.kind === 'none' ? 0 : loss.kind === 'transactions' ? loss.count : null;
    const former = members.find(({ address }) => address === this.#former?.address);
    if (told === null || former === undefined || followed === null) return null;
    const seen = this.#former?.samples.at(-1)?.count ?? 0;
    const lacks = seen - (former === followed ? written(former) : had(followed, former));
    return lacks > told ? `${lacks} transactions that were seen` : null;
  }

  remember(): unknown {
    const remembered: Remembered = { known: this.#known, savedAt: this.#now };
    return remembered;
  }

  /** Ages are kept, not moments: what was a second old when it was saved is that after the restart. */
  recall(knowledge: unknown, now: number): void {
    const { known, savedAt } = (knowledge as Remembered | null) ?? { known: null, savedAt: 0 };
    const laterMs = now - savedAt;
    this.#known = known && {
      ...known,
      samples: known.samples.map(({ at, count }) => ({ at: at + laterMs, count })),
    };
    this.#former = null;
  }
}

/** `10.0.0.1:5432` is server 1, and writes in domain 1. */
const domainOf = ({ address }: Witness): string =>
  address.slice(address.lastIndexOf('.') + 1, address.indexOf(':'));

/** How many of the other's transactions a server has, by its newest facts. */
function had({ lastFacts }: Witness, other: Witness): number {
  const history = lastFacts?.history;
  const domain = domainOf(other);
  return history?.kind === 'gtid' ? (history.transactions[`${domain}-${domain}`]?.at(-1)?.[1] ?? 0) : 0;
}

const written = (server: Witness): number => had(server, server);
