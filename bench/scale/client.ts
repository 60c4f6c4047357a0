// An application with one session to the primary of a backend: asks who answers, waits, and comes back at once when it is cut.
// And the newcomer who only asks. Used by real-fleet.ts.

import { connect, type Socket } from 'node:net';
import { type Address } from '../../src/core/address.ts';

const QUESTION = '*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n';
const AGAIN_AFTER_MS = 10;
const ANSWER_MAX_MS = 30_000;

export const wallMs = (): number => performance.timeOrigin + performance.now();

export class Client {
  /** Of the servers that have answered, one for each session: who, and when. */
  readonly reached: { readonly runId: string; readonly at: number }[] = [];
  readonly #frontend: Address;
  #socket: Socket;
  #over = false;

  constructor(frontend: Address) {
    this.#frontend = frontend;
    this.#socket = this.#come();
  }

  stop(): void {
    this.#over = true;
    this.#socket.destroy();
  }

  #come(): Socket {
    const socket = ask(this.#frontend, runId => this.reached.push({ runId, at: wallMs() }));
    socket.once('close', () => {
      if (this.#over) return;
      setTimeout(() => {
        if (!this.#over) this.#socket = this.#come();
      }, AGAIN_AFTER_MS);
    });
    return socket;
  }
}

/** Who answers now on this port. */
export function whoAnswers(frontend: Address): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = ask(frontend, runId => {
      resolve(runId);
      socket.end();
    });
    socket.setTimeout(ANSWER_MAX_MS, () => socket.destroy());
    // harmless after an answer
    socket.once('close', () => reject(new Error(`nobody answers on port ${frontend.port}`)));
  });
}

function ask({ host, port }: Address, answered: (runId: string) => void): Socket {
  const socket = connect({ host, port, noDelay: true });
  socket.write(QUESTION);
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk;
    const runId = /run_id:(\w{40})/.exec(text)?.[1];
    if (runId === undefined) return;
    text = '';
    answered(runId);
  });
  socket.on('error', () => undefined); // 'close' follows
  return socket;
}
