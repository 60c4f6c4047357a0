// What a route of the admin API is, and which one a request means: paths with named parts, matched whole. Pure.
// Not the routes themselves (routes.ts), nor HTTP (server.ts).

export interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer without an end, such as server-sent events. */
export interface StreamReply {
  readonly type: string;
  /** Called once, with how to send; returns what to do when the reader has gone. */
  readonly open: (send: (chunk: string) => void) => () => void;
}

export interface AdminRequest {
  readonly url: URL;
  /** What stood in place of the `{…}` in the path, decoded. */
  readonly params: Readonly<Record<string, string>>;
  /** The header of that name; `null` without one. */
  readonly authorization: string | null;
  /** Who asks, `host:port`. */
  readonly remote: string;
}

export interface Route {
  readonly method: 'GET' | 'POST';
  /** Such as `/api/v1/backends/{backend}/explain`. */
  readonly path: string;
  readonly answer: (request: AdminRequest) => Reply | StreamReply | Promise<Reply | StreamReply>;
}

export type Found =
  | { readonly kind: 'route'; readonly route: Route; readonly params: Readonly<Record<string, string>> }
  | { readonly kind: 'other-method'; readonly methods: readonly Route['method'][] }
  | { readonly kind: 'none' | 'malformed' };

export function findRoute(routes: readonly Route[], method: string, pathname: string): Found {
  const parts = decode(pathname);
  if (parts === null) return { kind: 'malformed' };
  const here = routes.flatMap(route => {
    const params = paramsOf(route.path.split('/'), parts);
    return params === null ? [] : [{ route, params }];
  });
  const [first] = here;
  if (first === undefined) return { kind: 'none' };
  const match = here.find(({ route }) => route.method === method);
  if (match === undefined) return { kind: 'other-method', methods: here.map(({ route }) => route.method) };
  return { kind: 'route', ...match };
}

function decode(pathname: string): readonly string[] | null {
  try {
    return pathname.split('/').map(decodeURIComponent);
  } catch {
    return null; // a % that begins no character is the client's mistake, and is told so
  }
}

function paramsOf(
  pattern: readonly string[],
  parts: readonly string[],
): Readonly<Record<string, string>> | null {
  if (pattern.length !== parts.length) return null;
  const params: Record<string, string> = {};
  for (const [index, expected] of pattern.entries()) {
    const part = parts[index] ?? '';
    const name = /^\{(\w+)\}$/.exec(expected)?.[1];
    if (name === undefined ? part !== expected : part === '') return null;
    if (name !== undefined) params[name] = part;
  }
  return params;
}
