// Literals for tests of MySQL's evidence: what a MariaDB of a master-master pair says of itself, with what matters given.

import { parseMariadbGtids } from '../../src/protocol/mysql/gtid.ts';
import {
  nothingTold,
  type History,
  type ProbeResult,
  type ReplicationChannel,
  type ServerFacts,
} from '../../src/health/result.ts';
import { pass } from './views.ts';

/** Of `views.ts`'s servers: db1 listens on port 5001, and so on. */
export function channel(from: string, given: Partial<ReplicationChannel> = {}): ReplicationChannel {
  return {
    name: '',
    source: `10.0.0.1:${5000 + Number(/\d+/.exec(from)?.[0] ?? 0)}`,
    receiving: 'yes',
    applying: true,
    caughtUp: true,
    lagSeconds: 0,
    receiveError: null,
    applyError: null,
    ...given,
  };
}

export function history(gtids: string, own?: string): History {
  const transactions = parseMariadbGtids(gtids) ?? {};
  return { kind: 'gtid', flavor: 'mariadb', transactions, ...(own === undefined ? {} : { own }) };
}

export const brokenBy = (errno: number, message = `error ${errno}`): Partial<ReplicationChannel> => ({
  applying: false,
  caughtUp: false,
  applyError: { errno, message },
});

/** A writable MariaDB with what `gtids` says, that follows whom `follows` says. */
export function master(
  server: string,
  gtids: string | null,
  {
    follows = [],
    at = 0,
    ...given
  }: Partial<ServerFacts> & { follows?: readonly ReplicationChannel[]; at?: number } = {},
): ProbeResult & { code: 'L7OK' } {
  const own = /\d+/.exec(server)?.[0] ?? '0';
  const result = pass({}, at);
  const facts: ServerFacts = {
    ...nothingTold,
    role: 'primary',
    writable: true,
    version: '10.11.19-MariaDB',
    channels: follows,
    history: gtids === null ? null : history(gtids, own),
    ...given,
  };
  return { ...result, facts };
}
