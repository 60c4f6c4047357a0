// A changed configuration, applied while Pointsman runs: as a whole or not at all. Reads it anew, opens what it needs, and
// then changes every part in one turn of the event loop, in the order that keeps the safety rules. Reloads come one after the
// other. What changes a part makes of it is the part's own. Owned by app.ts, which joins the parts.

import { type AdminServer } from '../admin/server.ts';
import { type LoadResult } from '../config/load.ts';
import { planReload, type ReloadOutcome } from '../config/reload-plan.ts';
import { type Config } from '../config/schema.ts';
import { formatAddress } from '../core/address.ts';
import { type Clock } from '../core/clock.ts';
import { describeError, PointsmanError, type ErrorCode } from '../core/errors.ts';
import { type Logger } from '../core/logger.ts';
import { type Proxy } from '../proxy/proxy.ts';
import { type Topology } from '../topology/topology.ts';
import { backendSpecs, type Monitors } from './monitors.ts';
import { type Orchestrators } from './orchestrators.ts';
import { type Resolver } from './resolver.ts';
import { type CertificateKeeper } from './tls/keeper.ts';

/** What a change goes through, in its order. */
export interface ReloadParts {
  readonly topology: Pick<Topology, 'reconfigure'>;
  readonly proxy: Pick<Proxy, 'prepare'>;
  readonly monitors: Pick<Monitors, 'reconfigure'>;
  readonly resolver: Pick<Resolver, 'reconfigure'>;
  readonly orchestrators: Pick<Orchestrators, 'reconfigure'>;
  /** Certificates come first: frontends that are new have theirs when they open. */
  readonly tls?: Pick<CertificateKeeper, 'apply'>;
}

/**
 * Rejects with BIND_FAILED before anything has changed. The order: backends that are gone end their sessions, and those that
 * are new exist; then frontends lead to them, and who counts knows every name; only then members come and go, which closes
 * the sessions of those that leave before another primary is named (safety rule 3).
 */
export async function applyConfig(parts: ReloadParts, config: Config): Promise<void> {
  const change = await parts.proxy.prepare(config.frontends);
  const specs = backendSpecs(config);
  parts.topology.reconfigure(specs);
  const applied = change.apply();
  parts.monitors.reconfigure(config);
  parts.resolver.reconfigure(specs, config);
  parts.orchestrators.reconfigure(config);
  await applied;
  // Once more, and nothing is left to change: every worker has then seen the views that followed, and those who left are no
  // longer counted.
  await (await parts.proxy.prepare(config.frontends)).apply();
}

/** What may stop a reload without anything being changed. */
const failures: ReadonlySet<ErrorCode> = new Set(['BIND_FAILED', 'TLS_UNUSABLE']);

export interface ReloadDeps {
  /** Reads file, environment and secrets anew. */
  readonly load: () => LoadResult;
  readonly parts: ReloadParts;
  /** Opens the admin server at its new address, beside the one that runs. Rejects with BIND_FAILED. */
  readonly openAdmin: (config: Config) => Promise<AdminServer>;
  /** Once all is in force: what is left to others, such as the level of the log. */
  readonly applied: (before: Config, after: Config, admin: AdminServer | null) => void;
  /** Once for each reload. */
  readonly told: (outcome: ReloadOutcome) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Reloader {
  readonly #deps: ReloadDeps;
  #config: Config;
  #generation = 1;
  #last: Promise<unknown> = Promise.resolve();
  /** One that has not begun yet: it will read whatever is in the file by then, for all who ask meanwhile. */
  #waiting: Promise<ReloadOutcome> | null = null;
  #isEnding = false;

  constructor(config: Config, deps: ReloadDeps) {
    this.#config = config;
    this.#deps = deps;
  }

  get config(): Config {
    return this.#config;
  }

  get generation(): number {
    return this.#generation;
  }

  /** `who`: asked for it, for the log. */
  reload(who: string): Promise<ReloadOutcome> {
    if (this.#waiting !== null) return this.#waiting;
    const next = this.#last.then(() => {
      this.#waiting = null;
      return this.#reload(who);
    });
    this.#waiting = next;
    this.#last = next.catch(() => undefined); // told to whoever asked; the next one may succeed
    return next;
  }

  /** No reload begins any more; resolves when the one under way is over. */
  async end(): Promise<void> {
    this.#isEnding = true;
    await this.#last;
  }

  async #reload(who: string): Promise<ReloadOutcome> {
    const { clock, told } = this.#deps;
    const startedAt = clock.now();
    const outcome = this.#isEnding
      ? this.#outcome([], { kind: 'failed', why: 'Pointsman is shutting down' })
      : await this.#attempt();
    this.#log(outcome, who, clock.now() - startedAt);
    told(outcome);
    return outcome;
  }

  async #attempt(): Promise<ReloadOutcome> {
    const loaded = this.#deps.load();
    const { warnings } = loaded;
    if (!loaded.ok) return this.#outcome(warnings, { kind: 'invalid', issues: loaded.issues });
    const before = this.#config;
    const after = loaded.config;
    const { changes, needRestart } = planReload(before, after);
    if (changes.length === 0) return this.#outcome(warnings, { kind: 'unchanged' });
    if (needRestart.length > 0) return this.#outcome(warnings, { kind: 'needs-restart', needRestart });
    let admin: AdminServer | null = null;
    let retreat: (() => void) | undefined;
    try {
      retreat = this.#deps.parts.tls?.apply(after);
      if (formatAddress(before.admin.bind) !== formatAddress(after.admin.bind)) {
        admin = await this.#deps.openAdmin(after);
      }
      await applyConfig(this.#deps.parts, after);
    } catch (thrown) {
      await admin?.close();
      retreat?.();
      const isTheirs = thrown instanceof PointsmanError && failures.has(thrown.code);
      if (!isTheirs) throw thrown;
      return this.#outcome(warnings, { kind: 'failed', why: describeError(thrown).message });
    }
    this.#config = after;
    this.#generation += 1;
    this.#deps.applied(before, after, admin);
    return this.#outcome(warnings, { kind: 'applied', changes });
  }

  #outcome<const T>(
    warnings: LoadResult['warnings'],
    outcome: T,
  ): T & Pick<ReloadOutcome, 'generation' | 'warnings'> {
    return { ...outcome, generation: this.#generation, warnings };
  }

  #log(outcome: ReloadOutcome, who: string, tookMs: number): void {
    const { log } = this.#deps;
    const { generation } = outcome;
    const about = { by: who, outcome: outcome.kind, generation };
    for (const { line, column, path, message } of outcome.warnings) log.warn({ line, column, path }, message);
    switch (outcome.kind) {
      case 'applied':
        return log.info(
          { ...about, tookMs: Math.round(tookMs), changes: outcome.changes },
          'reload: applied',
        );
      case 'unchanged':
        return log.info(about, 'reload: the configuration is as it was');
      case 'needs-restart': {
        const words = `reload: nothing was changed: ${outcome.needRestart.join(', ')} needs a restart`;
        return log.error({ ...about, needRestart: outcome.needRestart }, words);
      }
      case 'failed':
        return log.error(about, `reload: nothing was changed: ${outcome.why}`);
      case 'invalid': {
        for (const { line, column, path, message } of outcome.issues) {
          log.error({ line, column, path }, `reload: ${message}`);
        }
        return log.error(about, 'reload: nothing was changed: the configuration is invalid');
      }
    }
  }
}
