// What a PROXY header says, and the numbers of its two versions. Source: "The PROXY protocol, versions 1 & 2", haproxy's
// doc/proxy-protocol.txt, sections 2.1 (human-readable) and 2.2 (binary). Used by decode.ts and encode.ts; no bytes move here.

import { type Address } from '../../core/address.ts';

/** What a proxy says of the connection that it carries. */
export interface Announcement {
  /**
   * The client's address and the one that the client connected to. `null`: the proxy names none (LOCAL, UNKNOWN, a unix
   * socket): the connection is its own, or it doesn't know.
   */
  readonly ends: Ends | null;
  /** Whatever else version 2 said (section 2.2.1 and following), as it came, but for checksum and padding. */
  readonly tlvs: Uint8Array;
}

export interface Ends {
  readonly source: Address;
  readonly destination: Address;
}

/** Section 2.1: the longest line, CRLF included, and what it begins with. */
export const V1_MAX_BYTES = 107;
export const V1_BEGIN = 'PROXY ';

/** Section 2.2: twelve bytes that no other protocol begins with. */
export const V2_SIGNATURE = Uint8Array.of(13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10);
/** Signature, version and command, family, length. */
export const V2_FIXED_BYTES = 16;
export const V2_VERSION = 2;
export const V2_COMMANDS = { local: 0, proxy: 1 } as const;
export const V2_FAMILIES = { unspecified: 0, inet: 1, inet6: 2, unix: 3 } as const;
export const V2_STREAM = 1;
/** Source and destination address, source and destination port. */
export const V2_ADDRESS_BYTES = { inet: 12, inet6: 36, unix: 216 } as const;

/** Types of TLVs, of which each has a type, a length of two bytes, and a value. */
export const TLV_CRC32C = 0x03;
export const TLV_NOOP = 0x04;
export const TLV_HEAD_BYTES = 3;

export const noTlvs = new Uint8Array(0);
