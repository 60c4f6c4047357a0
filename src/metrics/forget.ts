// Takes the label sets of what is no more (a frontend, a backend, a server of one) out of every metric.
// Called after a reload, and when the last session of a frontend that was removed has ended.

import { type Metrics } from './metrics.ts';

type Labels = Readonly<Record<string, string>>;

/** What all kinds have in common. */
interface Labelled {
  get(): Promise<{
    readonly values: readonly { readonly labels: Record<string, string | number | undefined> }[];
  }>;
  remove(labels: Labels): void;
}

/** Of every metric, the sets that have all of these labels. */
export async function forgetLabels(metrics: Metrics, labels: Labels): Promise<void> {
  const { registry } = metrics;
  const all: readonly unknown[] = Object.values(metrics).filter(metric => metric !== registry);
  for (const metric of all as readonly Labelled[]) {
    const { values } = await metric.get();
    const sets = new Map<string, Record<string, string>>();
    for (const { labels: found } of values) {
      if (!Object.entries(labels).every(([name, value]) => found[name] === value)) continue;
      // A bucket of a histogram is a set of its own to whoever reads it.
      const own = Object.entries(found).filter(([name]) => name !== 'le');
      sets.set(JSON.stringify(own), Object.fromEntries(own.map(([name, value]) => [name, String(value)])));
    }
    for (const own of sets.values()) metric.remove(own);
  }
}
