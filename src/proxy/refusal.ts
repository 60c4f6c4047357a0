// What a refused client is told, in its own protocol: the reason, for how long, and whether trying again helps.
// Not the decision to refuse (session.ts, frontend.ts), nor when it can be told (protocols.ts). Pure.
// Called by connection.ts when it closes with an answer.

import { type Protocol, type Route } from '../config/schema.ts';
import { unavailable } from '../protocol/http/unavailable.ts';
import { errPacket } from '../protocol/mysql/err-packet.ts';
import { errorResponse } from '../protocol/postgres/startup.ts';
import { errorLine } from '../protocol/redis/error-line.ts';
import { RETRY_AFTER_SECONDS } from './bounds.ts';
import { rejectReasons, type RejectReason } from './events.ts';

export interface RefusalFacts {
  readonly frontend: string;
  readonly backend: string;
  readonly route: Route;
  readonly maxConnections: number;
  readonly holdMax: number;
  /** For how long there has been no server for this frontend; null while there is one. */
  readonly vacantMs: number | null;
}

/** Empty where nothing can be said: the protocol isn't known. */
export function refusal(protocol: Protocol, reason: RejectReason, facts: RefusalFacts): Uint8Array {
  const message = `pointsman: ${sentence(reason, facts)}`;
  switch (protocol) {
    case 'postgres':
      return errorResponse({ severity: 'FATAL', sqlstate: postgresStateOf(reason), message });
    case 'mysql':
      return errPacket({ ...mysqlErrorOf(reason), message });
    case 'redis':
      return errorLine(redisCodeOf(reason, facts), message);
    case 'http':
      return unavailable({ retryAfterSeconds: RETRY_AFTER_SECONDS, error: reason, message });
    case 'tcp':
      return new Uint8Array(0);
  }
}

/**
 * SQLSTATE (PostgreSQL documentation, appendix A): 57P03 cannot_connect_now and 53300 too_many_connections are what
 * client libraries and pools retry on; 57P01 is admin_shutdown. 28000 is what
 * pg_hba.conf refuses a client with that lacks TLS or a certificate.
 */
function postgresStateOf(reason: RejectReason): string {
  switch (reason) {
    case 'max-connections':
    case 'max-connections-per-ip':
    case 'rate-limit':
    case 'servers-full':
    case 'hold-full':
    case 'descriptors':
      return '53300';
    case 'shutdown':
    case 'frontend-removed':
      return '57P01';
    case 'tls-required':
    case 'tls-certificate':
      return '28000';
    default:
      return '57P03';
  }
}

/**
 * 1040 (ER_CON_COUNT_ERROR) for limits, and for want of a server too: it is the one refusal before the greeting that every
 * client knows and that lists of errors to retry have. The errors that would say more can't be used: those of "can't
 * connect" (2002, 2003) are the client's own, and MariaDB's library calls them a malformed packet when a server sends
 * them. What really is the matter stands in the message. 1053 is ER_SERVER_SHUTDOWN. Class 08 is connection exception.
 * A MariaDB program that would rather have TLS shows any error in place of the greeting, a server's own too, as 2002 with
 * a sentence before it (seen with Connector/C 3.3.20); number and reason follow.
 */
function mysqlErrorOf(reason: RejectReason): { readonly errno: number; readonly sqlstate: string } {
  return reason === 'shutdown' || reason === 'frontend-removed'
    ? { errno: 1053, sqlstate: '08S01' }
    : { errno: 1040, sqlstate: '08004' };
}

/**
 * LOADING and MASTERDOWN are Redis's own words for "there, but not now", and go-redis, redis-py and others retry on them.
 * Its word for a limit is a whole sentence (ERR max number of clients reached) that is recognized only without another.
 */
function redisCodeOf(reason: RejectReason, { route }: RefusalFacts): string {
  if (reason === 'tls-certificate') return 'DENIED';
  const lacking = reason === 'no-server' || reason === 'hold-timeout' || reason === 'connect-failed';
  return lacking && route === 'replica' ? 'MASTERDOWN' : 'LOADING';
}

function sentence(reason: RejectReason, facts: RefusalFacts): string {
  const { frontend, backend } = facts;
  switch (reason) {
    case 'max-connections':
      return `frontend ${frontend} has its ${facts.maxConnections} connections (max_connections)`;
    case 'hold-full':
      return `${vacancy(facts)}; ${facts.holdMax} clients wait already (hold_max of frontend ${frontend})`;
    case 'hold-timeout':
    case 'no-server':
      return vacancy(facts);
    case 'servers-full':
      return `every ${wanted(facts.route)} in backend ${backend} has its connections`;
    case 'connect-failed':
      return `no ${wanted(facts.route)} in backend ${backend} could be connected to`;
    default:
      return rejectReasons[reason];
  }
}

/** Not why: the reasons name servers and errors, and whoever can reach the port reads this without a password. */
function vacancy({ backend, route, vacantMs }: RefusalFacts): string {
  const since = vacantMs === null ? '' : ` for ${duration(vacantMs)}`;
  return `no ${wanted(route)} in backend ${backend}${since}`;
}

function wanted(route: Route): string {
  if (route === 'primary' || route === 'replica') return route;
  return route === 'any' ? 'server' : 'replica or primary';
}

function duration(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${Math.round(ms / 1000)} s`;
}
