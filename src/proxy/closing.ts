// How the two sockets of a client connection are closed, by the mode that the session chose (session-model.ts).
// Called by connection.ts, as the last thing it does.

import { HALF_CLOSED_MAX_MS, LINGER_MS } from './bounds.ts';
import { type ConnectionHost } from './connection-host.ts';
import { type TcpSocket } from './driver.ts';
import { type CloseMode, type Outcome } from './session-model.ts';

export function closeSockets(
  client: TcpSocket,
  server: TcpSocket | null,
  mode: CloseMode,
  outcome: Outcome,
  host: Pick<ConnectionHost<never>, 'refusal'>,
): void {
  if (server !== null) {
    closePair(client, server, mode, outcome);
  } else if (mode === 'reset') {
    client.destroy();
  } else {
    if (mode === 'answer' && outcome.kind === 'rejected') client.write(host.refusal(outcome.reason));
    client.endWithin(LINGER_MS);
  }
}

function closePair(client: TcpSocket, server: TcpSocket, mode: CloseMode, outcome: Outcome): void {
  // Both halves have ended: what is left is bytes on their way to a slow reader, and they were promised to it.
  const finished = outcome.kind === 'session' && (outcome.reason === 'client' || outcome.reason === 'server');
  const boundMs = finished ? HALF_CLOSED_MAX_MS : LINGER_MS;
  server.part();
  client.part();
  if (mode === 'end') server.endWithin(boundMs);
  else server.reset();
  if (mode === 'reset') client.reset();
  else client.endWithin(boundMs);
}
