// `GET /api/v1/sessions`: who is joined to whom, by filter; `POST /api/v1/sessions/{id}/close` ends one. Reads the question,
// has the proxy answer it, writes JSON. A listing changes nothing, so it needs no token; closing does.

import { type Config } from '../config/schema.ts';
import { networks } from '../config/addresses.ts';
import { type Address, formatAddress } from '../core/address.ts';
import { SESSIONS_LISTED_MAX, truncate } from '../core/limits.ts';
import { type Proxy } from '../proxy/proxy.ts';
import { type SessionFilter, type SessionInfo, type SessionList } from '../proxy/sessions.ts';
import { refuse, type Guard } from './guard.ts';
import { type AdminRequest, type Reply, type Route } from './route.ts';
import { json } from './server.ts';

export interface SessionsSource extends Guard {
  readonly config: Pick<Config, 'frontends' | 'backends'>;
  readonly proxy: Pick<Proxy, 'sessions' | 'closeSessions'>;
}

/** Told when none is asked for: what fits a screen or two; the rest is counted. */
const LIMIT = 1000;

export type SessionsJson = ReturnType<typeof sessionsJson>;

export function sessionsRoutes(source: SessionsSource): readonly Route[] {
  return [
    { method: 'GET', path: '/api/v1/sessions', answer: request => list(source, request) },
    {
      method: 'POST',
      path: '/api/v1/sessions/{id}/close',
      answer: request => refuse(source, request) ?? close(source, request),
    },
  ];
}

async function list({ config, proxy }: SessionsSource, { url }: AdminRequest): Promise<Reply> {
  const filter = readFilter(url.searchParams);
  if ('error' in filter) return json({ error: filter.error }, 400);
  for (const [kind, name] of [
    ['frontend', filter.frontend],
    ['backend', filter.backend],
  ] as const) {
    const known = config[`${kind}s`];
    if (name === undefined || Object.hasOwn(known, name)) continue;
    const error = `there is no ${kind} ${JSON.stringify(truncate(name))}`;
    return json({ error, [`${kind}s`]: Object.keys(known) }, 404);
  }
  return json(sessionsJson(await proxy.sessions(filter)));
}

async function close({ proxy, log }: SessionsSource, { params, remote }: AdminRequest): Promise<Reply> {
  const { id = '' } = params;
  const closed = await proxy.closeSessions([id], 'operator');
  if (closed === 0) return json({ error: `there is no session ${JSON.stringify(truncate(id))}` }, 404);
  log.info({ session: id, remote }, 'operator: a session is closed');
  return json({ id, closed: true });
}

function readFilter(query: URLSearchParams): SessionFilter | { readonly error: string } {
  const filter: Record<string, string | number> = { limit: LIMIT };
  for (const [key, text] of query) {
    switch (key) {
      case 'frontend':
      case 'backend':
      case 'server':
        filter[key] = text;
        break;
      case 'client':
        if (!isNetwork(text)) return { error: `client is no address or network: ${quoted(text)}` };
        filter['client'] = text;
        break;
      case 'server_port':
        if (!isNumberUpTo(text, 65_535)) return { error: `server_port is no port: ${quoted(text)}` };
        filter['serverPort'] = Number(text);
        break;
      case 'limit':
        if (!isNumberUpTo(text, SESSIONS_LISTED_MAX)) {
          return { error: `limit is not from 1 to ${SESSIONS_LISTED_MAX}: ${quoted(text)}` };
        }
        filter['limit'] = Number(text);
        break;
      default:
        return {
          error: `no filter ${quoted(key)}; there are client, server_port, frontend, backend, server and limit`,
        };
    }
  }
  return filter;
}

const quoted = (text: string): string => JSON.stringify(truncate(text));

const isNumberUpTo = (text: string, most: number): boolean =>
  /^[1-9]\d{0,9}$/.test(text) && Number(text) <= most;

function isNetwork(text: string): boolean {
  try {
    networks([text]);
    return true;
  } catch {
    return false; // the caller says so
  }
}

function sessionsJson({ sessions, matched, silentWorkers }: SessionList) {
  return { sessions: sessions.map(sessionJson), matched, silent_workers: silentWorkers };
}

function sessionJson(session: SessionInfo) {
  const { id, frontend, backend, server, client, peer, local, ageMs, idleMs, bytesUp, bytesDown } = session;
  const written = (address: Address | null): string | null => address && formatAddress(address);
  return {
    id,
    frontend,
    backend,
    server,
    client: formatAddress(client),
    peer: written(peer),
    local: written(local),
    age_ms: Math.round(ageMs),
    idle_ms: Math.round(idleMs),
    bytes_up: bytesUp,
    bytes_down: bytesDown,
  };
}
