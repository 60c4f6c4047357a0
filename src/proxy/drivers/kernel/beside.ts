// The proxy on the main thread beside the workers, for frontends that they can't serve (TLS). To the view gate it is one
// worker more, and it writes tallies of its own; it is shown views by a call and has followed them when that returns.
// Made by pool.ts, which shares everything else out.

import { type Config, type FrontendConfig } from '../../../config/schema.ts';
import { type Clock } from '../../../core/clock.ts';
import { invariant, PointsmanError } from '../../../core/errors.ts';
import { Topic } from '../../../core/topic.ts';
import { type BackendChange, type BackendView } from '../../../topology/model.ts';
import { type Proxy, type ProxyDeps } from '../../proxy.ts';
import { type VersionedView } from './messages.ts';
import { type SharedTallies } from './shared.ts';

/** Makes the proxy, on a driver that can what the workers can't. */
export type CreateBeside = (deps: Pick<ProxyDeps, 'frontends' | 'topology' | 'tallies'>) => Proxy;

export class Beside {
  readonly proxy: Proxy;
  readonly tallies: SharedTallies;
  readonly #clock: Clock;
  readonly #views = new Map<string, BackendView>();
  readonly #changes = new Topic<BackendChange>();
  readonly #removals = new Topic<BackendView>();
  #isShown = false;

  /** `views`: none if it has no frontends yet. */
  constructor(
    create: CreateBeside,
    clock: Clock,
    frontends: Config['frontends'],
    tallies: SharedTallies,
    views: readonly VersionedView[],
  ) {
    this.#clock = clock;
    this.tallies = tallies;
    if (views.length > 0) this.adopt(views);
    const topology = {
      view: (backend: string): BackendView => this.#view(backend),
      changes: this.#changes,
      removals: this.#removals,
    };
    this.proxy = create({ frontends, topology, tallies });
  }

  /** Whether it takes part: without frontends it has nothing to close, and nobody waits for it. */
  get isShown(): boolean {
    return this.#isShown;
  }

  /** Backends that it hasn't known. From here on it takes part. */
  adopt(views: readonly VersionedView[]): void {
    this.#isShown = true;
    for (const { view } of views) this.#views.set(view.name, view);
  }

  /** The view is in force when this returns: what it forbids is closed. */
  show({ view: after }: VersionedView): void {
    invariant(this.#isShown, 'who is shown a view takes part');
    const before = this.#view(after.name);
    this.#views.set(after.name, after);
    this.#changes.publish({ before, after, at: this.#clock.now() });
  }

  remove(backend: string): void {
    if (!this.#isShown) return;
    this.#removals.publish(this.#view(backend));
    this.#views.delete(backend);
  }

  #view(backend: string): BackendView {
    const found = this.#views.get(backend);
    if (found === undefined) throw new PointsmanError('INTERNAL', `no backend ${backend}`);
    return found;
  }
}

/** Frontends that only a driver with TLS can serve. */
export const needsTls = ({ tls, serversSpeakTls }: FrontendConfig): boolean =>
  tls !== null || serversSpeakTls;

/** Those that the workers serve, and the others. */
export function share(frontends: Config['frontends']): {
  readonly workers: Config['frontends'];
  readonly beside: Config['frontends'];
} {
  const all = Object.entries(frontends);
  return {
    workers: Object.fromEntries(all.filter(([, config]) => !needsTls(config))),
    beside: Object.fromEntries(all.filter(([, config]) => needsTls(config))),
  };
}
