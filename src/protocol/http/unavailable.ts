// The whole HTTP answer for a client that gets no server. Only written, never read; which words, the caller says. Pure.
// Called by proxy/refusal.ts.

export interface Unavailable {
  readonly retryAfterSeconds: number;
  /** For programs: a word that stays the same. */
  readonly error: string;
  /** For people. */
  readonly message: string;
}

/**
 * 503 (RFC 9110, section 15.6.4) with the end of the connection announced (RFC 9112, section 9.6), so that nobody waits
 * for an answer to a second request. `no-store`: the next answer is another server's.
 */
export function unavailable({ retryAfterSeconds, error, message }: Unavailable): Uint8Array {
  const body = `${JSON.stringify({ error, message })}\n`;
  const head = [
    'HTTP/1.1 503 Service Unavailable',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `Retry-After: ${retryAfterSeconds}`,
    'Cache-Control: no-store',
    'Connection: close',
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`);
}
