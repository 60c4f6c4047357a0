// The number of a Node server's listening socket. Node passes sockets between its own processes, by a channel of its own, but
// doesn't tell their numbers; a successor takes numbers (as systemd gives them), so it is read where Node keeps it.
// Used by the net driver and the admin server.

/** Of a listening server of node:net or node:http; nothing where Node keeps it elsewhere, or it doesn't listen. */
export function descriptorOf(server: object): readonly number[] {
  const { _handle: handle } = server as { readonly _handle?: { readonly fd?: unknown } | null };
  return typeof handle?.fd === 'number' && handle.fd >= 0 ? [handle.fd] : [];
}
