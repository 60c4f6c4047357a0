// A joined session as the registry wants one, with what matters given and the rest plausible.

import { type JoinedSession } from '../../src/proxy/registry.ts';
import { type Proxy } from '../../src/proxy/proxy.ts';
import { NOWHERE } from '../../src/proxy/roster.ts';

export function joined(given: Partial<JoinedSession> & Pick<JoinedSession, 'evict'>): JoinedSession {
  return {
    frontend: 'app',
    backend: 'app',
    server: 'pg1',
    route: 'primary',
    client: { host: '10.1.0.1', port: 40_000 },
    place: NOWHERE,
    number: 0,
    localAddress: () => null,
    numbers: () => ({ peer: null, ageMs: 0, idleMs: 0, bytesUp: 0, bytesDown: 0 }),
    awaitsAnswer: () => false,
    listen: () => undefined,
    ...given,
  };
}

/** Of a proxy that nobody is connected to. */
export const noSessions: Pick<Proxy, 'sessions' | 'closeSessions' | 'pauseSessions'> = {
  sessions: () => Promise.resolve({ sessions: [], matched: 0, silentWorkers: 0 }),
  closeSessions: () => Promise.resolve(0),
  pauseSessions: () => Promise.resolve(0),
};
