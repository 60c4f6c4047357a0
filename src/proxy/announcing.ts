// What is announced to servers that expect a PROXY header: the client, the address it connected to, and what a proxy before
// us said of it. Which backends want one is in the view; the bytes are protocol/proxy-protocol's. Called by connection.ts.

import { type Address } from '../core/address.ts';
import { encodeV1, encodeV2 } from '../protocol/proxy-protocol/encode.ts';
import { noTlvs, type Announcement } from '../protocol/proxy-protocol/header.ts';
import { type BackendView } from '../topology/model.ts';
import { type TcpSocket } from './driver.ts';

/** `null`: the backend wants none. Asks the system for an address, where no proxy has told it. */
export function headerFor(
  { sendProxy }: Pick<BackendView, 'sendProxy'>,
  client: Address,
  socket: Pick<TcpSocket, 'localAddress'>,
  announced: Announcement | null,
): Uint8Array | null {
  if (sendProxy === null) return null;
  const destination = announced?.ends?.destination ?? socket.localAddress();
  // One that is closed by now has no address, and nobody behind it.
  const ends = destination === null ? null : { source: client, destination };
  if (sendProxy === 'v1') return encodeV1(ends);
  return encodeV2(ends, announced?.tlvs ?? noTlvs, sendProxy === 'v2-crc32c');
}
