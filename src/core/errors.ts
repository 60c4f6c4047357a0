// The one error class that Pointsman throws on purpose, and a reader of foreign errors that itself never throws.
// Probe results and session ends aren't exceptions: they are values (health/result.ts, proxy/session.ts).

export const errorCodes = {
  CONFIG_INVALID: 'the configuration was refused',
  CONFIG_UNREADABLE: 'the configuration file could not be read',
  BIND_FAILED: 'a listening socket could not be opened',
  ENGINE_UNAVAILABLE: 'the driver that engine.driver insists on does not run on this machine',
  TLS_UNUSABLE: 'a certificate, a key or authorities that the configuration names cannot be used',
  STATE_FILE_UNUSABLE: 'the state file cannot be read or written where it is configured to be',
  STATE_FILE_IN_USE: 'another Pointsman uses the same state file',
  WIRE_MALFORMED: 'a peer sent bytes that the protocol does not allow',
  WIRE_TOO_LARGE: 'a peer announced a message above the limit',
  PROBE_URL_INVALID: 'the probe URL was not understood',
  DEMO_UNAVAILABLE: 'the demo cannot run on this machine',
  INTERNAL: 'Pointsman broke one of its own rules',
} as const;

export type ErrorCode = keyof typeof errorCodes;

export class PointsmanError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'PointsmanError';
    this.code = code;
  }
}

export interface ErrorFacts {
  /** `ECONNREFUSED`, `CONFIG_INVALID`, …; `UNKNOWN` where the error carries none. */
  code: string;
  message: string;
}

/** Code and message of anything that was thrown. Of an AggregateError (several addresses tried), the first. */
export function describeError(thrown: unknown): ErrorFacts {
  if (thrown instanceof AggregateError && thrown.errors.length > 0) return describeError(thrown.errors[0]);
  if (thrown instanceof Error) {
    const code = (thrown as { code?: unknown }).code;
    return { code: typeof code === 'string' ? code : 'UNKNOWN', message: thrown.message };
  }
  return { code: 'UNKNOWN', message: String(thrown) };
}

/** A runtime assertion of a safety rule: ends the process rather than go on against it. */
export function invariant(condition: boolean, rule: string): asserts condition {
  if (!condition) throw new PointsmanError('INTERNAL', `invariant violated: ${rule}`);
}
