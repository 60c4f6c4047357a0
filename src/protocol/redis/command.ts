// Writes commands as every Redis server and Sentinel takes them: an array of bulk strings, the same in RESP2 and RESP3.
// Pure. Used by the Redis sessions of the probers.

export type Command = readonly [name: string, ...args: readonly string[]];

/** Several commands in one piece, to be answered one after the other. */
export function encodeCommands(commands: readonly Command[]): Buffer {
  return Buffer.concat(commands.map(encode));
}

function encode(command: Command): Buffer {
  const parts = command.map(part => `$${Buffer.byteLength(part)}\r\n${part}\r\n`);
  return Buffer.from(`*${command.length}\r\n${parts.join('')}`);
}
