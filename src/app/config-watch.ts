// Sees when the configuration or a file that it takes secrets from is another one: looks at them now and then, which works on
// every file system, and through the links by which Kubernetes replaces mounted files. Not the reload (reload.ts).

import { stat } from 'node:fs/promises';
import { type Clock, type Timer } from '../core/clock.ts';
import { describeError } from '../core/errors.ts';

const LOOK_MS = 1000;

export interface ConfigWatchDeps {
  readonly clock: Clock;
  /** Those that were read last. */
  readonly files: () => readonly string[];
  /** They are others than when it was started, or called last, and have stayed so for a moment: a write takes its time. */
  readonly changed: () => void;
}

type Signs = ReadonlyMap<string, string>;

export class ConfigWatch {
  readonly #deps: ConfigWatchDeps;
  #timer: Timer | null = null;
  /** What was there when the files were read last. */
  #known: Signs = new Map();
  #seen: Signs = new Map();
  #isOn = false;

  constructor(deps: ConfigWatchDeps) {
    this.#deps = deps;
  }

  /** On: what is there now counts as read. */
  set(isOn: boolean): void {
    if (isOn === this.#isOn) return;
    this.#isOn = isOn;
    this.#timer?.cancel();
    this.#known = new Map();
    if (isOn) void this.#look();
  }

  async #look(): Promise<void> {
    const now = await signsOf(this.#deps.files());
    if (!this.#isOn) return;
    const isOther = (signs: Signs): boolean =>
      [...now].some(([file, sign]) => (signs.get(file) ?? sign) !== sign);
    if (isOther(this.#known) && !isOther(this.#seen)) {
      this.#known = now;
      this.#deps.changed();
    }
    // A file that is newly read is no change of one.
    this.#known = new Map([...now, ...this.#known]);
    this.#seen = now;
    this.#timer = this.#deps.clock.schedule(LOOK_MS, () => void this.#look());
  }
}

async function signsOf(files: readonly string[]): Promise<Signs> {
  const signs = files.map(async file => {
    try {
      const { ino, size, mtimeMs, ctimeMs } = await stat(file);
      return [file, `${ino} ${size} ${mtimeMs} ${ctimeMs}`] as const;
    } catch (thrown) {
      return [file, describeError(thrown).code] as const;
    }
  });
  return new Map(await Promise.all(signs));
}
