// A TCP address and how it is written. Not a resolver: a host may be a name.
// Used wherever something listens or is connected to.

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, with IPv6 in brackets. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** As written: a name and the address it stands for differ. */
export function isSameAddress(a: Address, b: Address): boolean {
  return a.port === b.port && a.host === b.host;
}
