// What Pointsman has been told of one server, as the oracle keeps it: its own reading of the answers that were handed over,
// and on purpose none of the production code's. Used by oracle.ts alone.

import { type ProbeAnswer } from '../../src/health/prober.ts';
import { type ServerFacts } from '../../src/health/result.ts';

/** Design, safety rule 7: neither life nor death. Everything else that isn't a pass counts towards `fall`. */
const INCONCLUSIVE: ReadonlySet<string> = new Set([
  'L7BUSY',
  'L7START',
  'L7AUTH',
  'L7STS',
  'L4SYS',
  'L7REST',
]);

export interface Bounds {
  readonly rise: number;
  readonly fall: number;
  readonly freshnessMs: number;
  readonly settleMs: number;
}

type Kind = 'pass' | 'fail' | 'inconclusive';

export class Witness {
  readonly address: string;
  isMember = false;
  admin: 'ready' | 'drain' | 'maintenance' = 'ready';
  /** What was decided about it before a restart, until it is a member again. */
  restoredAdmin: 'ready' | 'drain' | 'maintenance' = 'ready';
  health: 'unknown' | 'up' | 'down' = 'unknown';
  /** Of the newest answer; `null` before the first. */
  kind: Kind | null = null;
  code = '';
  at = 0;
  /** The newest answer's facts; `null` if it had none. */
  facts: ServerFacts | null = null;
  /** The newest facts, whatever came after; and when. */
  lastFacts: ServerFacts | null = null;
  lastFactsAt = 0;
  writableSince: number | null = null;
  /** Since it was the primary last. */
  wasStandbySince = false;
  sessions = 0;
  primarySessions = 0;
  /** How often it has ceased to be the primary. */
  demotions = 0;
  #passes = 0;
  #fails = 0;

  constructor(address: string) {
    this.address = address;
  }

  /** Asked from the beginning: what was known before counts no more. */
  forget(): void {
    this.health = 'unknown';
    this.kind = null;
    this.code = 'not heard yet';
    this.facts = null;
    this.lastFacts = null;
    this.writableSince = null;
    this.admin = this.restoredAdmin;
    this.restoredAdmin = 'ready';
    this.#passes = 0;
    this.#fails = 0;
  }

  hear(answer: ProbeAnswer, now: number, { rise, fall }: Bounds): void {
    this.at = now;
    this.code = answer.code;
    this.facts = 'facts' in answer ? answer.facts : null;
    this.kind = 'facts' in answer ? 'pass' : INCONCLUSIVE.has(answer.code) ? 'inconclusive' : 'fail';
    if (this.facts !== null) {
      this.lastFacts = this.facts;
      this.lastFactsAt = now;
      if (this.facts.role === 'replica') this.wasStandbySince = true;
    }
    if (this.kind === 'pass') {
      this.#passes += 1;
      this.#fails = 0;
      if (this.health !== 'up' && this.#passes >= rise) this.health = 'up';
    } else if (this.kind === 'fail') {
      this.#fails += 1;
      this.#passes = 0;
      if (this.health !== 'down' && this.#fails >= fall) this.health = 'down';
    }
    if (this.health !== 'up') this.writableSince = null;
    else if (this.facts !== null) this.writableSince = this.saysWritable ? (this.writableSince ?? now) : null;
  }

  get saysWritable(): boolean {
    return this.facts !== null && this.facts.role === 'primary' && this.facts.writable;
  }

  get saysOtherwise(): boolean {
    return this.facts !== null && !this.saysWritable;
  }

  /** It has been heard, or has been given up: at the start, nobody is elected before that. */
  get isHeard(): boolean {
    return this.kind !== null && !(this.health === 'unknown' && this.#fails > 0);
  }

  isFresh(now: number, { freshnessMs }: Bounds): boolean {
    return this.kind !== null && now - this.at <= freshnessMs;
  }

  claims(now: number, bounds: Bounds): boolean {
    return (
      this.isMember &&
      this.admin !== 'maintenance' &&
      this.health === 'up' &&
      this.saysWritable &&
      this.isFresh(now, bounds)
    );
  }

  get lsn(): number | null {
    return lsnOf(this.facts);
  }
}

export function lsnOf(facts: ServerFacts | null): number | null {
  const [high, low] = facts?.position?.split('/') ?? [];
  return high === undefined || low === undefined ? null : parseInt(high, 16) * 2 ** 32 + parseInt(low, 16);
}
