// The request of an HTTP probe as bytes. Not a client: no body, no method but GET.
// Used by the HTTP prober and by what asks REST APIs. Format: RFC 9112, sections 3 and 5.

import { formatAddress, type Address } from '../../core/address.ts';

export interface ProbeRequest {
  /** Of the server; the Host header where there is no `host`. */
  readonly address: Address;
  /** From its first slash on, without white space. */
  readonly path: string;
  readonly host: string | null;
  /** Names as they are written; one that Pointsman would send too (User-Agent, Accept …) takes its place. */
  readonly headers: Readonly<Record<string, string>>;
}

const usual: Readonly<Record<string, string>> = {
  'User-Agent': 'pointsman',
  Accept: '*/*',
  // What is looked for in the body is looked for as it is.
  'Accept-Encoding': 'identity',
};

/** Connections are kept alive (HTTP/1.1's default). The schema has checked that no part can hold a line break. */
export function encodeProbeRequest({ address, path, host, headers }: ProbeRequest): Buffer {
  const given = new Set(Object.keys(headers).map(name => name.toLowerCase()));
  const others = Object.entries(usual).filter(([name]) => !given.has(name.toLowerCase()));
  const lines = [
    `GET ${path} HTTP/1.1`,
    `Host: ${host ?? formatAddress(address)}`,
    ...[...others, ...Object.entries(headers)].map(([name, value]) => `${name}: ${value}`),
  ];
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}
