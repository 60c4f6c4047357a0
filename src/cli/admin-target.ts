// Which running Pointsman a command means, and with which token it speaks: of the configuration file, or of --url and
// POINTSMAN_TOKEN. Says what is wrong, and never a token. Pure but for the sources it is given. Used by admin-client.ts.

import { readText } from '../config/certificates.ts';
import { type Sources } from '../config/interpolate.ts';
import { formatIssue, loadConfig } from '../config/load.ts';
import { formatAddress, type Address } from '../core/address.ts';

export interface AdminOptions {
  readonly config: string;
  /** Instead of the address in the configuration; then no file is read. */
  readonly url: string | undefined;
  /** PEM file of the authorities to trust with an https address. */
  readonly caFile?: string | undefined;
  /** PEM files of a certificate to show, where one is asked for. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

export interface AdminTarget {
  /** Without a slash at its end. */
  readonly url: string;
  readonly token: string | null;
  /** Texts, not files. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

export type FoundTarget =
  | { readonly ok: true; readonly target: AdminTarget }
  | { readonly ok: false; readonly complaints: readonly string[] };

/** The environment's token wins over that of the file; an empty one is none. */
export function findTarget(options: AdminOptions, sources: Sources): FoundTarget {
  const { config: file, url } = options;
  const files = [
    ['ca', options.caFile],
    ['cert', options.certFile],
    ['key', options.keyFile],
  ] as const;
  const tls: { ca?: string; cert?: string; key?: string } = {};
  for (const [part, path] of files) {
    const read = path === undefined ? null : readText(path, sources);
    if (read !== null && !read.ok) return no(`--${part}-file ${path} ${read.reason}`);
    if (read !== null) tls[part] = read.text;
  }
  const given = sources.env['POINTSMAN_TOKEN'] ?? '';
  const token = given === '' ? null : given;
  if (url !== undefined) {
    const plain = plainUrl(url);
    if (plain !== null) return { ok: true, target: { url: plain, token, tls } };
    return no('--url is not the address of an admin server, such as http://127.0.0.1:9101');
  }
  const result = loadConfig(file, sources);
  if (!result.ok) {
    const hint =
      'only admin.bind and admin.token are wanted of that file; --url and POINTSMAN_TOKEN do without it';
    return { ok: false, complaints: [...result.issues.map(formatIssue), `pointsman: ${hint}`] };
  }
  const { bind, token: configured, tls: served } = result.config.admin;
  if (bind.port === 0) {
    return no(`admin.bind in ${file} is port 0: its log says which port it got; name it with --url`);
  }
  return {
    ok: true,
    target: {
      url: `${served === null ? 'http' : 'https'}://${formatAddress(reachable(bind))}`,
      token: token ?? configured,
      tls,
    },
  };
}

const no = (why: string): FoundTarget => ({ ok: false, complaints: [`pointsman: ${why}`] });

/** Credentials in a URL would end up in process lists, and a path would be somebody else's API. */
function plainUrl(text: string): string | null {
  if (!URL.canParse(text)) return null;
  const { protocol, host, pathname, search, hash, username, password } = new URL(text);
  const isPlain = pathname === '/' && `${search}${hash}${username}${password}` === '' && host !== '';
  return isPlain && (protocol === 'http:' || protocol === 'https:') ? `${protocol}//${host}` : null;
}

/** Whoever listens everywhere listens here. */
function reachable({ host, port }: Address): Address {
  if (host === '0.0.0.0') return { host: '127.0.0.1', port };
  return { host: host === '::' ? '::1' : host, port };
}
