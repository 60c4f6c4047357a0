// What a refused client is told, in its own protocol: the reason, for how long, and whether trying again helps.
// Not the decision to refuse (session.ts, frontend.ts). Pure. Called by a driver when it closes with an answer.

import { type Route } from '../config/schema.ts';
import { errorResponse } from '../protocol/postgres/startup.ts';
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

/**
 * A FATAL ErrorResponse. SQLSTATE (PostgreSQL documentation, appendix A): 57P03 cannot_connect_now and
 * 53300 too_many_connections are what client libraries and pools retry on; 57P01 is admin_shutdown.
 */
export function refusal(reason: RejectReason, facts: RefusalFacts): Uint8Array {
  const message = `pointsman: ${sentence(reason, facts)}`;
  return errorResponse({ severity: 'FATAL', sqlstate: sqlstateOf(reason), message });
}

function sqlstateOf(reason: RejectReason): string {
  switch (reason) {
    case 'max-connections':
    case 'hold-full':
    case 'descriptors':
      return '53300';
    case 'shutdown':
      return '57P01';
    default:
      return '57P03';
  }
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
