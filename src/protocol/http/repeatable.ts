// Whether the bytes of a client are one whole request that another server may be asked again. Pure, and strict on purpose:
// whatever two servers might read in two ways is not repeated. Called by proxy/session-moves.ts.
// Formats: RFC 9112, sections 2.2 (lines), 3 (request line), 5 (headers), 6 (body); RFC 9110, section 9.2 (methods).

/**
 * The safe methods (RFC 9110, section 9.2.1), without TRACE. PUT and DELETE could be repeated by the letter of section
 * 9.2.2, but by somebody who knows what the application makes of them. POST never: it may have been carried out.
 */
const REQUEST_LINE = /^(?:GET|HEAD|OPTIONS) [!-~]+ HTTP\/1\.[01]$/;
/** A name without white space around it; the value has no control characters (sections 5.1 and 5.5). */
const HEADER_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t -~\x80-\xff]*)$/;
/** With these a body follows, or another protocol, or the server is to speak before the request is complete. */
const TELLTALES: ReadonlySet<string> = new Set(['transfer-encoding', 'upgrade', 'expect', 'trailer']);

const END = '\r\n\r\n';

/** True for GET, HEAD or OPTIONS with all of its head, no body, and nothing behind it. */
export function isRepeatable(bytes: Uint8Array): boolean {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  if (text.indexOf(END) !== text.length - END.length) return false;
  const [requestLine = '', ...headerLines] = text.slice(0, -END.length).split('\r\n');
  return REQUEST_LINE.test(requestLine) && headerLines.every(isHarmless);
}

function isHarmless(line: string): boolean {
  const [, name, value = ''] = HEADER_LINE.exec(line) ?? [];
  if (name === undefined) return false;
  const key = name.toLowerCase();
  if (key === 'content-length') return value.trim() === '0';
  return !TELLTALES.has(key);
}
