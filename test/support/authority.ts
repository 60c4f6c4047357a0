// A certificate authority for the tests of TLS: makes certificates with openssl at run time, in a directory of its own.
// Not those of the probes' tests (postgres.ts). Everything is gone after the test.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Issued {
  readonly certFile: string;
  readonly keyFile: string;
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

export class Authority {
  readonly directory = mkdtempSync(join(tmpdir(), 'pointsman-ca-'));
  readonly caFile = this.path('ca.pem');

  constructor() {
    // Servers that run as another user read their certificates here too.
    chmodSync(this.directory, 0o755);
    this.#openssl(
      ...['req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.pem'],
      ...['-subj', '/CN=test authority', '-days', '2'],
    );
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** `names`: DNS names or IP addresses, the first also as its common name. `days`: -1, it expired yesterday. */
  issue(file: string, names: readonly string[], days = 30): Issued {
    const [first = ''] = names;
    const alternative = names.map(name => (/^[\d.]+$/.test(name) ? `IP:${name}` : `DNS:${name}`));
    writeFileSync(this.path('extensions'), `subjectAltName=${alternative.join(',')}\n`);
    this.#openssl(
      ...['req', ...newKey, '-keyout', `${file}.key`, '-out', `${file}.csr`, '-subj', `/CN=${first}`],
    );
    this.#openssl(
      ...['x509', '-req', '-in', `${file}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'],
      ...['-out', `${file}.crt`, '-days', String(days), '-extfile', 'extensions'],
    );
    return { certFile: this.path(`${file}.crt`), keyFile: this.path(`${file}.key`) };
  }

  dispose(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  #openssl(...args: readonly string[]): void {
    const run = spawnSync('openssl', args, { cwd: this.directory, encoding: 'utf8' });
    assert.equal(run.status, 0, `openssl ${args.join(' ')}: ${run.stderr}`);
  }
}
