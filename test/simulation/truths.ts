// What the oracle asks of a protocol: which histories servers have by the truth they tell, and which of them may succeed
// which. One implementation for each kind of database, each with a memory of its own, and none of the production code's.
// Used by oracle.ts.

import { type Opinion } from '../../src/topology/model.ts';
import { type Loss } from '../../src/topology/loss.ts';
import { type Rule } from './rules.ts';
import { type Bounds, type Witness } from './witness.ts';

/** What is known at the moment of a judgement. */
export interface Scene {
  readonly now: number;
  readonly bounds: Bounds;
  readonly members: readonly Witness[];
  /** The primary, by what was published last. */
  readonly followed: Witness | null;
  readonly opinion: Opinion | null;
  claims(server: Witness): boolean;
  /** The orchestrator names it now, and acts. */
  isNamed(server: Witness): boolean;
}

export interface Truths {
  /** Why it may not be followed, whoever it is; `null`: nothing speaks against it. */
  disqualifies(server: Witness, scene: Scene): string | null;
  /** What it tells is reason enough to give it up, or not to count with it, even where it might be followed. */
  isQuestionable(server: Witness, scene: Scene): boolean;
  /** Why it may not be followed if it isn't followed yet; asked only of one that isn't disqualified. */
  objectionTo(server: Witness, scene: Scene): string | null;
  /** All that could be said against it is answered: at the start nobody else needs to be heard. */
  isConfirmed(server: Witness, scene: Scene): boolean;
  /** What it tells proves that it took over from the one that was followed. */
  isPromoted(server: Witness, scene: Scene): boolean;
  /** Under `newest`: what both tell gives it the better right. */
  beats(one: Witness, other: Witness, scene: Scene): boolean;
  /** Who is known to have taken over from it, so that what is written to it is lost; `null`: nobody is. */
  successorOf(server: Witness, scene: Scene): Witness | null;
  /** After each word of anybody and each change of the primary, which is `followed` now. */
  learn(scene: Scene): void;
  /** Another server than before is followed. */
  followedAnother(before: Witness | null): void;
  /** What a loss report keeps quiet; `null`: nothing. */
  lieIn(loss: Loss, scene: Scene): string | null;
  /** What the world should go on with when it is healed. */
  readonly lineage: Lineage | null;
  /** For a restart of Pointsman: what it has written into its state file is what it is held to. */
  remember(): unknown;
  recall(knowledge: unknown, now: number): void;
}

export interface Lineage {
  readonly systemId: string;
  readonly timeline: number;
}

export interface Violation {
  readonly rule: Rule;
  readonly atMs: number;
  readonly what: string;
}
