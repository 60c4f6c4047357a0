// The three answers of every decoder here: more bytes, a value, or bytes the protocol doesn't allow.
// Decoders hold no socket and never wait; "need" is a normal answer, not an error.

import { type ErrorCode } from '../core/errors.ts';

export type Decode<T> =
  | { kind: 'need'; bytes: number }
  | { kind: 'ok'; value: T; consumed: number }
  | { kind: 'bad'; code: ErrorCode; detail: string };
