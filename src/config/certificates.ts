// What the files that a configuration names for TLS hold: a certificate and its key that fit each other, or authorities.
// Says what is wrong with them as the second half of a sentence. Not their use: that is app/tls/keeper.ts.
// Used by lint, through load.ts, and at run time, so that `pointsman check` and a start find the same.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { systemClock } from '../core/clock.ts';
import { describeError } from '../core/errors.ts';
import { whyUnreadable, type Sources } from './interpolate.ts';
import { type KeyPairProblem } from './lint/finding.ts';

export interface KeyPair {
  /** Of the certificate. */
  readonly file: string;
  /** PEM: the certificate, and whatever stands behind it. */
  readonly cert: string;
  readonly key: string;
  readonly x509: X509Certificate;
  readonly validFromMs: number;
  readonly validToMs: number;
}

export type ReadKeyPair =
  | { readonly ok: true; readonly pair: KeyPair }
  /** `part`: which of the two files is to blame. */
  | { readonly ok: false; readonly part: 'cert' | 'key'; readonly reason: string };

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const NO_CERTIFICATES = 'is not a PEM file of certificates';

/** Reasons never hold a piece of a key. */
function readKeyPair(file: string, cert: string, key: string): ReadKeyPair {
  const no = (part: 'cert' | 'key', reason: string): ReadKeyPair => ({ ok: false, part, reason });
  const first = firstCertificate(cert);
  if (typeof first === 'string') return no('cert', first);
  const reason = whyNoKey(key, first);
  if (reason !== null) return no('key', reason);
  const validFromMs = Date.parse(first.validFrom);
  const validToMs = Date.parse(first.validTo);
  return { ok: true, pair: { file, cert, key, x509: first, validFromMs, validToMs } };
}

type ReadText =
  { readonly ok: true; readonly text: string } | { readonly ok: false; readonly reason: string };

export function readText(file: string, { readFile }: Pick<Sources, 'readFile'>): ReadText {
  try {
    return { ok: true, text: readFile(file) };
  } catch (thrown) {
    return { ok: false, reason: `cannot be read: ${whyUnreadable(thrown)}` };
  }
}

/** The two files as they are now. */
export function loadKeyPair(
  certFile: string,
  keyFile: string,
  sources: Pick<Sources, 'readFile'>,
): ReadKeyPair {
  const cert = readText(certFile, sources);
  if (!cert.ok) return { ok: false, part: 'cert', reason: cert.reason };
  const key = readText(keyFile, sources);
  return key.ok ? readKeyPair(certFile, cert.text, key.text) : { ok: false, part: 'key', reason: key.reason };
}

/** What `pointsman check` says of them; `null`: nothing. */
export function whyNoKeyPair(
  certFile: string,
  keyFile: string,
  sources: Pick<Sources, 'readFile'>,
): KeyPairProblem | null {
  const read = loadKeyPair(certFile, keyFile, sources);
  if (!read.ok) return { part: read.part, usable: false, reason: read.reason };
  const reason = whyDoubtful(read.pair, systemClock.wall());
  return reason === null ? null : { part: 'cert', usable: true, reason };
}

/** `null`, or why the text can't serve as a list of authorities. */
export function whyNoAuthorities(text: string): string | null {
  const blocks = text.match(PEM_CERTIFICATE) ?? [];
  if (blocks.length === 0) return NO_CERTIFICATES;
  for (const block of blocks) {
    const read = firstCertificate(block);
    if (typeof read === 'string') return read;
  }
  return null;
}

/** `null`, or why nobody should believe the certificate now or soon. */
export function whyDoubtful({ validFromMs, validToMs }: KeyPair, nowMs: number): string | null {
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  if (nowMs >= validToMs) return `expired on ${day(validToMs)}: clients that check it are refused`;
  if (nowMs < validFromMs) return `is not valid before ${day(validFromMs)}`;
  if (validToMs - nowMs < EXPIRES_SOON_MS) return `expires on ${day(validToMs)}`;
  return null;
}

/** A week before, somebody should know; authorities that renew by themselves do so earlier. */
const EXPIRES_SOON_MS = 7 * 24 * 3600 * 1000;

function firstCertificate(text: string): X509Certificate | string {
  const [block] = text.match(PEM_CERTIFICATE) ?? [];
  if (block === undefined) return NO_CERTIFICATES;
  try {
    return new X509Certificate(block);
  } catch (thrown) {
    return `holds a certificate that cannot be read (${describeError(thrown).code})`;
  }
}

function whyNoKey(text: string, certificate: X509Certificate): string | null {
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text)) {
    return 'is a key with a passphrase, and nobody is there to type it';
  }
  if (!text.includes('PRIVATE KEY-----')) return 'is not a PEM file of a private key';
  try {
    const key = createPrivateKey(text);
    return certificate.checkPrivateKey(key) ? null : 'is not the key of the certificate';
  } catch (thrown) {
    return `holds a key that cannot be read (${describeError(thrown).code})`;
  }
}
