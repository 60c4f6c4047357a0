// The login signature of MariaDB's `ed25519` plugin: Ed25519 (RFC 8032) but for the key, which is the SHA-512 of the
// password of any length; node:crypto takes only seeds of 32 bytes. Pure. Used by probe sessions.
// Not made for secrecy against somebody who measures this very process: BigInt takes as long as the numbers say.

import { createHash } from 'node:crypto';

/** The field's prime, the order of the base point, and the curve's constant (RFC 8032, section 5.1). */
const P = 2n ** 255n - 19n;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n;

/** Extended coordinates (X : Y : Z : T), x = X/Z, y = Y/Z, xy = T/Z. */
type Point = readonly [bigint, bigint, bigint, bigint];

const BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202n;
const BASE_Y = 46316835694926478169428394003475163141307993866256225615783033603165251855960n;
const BASE: Point = [BASE_X, BASE_Y, 1n, mod(BASE_X * BASE_Y)];
const NEUTRAL: Point = [0n, 1n, 1n, 0n];

/** 64 bytes: what the server verifies against the account's public key. */
export function signScramble(password: string, scramble: Uint8Array): Buffer {
  const { scalar, prefix } = keyOf(password);
  const publicKey = encode(multiply(scalar, BASE));
  const nonce = toNumber(sha512(prefix, scramble)) % L;
  const commitment = encode(multiply(nonce, BASE));
  const challenge = toNumber(sha512(commitment, publicKey, scramble)) % L;
  const answer = (nonce + challenge * scalar) % L;
  return Buffer.concat([commitment, toBytes(answer)]);
}

/** 32 bytes, as `mysql.global_priv` holds them in base64: what an account with this password has on the server. */
export function publicKeyOf(password: string): Buffer {
  return encode(multiply(keyOf(password).scalar, BASE));
}

function keyOf(password: string): { scalar: bigint; prefix: Buffer } {
  const hash = sha512(Buffer.from(password, 'utf8'));
  const clamped = Buffer.from(hash.subarray(0, 32));
  clamped.writeUInt8(clamped.readUInt8(0) & 0xf8, 0);
  clamped.writeUInt8((clamped.readUInt8(31) & 0x7f) | 0x40, 31);
  return { scalar: toNumber(clamped), prefix: hash.subarray(32) };
}

function sha512(...parts: readonly Uint8Array[]): Buffer {
  const hash = createHash('sha512');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function mod(value: bigint): bigint {
  const rest = value % P;
  return rest < 0n ? rest + P : rest;
}

/** RFC 8032, section 5.1.4. */
function add([x1, y1, z1, t1]: Point, [x2, y2, z2, t2]: Point): Point {
  const a = mod((y1 - x1) * (y2 - x2));
  const b = mod((y1 + x1) * (y2 + x2));
  const c = mod(2n * t1 * t2 * D);
  const d = mod(2n * z1 * z2);
  const e = b - a;
  const f = d - c;
  const g = d + c;
  const h = b + a;
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

function multiply(factor: bigint, point: Point): Point {
  let sum = NEUTRAL;
  let power = point;
  for (let rest = factor; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) sum = add(sum, power);
    power = add(power, power);
  }
  return sum;
}

function encode([x, y, z]: Point): Buffer {
  const inverse = raise(z, P - 2n);
  const bytes = toBytes(mod(y * inverse));
  const sign = Number(mod(x * inverse) & 1n);
  bytes.writeUInt8(bytes.readUInt8(31) | (sign << 7), 31);
  return bytes;
}

function raise(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  let power = base;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = mod(result * power);
    power = mod(power * power);
  }
  return result;
}

/** Little-endian, as all numbers of Ed25519. */
function toNumber(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
}

function toBytes(value: bigint): Buffer {
  return Buffer.from(value.toString(16).padStart(64, '0'), 'hex').reverse();
}
