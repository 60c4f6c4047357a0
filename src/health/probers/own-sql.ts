// What the first value of an operator's own SQL (`check.writable`) says: yes or no. Not the asking: that is the prober's
// of each protocol. Pure.

const yes: ReadonlySet<string> = new Set(['true', '1', 't', 'yes', 'on', 'primary', 'master', 'writable']);

/**
 * Whether a value means "writable": one of true, 1, t, yes, on, primary, master, writable in any case, as text, number,
 * boolean or bits. All else says no, `null` and `undefined` (no row) among it.
 */
export function saysYes(value: unknown): boolean {
  switch (typeof value) {
    case 'boolean':
      return value;
    case 'number':
      return value === 1;
    case 'bigint':
      return value === 1n;
    case 'string':
      return yes.has(value.trim().toLowerCase()) || isBitOne(value);
    case 'object':
      return value instanceof Uint8Array && saysYes(Buffer.from(value).toString('latin1'));
    default:
      return false;
  }
}

/** A BIT column comes as raw bytes, its value in big-endian order: `\x01`, or `\x00\x01`. */
function isBitOne(text: string): boolean {
  return /^\0*\x01$/.test(text);
}
