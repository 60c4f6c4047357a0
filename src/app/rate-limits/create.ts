// Makes the store of rate limits that the configuration names, and gives it its metrics. Not the exchange itself (store.ts).
// Called by app.ts.

import { type Config } from '../../config/schema.ts';
import { formatAddress } from '../../core/address.ts';
import { type Metrics } from '../../metrics/metrics.ts';
import { RateLimitStore, type StoreDeps } from './store.ts';

interface Deps extends Pick<StoreDeps, 'frontends' | 'tables' | 'clock' | 'log'> {
  readonly metrics: Metrics;
}

/** `null`: each process limits by itself. */
export function createRateLimitStore(
  { rateLimitStore: config }: Config,
  { metrics, ...deps }: Deps,
): RateLimitStore | null {
  if (config === null) return null;
  const store = formatAddress(config.redis.address);
  metrics.rateLimitStoreErrors.inc({ store }, 0);
  const tell: StoreDeps['tell'] = {
    up: isUp => metrics.rateLimitStoreUp.set({ store }, isUp ? 1 : 0),
    failed: () => metrics.rateLimitStoreErrors.inc({ store }),
  };
  return new RateLimitStore({ ...deps, config, tell });
}
