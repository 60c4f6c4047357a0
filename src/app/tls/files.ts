// Reads the files of TLS, or throws TLS_UNUSABLE with file and reason; and tells whether they are others than before.
// Used by keeper.ts.

import { readFileSync, statSync } from 'node:fs';
import { loadKeyPair, readText, whyNoAuthorities, type KeyPair } from '../../config/certificates.ts';
import { describeError, PointsmanError } from '../../core/errors.ts';

const sources = { readFile: (path: string): string => readFileSync(path, 'utf8') };

export function loadPair({
  certFile,
  keyFile,
}: {
  readonly certFile: string;
  readonly keyFile: string;
}): KeyPair {
  const read = loadKeyPair(certFile, keyFile, sources);
  if (read.ok) return read.pair;
  throw unusable(read.part === 'cert' ? certFile : keyFile, read.reason);
}

export function loadAuthorities(file: string): string {
  const read = readText(file, sources);
  if (!read.ok) throw unusable(file, read.reason);
  const reason = whyNoAuthorities(read.text);
  if (reason !== null) throw unusable(file, reason);
  return read.text;
}

const unusable = (file: string, reason: string): PointsmanError =>
  new PointsmanError('TLS_UNUSABLE', `${file} ${reason}`);

/** Another one means that a file is another: written anew, replaced, or behind a link that leads elsewhere now. */
export function signatureOf(files: readonly string[]): string {
  return files
    .map(file => {
      try {
        const { ino, size, mtimeMs } = statSync(file);
        return `${ino} ${size} ${mtimeMs}`;
      } catch (thrown) {
        return describeError(thrown).code;
      }
    })
    .join(', ');
}
