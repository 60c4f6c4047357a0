// Which view of a backend the workers may have, so that safety rule 3 holds across all of them: a new primary is named
// only when every worker has said that it closed its sessions to the old one. Pure: messages in, messages out.
// Not the closing itself (failover.ts, in each worker). Owned by pool.ts, one for all backends.

import { type BackendView } from '../../../topology/model.ts';
import { type VersionedView } from './messages.ts';

interface Gate {
  /** The primary in the view sent last. */
  named: string | null;
  /** A worker was born with less: without that primary, since another had still to close. */
  withheld: boolean;
  /** Workers that have not yet applied the view of that version or a later one, in which the old primary is gone. */
  barrier: { readonly version: number; readonly waiting: Set<number> } | null;
  latest: BackendView;
  sent: VersionedView;
}

const gateAt = (sent: VersionedView): Gate => ({
  named: sent.view.primary,
  withheld: false,
  barrier: null,
  latest: sent.view,
  sent,
});

export class ViewGate {
  readonly #workers = new Set<number>();
  readonly #gates: Map<string, Gate>;
  #version = 0;

  constructor(views: readonly BackendView[]) {
    this.#gates = new Map(views.map(view => [view.name, gateAt({ version: 0, view })]));
  }

  /** A backend that the workers don't know yet: they have no sessions to it, and may have its view as it is. */
  add(view: BackendView): VersionedView {
    this.#version += 1;
    const gate = gateAt({ version: this.#version, view });
    this.#gates.set(view.name, gate);
    return gate.sent;
  }

  /** A backend that is no more. */
  remove(backend: string): void {
    this.#gates.delete(backend);
  }

  /** What a new worker is born with; it has no sessions, so nobody waits for it, but it may have to wait for others. */
  join(worker: number): readonly VersionedView[] {
    this.#workers.add(worker);
    return [...this.#gates.values()].map(gate => {
      const { sent, barrier } = gate;
      if (barrier === null || sent.view.primary === null) return sent;
      gate.withheld = true;
      return { version: sent.version, view: { ...sent.view, primary: null } };
    });
  }

  /** To be sent to every worker: the view, or the same without its primary while that must wait. */
  publish(view: BackendView): VersionedView {
    const gate = this.#gate(view.name);
    gate.latest = view;
    // A lone worker applies views one after the other, and each closes before it releases.
    const free = this.#workers.size <= 1;
    const closed = gate.barrier === null && (gate.named === null || gate.named === view.primary);
    return this.#send(gate, free || closed ? view : { ...view, primary: null });
  }

  /** A worker has applied a version: what may be sent to every worker now, if anything. */
  applied(worker: number, version: number): VersionedView | null {
    return this.#passed(worker, barrierVersion => version >= barrierVersion)[0] ?? null;
  }

  /** A worker is gone and its sessions are closed. */
  lost(worker: number): readonly VersionedView[] {
    this.#workers.delete(worker);
    return this.#passed(worker, () => true);
  }

  #passed(worker: number, passes: (barrierVersion: number) => boolean): readonly VersionedView[] {
    const released: VersionedView[] = [];
    for (const gate of this.#gates.values()) {
      const { barrier } = gate;
      if (barrier === null || !passes(barrier.version)) continue;
      barrier.waiting.delete(worker);
      if (barrier.waiting.size > 0) continue;
      gate.barrier = null;
      const { primary } = gate.latest;
      if (primary !== null && (primary !== gate.named || gate.withheld))
        released.push(this.#send(gate, gate.latest));
      gate.withheld = false;
    }
    return released;
  }

  #send(gate: Gate, view: BackendView): VersionedView {
    this.#version += 1;
    if (gate.named !== null && view.primary !== gate.named && this.#workers.size > 0) {
      gate.barrier = { version: this.#version, waiting: new Set(this.#workers) };
    }
    gate.named = view.primary;
    gate.sent = { version: this.#version, view };
    return gate.sent;
  }

  #gate(backend: string): Gate {
    const gate = this.#gates.get(backend);
    if (gate === undefined) throw new RangeError(`no backend ${backend}`);
    return gate;
  }
}
