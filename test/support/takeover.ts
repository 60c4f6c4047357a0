// Does something to the primary of a cluster that promotes by itself, and tells which node took over, and when. Not what is
// done (pgaf-failover.ts and the stages of bench/failover say that). Used by these.

import { Client } from 'pg';
import { type WriterTarget } from '../../src/cli/demo/ledger-writer.ts';
import { type Fault, type Takeover } from './traffic.ts';
import { sleep, within } from './wait.ts';

/** A takeover, and the node. */
export interface Succession<Node> extends Takeover {
  readonly node: Node;
}

export interface Ousted<Node> {
  readonly fault: Fault;
  readonly takeover: Succession<Node>;
  /** When the cluster itself says that all is done. */
  readonly done: Promise<unknown>;
}

export interface Blow {
  /** When the fault is done. */
  readonly struck: Promise<unknown>;
  readonly done: Promise<unknown>;
}

const ANSWER_MAX_MS = 1000;
const ASK_EVERY_MS = 5;
const TAKEOVER_MAX_MS = 60_000;

/** Strikes, and resolves when one of `candidates` takes writes. */
export async function takeoverAfter<Node>(
  strike: () => Blow,
  candidates: readonly Node[],
  targetOf: (node: Node) => WriterTarget,
): Promise<Ousted<Node>> {
  const atWall = Date.now();
  const at = performance.now();
  const { struck, done } = strike();
  done.catch(() => undefined); // for the caller to await; a failed takeover is reported first
  const watch = new Watch(candidates, targetOf);
  try {
    await struck;
    const fault = { at, atWall, doneAt: performance.now() };
    return { fault, takeover: await within('a node to take over', TAKEOVER_MAX_MS, watch.takeover), done };
  } finally {
    watch.end();
  }
}

/** Asks each candidate every 5 ms, over a session of its own, and writes to the first that says yes. */
class Watch<Node> {
  readonly takeover: Promise<Succession<Node>>;
  #running = true;

  constructor(candidates: readonly Node[], targetOf: (node: Node) => WriterTarget) {
    this.takeover = Promise.race(candidates.map(node => this.#watch(node, targetOf(node))));
    this.takeover.catch(() => undefined); // awaited by the caller, unless something fails before
  }

  end(): void {
    this.#running = false;
  }

  async #watch(node: Node, target: WriterTarget): Promise<Succession<Node>> {
    const question = `SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS yes`;
    while (this.#running) {
      const client = new Client({ ...target, connectionTimeoutMillis: ANSWER_MAX_MS });
      client.on('error', () => undefined); // the next question rejects by itself
      try {
        await client.connect();
        while (this.#running) {
          if ((await client.query<{ yes: boolean }>(question)).rows[0]?.yes) {
            const saidAt = performance.now();
            await client.query('INSERT INTO ledger VALUES (0, $1)', [Math.round(saidAt * 1000)]);
            return { node, saidAt, wroteAt: performance.now() };
          }
          await sleep(ASK_EVERY_MS);
        }
      } catch {
        await sleep(ASK_EVERY_MS); // it restarts, as standbys do in a failover: connected to anew
      } finally {
        await client.end().catch(() => undefined); // it is being thrown away either way
      }
    }
    return new Promise(() => undefined);
  }
}
