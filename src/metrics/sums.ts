// A counter that moves thousands of times a second: summed up here, told to prom-client when somebody reads it.
// prom-client puts a key together from the labels at every call, which costs more than all else that the main thread
// does for a short connection. Used by observers.ts.

import { type Counter } from 'prom-client';

class Sum {
  count = 0;
  readonly byNext = new Map<string, Sum>();
}

export class Sums<L extends string> {
  readonly #counter: Counter<L>;
  readonly #labels: readonly L[];
  readonly #root = new Sum();

  /** `labels`: the counter's, in the order in which `add` gets their values. */
  constructor(counter: Counter<L>, ...labels: readonly L[]) {
    this.#counter = counter;
    this.#labels = labels;
    // prom-client's hook for values that are known only when they are asked for.
    Object.assign(counter, { collect: () => this.#tell(this.#root, []) });
  }

  add(count: number, ...values: readonly string[]): void {
    let sum = this.#root;
    for (const value of values) {
      let next = sum.byNext.get(value);
      if (next === undefined) sum.byNext.set(value, (next = new Sum()));
      sum = next;
    }
    sum.count += count;
  }

  #tell(sum: Sum, values: readonly string[]): void {
    if (sum.count > 0) {
      const labels = Object.fromEntries(this.#labels.map((label, index) => [label, values[index] ?? '']));
      this.#counter.inc(labels as Record<L, string>, sum.count);
      sum.count = 0;
    }
    for (const [value, next] of sum.byNext) this.#tell(next, [...values, value]);
  }
}
