// MySQL servers that can't be had here, scripted: greetings, logins and answers as MySQL 5.7, 8 and 9 write them.
// For the prober's tests; bytes are written by hand, so that they don't come from the code under test.

import { constants, createHash, generateKeyPairSync, privateDecrypt } from 'node:crypto';
import { type Socket } from 'node:net';
import { type TestContext } from 'node:test';
import { scriptedPeer, type ScriptedPeer } from './scripted-peer.ts';

export const SCRAMBLE = Buffer.from('abcdefghijklmnopqrst', 'latin1');

export function packet(sequence: number, ...parts: readonly (Uint8Array | string)[]): Buffer {
  const payload = Buffer.concat(parts.map(part => Buffer.from(part as Uint8Array)));
  const header = Buffer.alloc(4);
  header.writeUIntLE(payload.length, 0, 3);
  header.writeUInt8(sequence, 3);
  return Buffer.concat([header, payload]);
}

export function greeting(version: string, plugin: string): Buffer {
  const capabilities = 0x00ff_f7ff; // all of MySQL 8 without TLS
  const fixed = Buffer.alloc(18);
  fixed.writeUInt16LE(capabilities & 0xffff, 0);
  fixed.writeUInt8(255, 2);
  fixed.writeUInt16LE(2, 3);
  fixed.writeUInt16LE(capabilities >>> 16, 5);
  fixed.writeUInt8(21, 7);
  return packet(
    0,
    Buffer.from([10]),
    `${version}\0`,
    Buffer.from([7, 0, 0, 0]),
    SCRAMBLE.subarray(0, 8),
    Buffer.from([0]),
    fixed,
    SCRAMBLE.subarray(8),
    Buffer.from([0]),
    `${plugin}\0`,
  );
}

export const ok = (sequence: number): Buffer => packet(sequence, Buffer.from([0, 0, 0, 2, 0, 0, 0]));
export const eof = (sequence: number): Buffer => packet(sequence, Buffer.from([0xfe, 0, 0, 2, 0]));

export function err(
  sequence: number,
  errno: number,
  message: string,
  sqlState: string | null = 'HY000',
): Buffer {
  const number = Buffer.alloc(2);
  number.writeUInt16LE(errno);
  return packet(sequence, Buffer.from([0xff]), number, sqlState === null ? '' : `#${sqlState}`, message);
}

export function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  if (bytes.length < 251) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = Buffer.alloc(3);
  length.writeUInt8(0xfc, 0);
  length.writeUInt16LE(bytes.length, 1);
  return Buffer.concat([length, bytes]);
}

export function column(sequence: number, name: string): Buffer {
  const fixed = Buffer.alloc(13);
  fixed.writeUInt8(12, 0);
  fixed.writeUInt16LE(255, 1);
  fixed.writeUInt8(253, 7);
  return packet(sequence, ...['def', '', '', '', name, ''].map(text), fixed);
}

function cell(value: string | null): Buffer {
  return value === null ? Buffer.from([0xfb]) : text(value);
}

/** One row for each object; all have the keys of the first. */
export function resultset(
  rows: readonly Readonly<Record<string, string | null>>[],
  columns?: readonly string[],
): Buffer {
  const names = columns ?? Object.keys(rows[0] ?? { none: null });
  let sequence = 0;
  const next = (): number => (sequence += 1);
  return Buffer.concat([
    packet(next(), Buffer.from([names.length])),
    ...names.map(name => column(next(), name)),
    eof(next()),
    ...rows.map(row => packet(next(), ...names.map(name => cell(row[name] ?? null)))),
    eof(next()),
  ]);
}

export interface MysqlScript {
  readonly version: string;
  /** Default: `mysql_native_password`, and any password is right. */
  readonly auth?: 'native' | 'sha2-fast' | 'sha2-full' | 'switch-to-sha2';
  readonly variables: Readonly<Record<string, string | null>>;
  /** Answers to other statements, by their beginning; a string is an error message with number 1064. */
  readonly answers?: Readonly<Record<string, Buffer>>;
  readonly password?: string;
  /** Statements as they come. */
  readonly asked?: string[];
}

/** A server that answers the prober as the script says. Unknown statements are syntax errors. */
export function mysqlPeer(t: TestContext, script: MysqlScript): Promise<ScriptedPeer> {
  return scriptedPeer(t, socket => serveMysql(socket, script));
}

export function serveMysql(socket: Socket, script: MysqlScript): void {
  const auth = script.auth ?? 'native';
  const sha2 = auth === 'sha2-fast' || auth === 'sha2-full';
  socket.write(greeting(script.version, sha2 ? 'caching_sha2_password' : 'mysql_native_password'));
  const login = loginSteps(socket, script, auth);
  let loggedIn = false;
  forPackets(socket, (sequence, payload) => {
    if (!loggedIn) {
      loggedIn = login(sequence, payload);
      return;
    }
    if (payload[0] === 1) socket.end();
    else if (payload[0] === 3) socket.write(answerTo(payload.subarray(1).toString('utf8'), script));
    else socket.destroy();
  });
}

function forPackets(socket: Socket, handle: (sequence: number, payload: Buffer) => void): void {
  let held = Buffer.alloc(0);
  socket.on('data', chunk => {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 4 && held.length >= 4 + held.readUIntLE(0, 3)) {
      const end = 4 + held.readUIntLE(0, 3);
      const payload = Buffer.from(held.subarray(4, end));
      const sequence = held.readUInt8(3);
      held = held.subarray(end);
      handle(sequence, payload);
    }
  });
}

/** Answers whether the login is done. */
function loginSteps(
  socket: Socket,
  { password = 'probe-secret' }: MysqlScript,
  auth: NonNullable<MysqlScript['auth']>,
): (sequence: number, payload: Buffer) => boolean {
  const keys =
    auth === 'native' || auth === 'sha2-fast' ? null : generateKeyPairSync('rsa', { modulusLength: 2048 });
  const refuse = (sequence: number): boolean => {
    socket.end(err(sequence, 1045, "Access denied for user 'probe'", '28000'));
    return false;
  };
  let step = 0;
  return (sequence, payload) => {
    step += 1;
    if (auth === 'switch-to-sha2' && step === 1) {
      socket.write(
        packet(sequence + 1, Buffer.from([0xfe]), 'caching_sha2_password\0', SCRAMBLE, Buffer.from([0])),
      );
      return false;
    }
    const first = auth === 'switch-to-sha2' ? 2 : 1;
    if (auth !== 'native' && step === first) {
      if (!payload.includes(fastToken(password))) return refuse(sequence + 1);
      const fast = auth === 'sha2-fast';
      socket.write(packet(sequence + 1, Buffer.from([1, fast ? 3 : 4])));
      if (fast) socket.write(ok(sequence + 2));
      return fast;
    }
    if (keys !== null && payload.equals(Buffer.from([2]))) {
      const pem = keys.publicKey.export({ type: 'spki', format: 'pem' });
      socket.write(packet(sequence + 1, Buffer.from([1]), pem.toString()));
      return false;
    }
    if (keys !== null) {
      const padding = constants.RSA_PKCS1_OAEP_PADDING;
      const mixed = privateDecrypt({ key: keys.privateKey, padding, oaepHash: 'sha1' }, payload);
      const clear = Buffer.from(mixed.map((byte, i) => byte ^ (SCRAMBLE[i % SCRAMBLE.length] ?? 0)));
      if (clear.toString() !== `${password}\0`) return refuse(sequence + 1);
    }
    socket.write(ok(sequence + 1));
    return true;
  };
}

/** MySQL Source Documentation, "Caching SHA-2 pluggable authentication". */
function fastToken(password: string): Buffer {
  const sha256 = (...parts: readonly Uint8Array[]): Buffer =>
    createHash('sha256').update(Buffer.concat(parts)).digest();
  const stage1 = sha256(Buffer.from(password));
  const mask = sha256(sha256(stage1), SCRAMBLE);
  return Buffer.from(stage1.map((byte, i) => byte ^ (mask[i] ?? 0)));
}

function answerTo(statement: string, { variables, answers = {}, asked }: MysqlScript): Buffer {
  // With query attributes, two bytes stand before the text.
  const sql = statement.replace(/^\0\x01/, '');
  asked?.push(sql);
  for (const [start, answer] of Object.entries(answers)) if (sql.startsWith(start)) return answer;
  if (sql.startsWith('show global variables')) {
    const wanted = [...sql.matchAll(/'(\w+)'/g)].map(([, name = '']) => name);
    const rows = wanted
      .filter(name => name in variables)
      .map(name => ({ Variable_name: name, Value: variables[name] ?? '' }));
    return resultset(rows, ['Variable_name', 'Value']);
  }
  if (sql.startsWith('set session')) return ok(1);
  if (sql.startsWith('select @@global.')) {
    const names = [...sql.matchAll(/@@global\.(\w+)/g)].map(([, name = '']) => name);
    const missing = names.find(name => !(name in variables));
    if (missing !== undefined) return err(1, 1193, `Unknown system variable '${missing}'`);
    return resultset([Object.fromEntries(names.map(name => [name, variables[name] ?? null]))]);
  }
  return err(1, 1064, `You have an error in your SQL syntax near '${sql}'`, '42000');
}
