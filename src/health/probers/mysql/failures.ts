// Which check code an ending of a MySQL probe counts as: socket errors by errno, server errors by their number.
// Not the reading of bytes and not a decision about health. Used by the session and the prober beside it.
// Numbers: MySQL Server Error Reference; MariaDB Error Codes (where 1900 to 1999 are MariaDB's own).

import { type ServerError } from '../../../protocol/mysql/packets.ts';
import { type FailureCode } from '../../result.ts';
import { failure, type ConnectPhase, type Failure } from '../failures.ts';

/** How far a connection has come; what a silence or an error means depends on it. */
export type Phase = ConnectPhase | 'greeting' | 'handshaking' | 'login' | 'idle' | 'asking' | 'ended';

export const NO_PRIVILEGE = 1227;

const byNumber: Readonly<Record<number, FailureCode>> = {
  1040: 'L7BUSY', // too many connections
  1203: 'L7BUSY', // of this user: its own limit, or the global one
  1226: 'L7BUSY', // a resource limit of the user
  1129: 'L7BLOCK', // too many interrupted handshakes from this host
  1130: 'L7AUTH', // this host may not connect
  1044: 'L7AUTH',
  1045: 'L7AUTH',
  1251: 'L7AUTH', // an authentication protocol that the client doesn't have
  1524: 'L7AUTH', // a plugin that the server hasn't loaded
  1698: 'L7AUTH', // by a plugin that wants no password, such as unix_socket
  1820: 'L7AUTH', // the password has expired
  1862: 'L7AUTH',
  3118: 'L7AUTH', // the account is locked
  4151: 'L7AUTH', // the same in MariaDB
  3159: 'L7AUTH', // only with TLS
  1049: 'L7DB',
  1053: 'L7START', // shutting down
  3032: 'L7START', // in offline mode
  3169: 'L4LOST', // the session was killed
  1927: 'L4LOST', // the same in MariaDB
  4031: 'L4LOST', // idle for longer than wait_timeout
  1317: 'L7TOUT', // ended by the limit that the session asked for
  1969: 'L7TOUT',
  3024: 'L7TOUT',
};

export function serverFailure({ errno, message }: ServerError): Failure {
  const words = `${errno}: ${message}`;
  // MySQL 8 says mysqladmin here, MariaDB mariadb-admin; the statement is the same everywhere.
  const hint = errno === 1129 ? ' (on the server: FLUSH HOSTS)' : '';
  return failure(byNumber[errno] ?? 'L7STS', `${words}${hint}`);
}
