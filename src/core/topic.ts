// A typed event with subscribers called in the order they came. Not a queue: publishing is synchronous,
// which is what lets the proxy close sessions before anything else hears of a new primary.

export type Unsubscribe = () => void;

export class Topic<T> {
  readonly #subscribers = new Set<(value: T) => void>();

  subscribe(subscriber: (value: T) => void): Unsubscribe {
    this.#subscribers.add(subscriber);
    return () => void this.#subscribers.delete(subscriber);
  }

  publish(value: T): void {
    for (const subscriber of [...this.#subscribers]) subscriber(value);
  }
}
