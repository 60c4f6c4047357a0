// Rules about TLS of relayed sessions and of the admin port: the files, and what does nothing or can't work.
// Not the TLS of probes (lint/backends.ts), nor what is in a file (certificates.ts). Part of lint.ts.

import { type Path } from '../path.ts';
import {
  backendOf,
  error,
  forFrontends,
  warning,
  type LintFinding,
  type LintSource,
  type Rule,
} from './finding.ts';

function keyPairFindings(
  pair: { readonly certFile: string; readonly keyFile: string },
  path: Path,
  source: LintSource,
): readonly LintFinding[] {
  const found = source.whyNoKeyPair(pair.certFile, pair.keyFile);
  if (found === null) return [];
  const at = [...path, found.part === 'cert' ? 'cert_file' : 'key_file'];
  const other = [...path, found.part === 'cert' ? 'key_file' : 'cert_file'];
  return [(found.usable ? warning : error)(at, `${source.show(at)} ${found.reason}`, other)];
}

function authoritiesFindings(file: string | null, at: Path, source: LintSource): readonly LintFinding[] {
  const why = file === null ? null : source.whyNoAuthorities(file);
  return why === null ? [] : [error(at, `${source.show(at)} ${why}`)];
}

const frontendFiles: Rule = ({ frontends }, source) =>
  Object.entries(frontends).flatMap(([name, { tls }]) => {
    if (tls === null) return [];
    const path = ['frontends', name, 'tls'];
    return [
      ...tls.certificates.flatMap((pair, index) =>
        keyPairFindings(pair, [...path, 'certificates', index], source),
      ),
      ...authoritiesFindings(tls.clientCaFile, [...path, 'client_ca_file'], source),
    ];
  });

const clientsAreCheckable = forFrontends(({ tls }, path) => {
  if (tls === null) return null;
  const verify = [...path, 'tls', 'verify'];
  const file = [...path, 'tls', 'client_ca_file'];
  if (tls.verify !== 'none' && tls.clientCaFile === null) {
    return error(verify, 'needs a client_ca_file: without one no certificate of a client is good', file);
  }
  if (tls.verify === 'none' && tls.clientCaFile !== null) {
    return error(file, 'does nothing with verify none: no client is asked for a certificate', verify);
  }
  return null;
});

const tcpCannotTell = forFrontends(({ tls, backend }, path, _source, config) => {
  if (tls?.mode !== 'allow' || backendOf(config, backend)?.protocol !== 'tcp') return null;
  return error(
    [...path, 'tls', 'mode'],
    'cannot be allow with a tcp backend: whether a silent client will speak TLS, nobody can tell',
    [...path, 'backend'],
    ['backends', backend, 'protocol'],
  );
});

/** What was seen with libpq 15 and 18 (docs/tls.md): the client binds its login to our certificate, the server to its own. */
const bindsToTheWrongChannel = forFrontends(({ tls, backend }, path, _source, config) => {
  const behind = backendOf(config, backend);
  if (tls === null || behind?.protocol !== 'postgres' || behind.tls === null) return null;
  return warning(
    [...path, 'tls'],
    'ends TLS here while the servers have TLS of their own: SCRAM logins of libpq fail unless clients set channel_binding=disable, or this certificate is the servers’ own',
    [...path, 'backend'],
    ['backends', backend, 'tls'],
  );
});

const serversTls: Rule = ({ backends }, source) =>
  Object.entries(backends).flatMap(([name, { tls }]) => {
    if (tls === null) return [];
    const path = ['backends', name, 'tls'];
    const found: LintFinding[] = [];
    const ca = [...path, 'ca_file'];
    if (tls.caFile !== null && tls.mode === 'require') {
      found.push(error(ca, 'does nothing with mode require: no certificate is checked', [...path, 'mode']));
    } else {
      found.push(...authoritiesFindings(tls.caFile, ca, source));
    }
    const { certFile, keyFile } = tls;
    if (certFile !== null && keyFile !== null) {
      found.push(...keyPairFindings({ certFile, keyFile }, path, source));
    } else if (certFile !== null || keyFile !== null) {
      const [present, missing] = certFile === null ? ['key_file', 'cert_file'] : ['cert_file', 'key_file'];
      found.push(error([...path, present], `does nothing without ${missing}`, [...path, missing]));
    }
    return found;
  });

const adminFiles: Rule = ({ admin: { tls } }, source) => {
  if (tls === null) return [];
  const path = ['admin', 'tls'];
  return [
    ...keyPairFindings(tls, path, source),
    ...authoritiesFindings(tls.clientCaFile, [...path, 'client_ca_file'], source),
  ];
};

export const tlsRules: readonly Rule[] = [
  frontendFiles,
  clientsAreCheckable,
  tcpCannotTell,
  bindsToTheWrongChannel,
  serversTls,
  adminFiles,
];
