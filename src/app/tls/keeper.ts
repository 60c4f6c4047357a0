// Keeps what is shown and trusted in TLS as the files have it: reads them at the start and with another configuration, and
// again when they change, without a restart. Files that can't be used change nothing, and are told of. Owned by app.ts.
// What is in the files: config/certificates.ts. The handshakes: proxy/drivers/net.

import { createSecureContext, type ConnectionOptions, type SecureContextOptions } from 'node:tls';
import { whyDoubtful, type KeyPair } from '../../config/certificates.ts';
import {
  type BackendConfig,
  type Config,
  type FrontendTlsConfig,
  type Protocol,
  type ServersTlsConfig,
} from '../../config/schema.ts';
import { type Address } from '../../core/address.ts';
import { type Clock, type Timer } from '../../core/clock.ts';
import { describeError } from '../../core/errors.ts';
import { type Logger } from '../../core/logger.ts';
import { tlsOptions } from '../../health/probers/tls.ts';
import { type Metrics } from '../../metrics/metrics.ts';
import { Terminator, type Shown } from '../../proxy/drivers/net/terminator.ts';
import { type TlsTerms } from '../../proxy/drivers/net/handshake.ts';
import { loadAuthorities, loadPair, signatureOf } from './files.ts';

type Towards = (address: Address, host: string | null) => ConnectionOptions;

/** Renewed certificates are in use within this time. */
const POLL_MS = 5_000;

export interface KeeperDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, 'tlsHandshakeFailures' | 'tlsReloadErrors' | 'tlsCertificateExpiry'>;
}

/** Files that are used together, such as those of one frontend. */
interface Material {
  readonly what: string;
  readonly files: readonly string[];
  /** Throws TLS_UNUSABLE, and then nothing has changed. */
  load(): readonly KeyPair[];
  pairs: readonly KeyPair[];
  signature: string;
}

export class CertificateKeeper implements TlsTerms {
  readonly #deps: KeeperDeps;
  #terminators = new Map<string, Terminator>();
  #towards = new Map<string, Towards>();
  #materials: readonly Material[] = [];
  #admin: SecureContextOptions | null = null;
  #onAdmin: (() => void) | null = null;
  #timer: Timer | null = null;
  #started = false;

  constructor(config: Config, deps: KeeperDeps) {
    this.#deps = deps;
    this.apply(config);
  }

  /** Another configuration; returns how to go back. Throws TLS_UNUSABLE, and then the one before stays in force. */
  apply(config: Config): () => void {
    const before = [this.#admin, this.#terminators, this.#towards, this.#materials] as const;
    const terminators = new Map<string, Terminator>();
    const towards = new Map<string, Towards>();
    const materials: Material[] = [];
    const add = (what: string, files: readonly (string | null)[], load: Material['load']): void => {
      const named = [...new Set(files.flatMap(file => file ?? []))];
      materials.push({ what, files: named, load, signature: signatureOf(named), pairs: load() });
    };
    for (const [name, { tls, backend }] of Object.entries(config.frontends)) {
      if (tls === null) continue;
      const files = tls.certificates.flatMap(({ certFile, keyFile }) => [certFile, keyFile]);
      add(`frontend ${name}`, [...files, tls.clientCaFile], () => {
        const { shown, pairs } = loadShown(tls);
        const known = terminators.get(name);
        if (known === undefined) {
          terminators.set(name, this.#terminator(name, tls, config.backends[backend]?.protocol, shown));
        } else known.renew(shown);
        return pairs;
      });
    }
    for (const [name, { tls }] of Object.entries<BackendConfig>(config.backends)) {
      if (tls === null) continue;
      add(`backend ${name}`, [tls.caFile, tls.certFile, tls.keyFile], () => {
        const { options, pairs } = loadTowards(tls);
        towards.set(name, options);
        return pairs;
      });
    }
    const { tls: adminTls } = config.admin;
    if (adminTls !== null) {
      add('admin', [adminTls.certFile, adminTls.keyFile, adminTls.clientCaFile], () => {
        const pair = loadPair(adminTls);
        const ca = adminTls.clientCaFile === null ? null : loadAuthorities(adminTls.clientCaFile);
        this.#admin = { cert: pair.cert, key: pair.key, ...(ca === null ? {} : { ca }) };
        return [pair];
      });
    } else this.#admin = null;
    this.#terminators = terminators;
    this.#towards = towards;
    this.#materials = materials;
    this.#told();
    return () => {
      [this.#admin, this.#terminators, this.#towards, this.#materials] = before;
      this.#told();
    };
  }

  terminator(frontend: string): Terminator | null {
    return this.#terminators.get(frontend) ?? null;
  }

  towards(backend: string, address: Address, host: string | null): ConnectionOptions {
    const options = this.#towards.get(backend);
    if (options === undefined) throw new RangeError(`no TLS towards backend ${backend}`);
    return options(address, host);
  }

  /** What the admin server shows; `null`: it serves plain HTTP. */
  get admin(): SecureContextOptions | null {
    return this.#admin;
  }

  /** `renewed` is called whenever what the admin server shows is another. */
  followAdmin(renewed: () => void): void {
    this.#onAdmin = renewed;
  }

  start(): void {
    this.#started = true;
    this.#timer?.cancel();
    this.#timer = null;
    if (this.#materials.length === 0) return;
    this.#timer = this.#deps.clock.schedule(POLL_MS, () => {
      this.#look();
      this.start();
    });
  }

  stop(): void {
    this.#started = false;
    this.#timer?.cancel();
    this.#timer = null;
  }

  #look(): void {
    const { log, metrics } = this.#deps;
    for (const material of this.#materials) {
      const signature = signatureOf(material.files);
      if (signature === material.signature) continue;
      material.signature = signature;
      const { what, files } = material;
      try {
        material.pairs = material.load();
        log.info({ files }, `certificates of ${what} are renewed`);
      } catch (thrown) {
        metrics.tlsReloadErrors.inc();
        const { message } = describeError(thrown);
        log.error(
          { files },
          `certificates of ${what} have changed and cannot be used; the old ones stay: ${message}`,
        );
        continue;
      }
      this.#told();
    }
  }

  #told(): void {
    this.#tell();
    if (this.#admin !== null) this.#onAdmin?.();
    // A configuration with TLS may follow one without.
    if (this.#started) this.start();
  }

  #tell(): void {
    const { clock, log, metrics } = this.#deps;
    metrics.tlsCertificateExpiry.reset();
    for (const { pairs, what } of this.#materials) {
      for (const pair of pairs) {
        metrics.tlsCertificateExpiry.set({ file: pair.file }, pair.validToMs / 1000);
        const doubt = whyDoubtful(pair, clock.wall());
        if (doubt !== null) log.warn({ file: pair.file }, `a certificate of ${what} ${doubt}`);
      }
    }
  }

  #terminator(
    frontend: string,
    { verify }: FrontendTlsConfig,
    protocol: Protocol | undefined,
    shown: Shown,
  ): Terminator {
    const { metrics } = this.#deps;
    const alpn = protocol === undefined ? undefined : applicationProtocols[protocol];
    return new Terminator({
      verify,
      alpn: alpn === undefined ? [] : [alpn],
      shown,
      failed: reason => metrics.tlsHandshakeFailures.inc({ frontend, reason }),
    });
  }
}

/** Registered names (IANA, "TLS ALPN Protocol IDs"). HTTP/2 can't be offered: behind the TLS would be servers of HTTP/1.1. */
const applicationProtocols: Readonly<Partial<Record<Protocol, string>>> = {
  postgres: 'postgresql',
  http: 'http/1.1',
};

/** What SNI may carry (RFC 6066, section 3); whatever else a stranger sends gets the first certificate. */
const HOST_NAME = /^[A-Za-z0-9_][\w.-]{0,252}$/;

function loadShown({ certificates, clientCaFile, minVersion }: FrontendTlsConfig): {
  shown: Shown;
  pairs: readonly KeyPair[];
} {
  const ca = clientCaFile === null ? null : loadAuthorities(clientCaFile);
  const pairs = certificates.map(loadPair);
  const optionsOf = ({ cert, key }: KeyPair): SecureContextOptions => ({
    cert,
    key,
    minVersion,
    ...(ca === null ? {} : { ca }),
  });
  const contexts = pairs.map(pair => ({ pair, context: createSecureContext(optionsOf(pair)) }));
  const contextFor: Shown['contextFor'] = name =>
    (HOST_NAME.test(name) && contexts.find(({ pair }) => pair.x509.checkHost(name) !== undefined)?.context) ||
    null;
  const [first] = pairs;
  return { shown: { context: first === undefined ? {} : optionsOf(first), contextFor }, pairs };
}

function loadTowards(tls: ServersTlsConfig): { options: Towards; pairs: readonly KeyPair[] } {
  const { certFile, keyFile, caFile } = tls;
  const pair = certFile === null || keyFile === null ? null : loadPair({ certFile, keyFile });
  const secureContext = createSecureContext({
    ...(pair === null ? {} : { cert: pair.cert, key: pair.key }),
    ...(caFile === null ? {} : { ca: loadAuthorities(caFile) }),
  });
  const options: Towards = (address, host) => ({
    ...tlsOptions(address, { mode: tls.mode, caFile: null, serverName: tls.serverName ?? host }),
    secureContext,
  });
  return { options, pairs: pair === null ? [] : [pair] };
}
