// The disk under the simulated Pointsman: its state file, as text, with what the oracle knew when it was written. It is written
// by the rule of src/app/state-file.ts: at once at a change of the primary or of a decision, else within five seconds, one
// write at a time. What was not on the disk when the process was killed is lost. Used by pointsman.ts.

import { type Clock, type Timer } from '../../src/core/clock.ts';
import { type Random } from '../../src/core/random.ts';
import { type BackendChange } from '../../src/topology/model.ts';
import { readState, writeState, type SavedState } from '../../src/topology/saved.ts';
import { type Topology } from '../../src/topology/topology.ts';
import { type Knowledge } from './oracle.ts';

const LATER_MS = 5000;
const WRITE_MAX_MS = 20;

interface Content {
  readonly text: string;
  readonly knowledge: Knowledge;
}

export class SimDisk {
  #content: Content | null = null;
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** What was written last; throws if Pointsman would not believe it. */
  read(): { readonly state: SavedState; readonly knowledge: Knowledge } | null {
    if (this.#content === null) return null;
    const { text, knowledge } = this.#content;
    const read = readState(text);
    if (!read.ok) throw new Error(`the state file is not believed: ${read.why}`);
    return { state: read.state, knowledge };
  }

  /** Returns how to write a last time. */
  follow(topology: Topology, clock: Clock, knowledge: () => Knowledge): () => void {
    let timer: Timer | null = null;
    let isWriting = false;
    let isDue = false;
    const snapshot = (): Content => ({ text: writeState(topology.save()), knowledge: knowledge() });
    const write = (): void => {
      timer?.cancel();
      timer = null;
      isDue = true;
      if (!isWriting) writeOnce();
    };
    const writeOnce = (): void => {
      isWriting = isDue;
      if (!isDue) return;
      isDue = false;
      clock.schedule(0, () => {
        const content = snapshot();
        clock.schedule(this.#random() * WRITE_MAX_MS, () => {
          this.#content = content;
          writeOnce();
        });
      });
    };
    const unsubscribe = topology.changes.subscribe(change => {
      if (isWeighty(change)) write();
      else timer ??= clock.schedule(LATER_MS, write);
    });
    write();
    return () => {
      unsubscribe();
      timer?.cancel();
      this.#content = snapshot();
    };
  }
}

function isWeighty({ before, after }: BackendChange): boolean {
  if (before.epoch !== after.epoch) return true;
  return after.servers.some(({ name, admin }) => {
    const known = before.servers.find(server => server.name === name);
    return admin !== (known?.admin ?? 'ready');
  });
}
