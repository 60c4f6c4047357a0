// A Redis error as it goes over the wire, in RESP2 and RESP3 alike. Only written, never read. Pure.
// Called by proxy/refusal.ts.

/** `code`: the word that client libraries look at, such as `LOADING`. A line break inside the message becomes a space: it would end the line. */
export function errorLine(code: string, message: string): Uint8Array {
  return Buffer.from(`-${code} ${message.replaceAll(/[\r\n]+/g, ' ')}\r\n`);
}
