// Which check code an ending of a PostgreSQL probe counts as: socket errors by errno, server errors by SQLSTATE.
// Not the reading of bytes and not a decision about health. Used by the session and the prober beside it.
// SQLSTATEs: PostgreSQL documentation, appendix A "PostgreSQL Error Codes".

import { type ServerError } from '../../../protocol/postgres/frames.ts';
import { failure, type ConnectPhase, type Failure } from '../failures.ts';

/** How far a connection has come; what a silence or an error means depends on it. */
export type Phase = ConnectPhase | 'negotiating' | 'handshaking' | 'login' | 'idle' | 'asking' | 'ended';

/** An ErrorResponse. Classes come before single codes where the whole class means the same. */
export function serverFailure(error: ServerError): Failure {
  const { sqlstate } = error;
  const detail = `${error.severity} ${sqlstate}: ${error.message}`;
  if (sqlstate.startsWith('28')) return failure('L7AUTH', detail);
  switch (sqlstate) {
    case '53300':
      return failure('L7BUSY', detail);
    case '57P03':
      return failure('L7START', detail);
    case '57P01': // admin_shutdown, crash_shutdown and idle_session_timeout end the session
    case '57P02':
    case '57P05':
      return failure('L4LOST', detail);
    case '57014': // the statement timeout that the session asked for
      return failure('L7TOUT', detail);
    case '3D000':
    case '57P04':
      return failure('L7DB', detail);
    default:
      return failure('L7STS', detail);
  }
}
