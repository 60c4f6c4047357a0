// What a monitor needs of a prober, whatever the protocol.
// Implementations are in probers/; tests pass their own.

import { type FailureCode, type PassCode, type ServerFacts } from './result.ts';

export type ProbeAnswer =
  | { readonly code: PassCode; readonly detail: string; readonly facts: ServerFacts }
  | { readonly code: FailureCode; readonly detail: string };

export interface Prober {
  /** Asks the server once. Never rejects and always settles by the prober's own timeout. Never called while one is under way. */
  probe(): Promise<ProbeAnswer>;
  /** Ends the session and all that belongs to it; a probe under way settles. */
  close(): void;
}

/** `onLost` is called when an idle probe session is closed or reset by the server: the crash signal. */
export type ProberFactory = (onLost: (detail: string) => void) => Prober;
