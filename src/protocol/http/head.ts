// The head of an HTTP/1 answer: its status, how its body is framed, and whether the connection goes on afterwards.
// Pure; a whole head in, no bounds of its own. Used by response.ts beside it.
// Formats: RFC 9112, sections 4 (status line), 5 (headers), 6.3 (length of the body), 9.3 (persistence).

export type BodyFraming =
  { readonly kind: 'none' | 'chunked' | 'until-close' } | { readonly kind: 'length'; readonly bytes: number };

export interface ResponseHead {
  readonly status: number;
  readonly keepAlive: boolean;
  readonly framing: BodyFraming;
}

/** Status line and headers with their line ends, or a text that says what is wrong with them. Never quotes them. */
export function readHead(text: string): ResponseHead | string {
  // A line that begins with white space goes on with the one before it (obs-fold, RFC 9112 5.2).
  const [first = '', ...lines] = text.replaceAll(/\r?\n[ \t]+/g, ' ').split(/\r?\n/);
  const [, minor, code] = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: .*)?$/.exec(first) ?? [];
  if (code === undefined) return 'no HTTP status line';
  const status = Number(code);
  const headers = readHeaders(lines.filter(line => line !== ''));
  if (headers === null) return 'a header without a name';
  const framing = framingOf(status, headers);
  if (typeof framing === 'string') return framing;
  const options = list(headers, 'connection');
  const persistent = minor === '1' ? !options.includes('close') : options.includes('keep-alive');
  // Both framings at once: the answer can be read, but who knows where the next one begins (RFC 9112, 6.1).
  const ambiguous = headers.has('transfer-encoding') && headers.has('content-length');
  return { status, framing, keepAlive: persistent && !ambiguous && status !== 101 };
}

type Headers = ReadonlyMap<string, readonly string[]>;

function readHeaders(lines: readonly string[]): Headers | null {
  const headers = new Map<string, string[]>();
  for (const line of lines) {
    const [, name, value = ''] = /^([^\s:]+):[ \t]*(.*)$/.exec(line) ?? [];
    if (name === undefined) return null;
    const key = name.toLowerCase();
    const values = headers.get(key);
    if (values === undefined) headers.set(key, [value.trim()]);
    else values.push(value.trim());
  }
  return headers;
}

function framingOf(status: number, headers: Headers): BodyFraming | string {
  if (status < 200 || status === 204 || status === 304) return { kind: 'none' };
  if (headers.has('transfer-encoding')) {
    return { kind: list(headers, 'transfer-encoding').at(-1) === 'chunked' ? 'chunked' : 'until-close' };
  }
  if (!headers.has('content-length')) return { kind: 'until-close' };
  const [length = '', ...others] = new Set(list(headers, 'content-length'));
  if (others.length > 0 || !/^\d{1,15}$/.test(length)) return 'a Content-Length that is none';
  return { kind: 'length', bytes: Number(length) };
}

/** The members of a comma-separated header, in lower case; the header may come several times. */
function list(headers: Headers, name: string): readonly string[] {
  return (headers.get(name) ?? [])
    .join(',')
    .split(',')
    .map(member => member.trim().toLowerCase())
    .filter(member => member !== '');
}
