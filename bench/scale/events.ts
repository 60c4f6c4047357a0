// Listens to a running Pointsman's /api/v1/events: when each backend got which primary. Used by real-fleet.ts.

import { wallMs } from './client.ts';

export interface Primary {
  readonly backend: string;
  readonly primary: string | null;
  readonly at: number;
}

export class Events {
  readonly primaries: Primary[] = [];
  readonly #ending = new AbortController();
  readonly #reading: Promise<void>;
  /** Why the stream ended before it should. */
  failure: string | null = null;

  private constructor(response: Response) {
    this.#reading = this.#read(response).catch((thrown: unknown) => void (this.failure ??= String(thrown)));
  }

  static async open(admin: string): Promise<Events> {
    return new Events(await fetch(`${admin}/api/v1/events`));
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#reading;
  }

  async #read({ body }: Response): Promise<void> {
    if (body === null) throw new Error('no stream of events');
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    this.#ending.signal.addEventListener('abort', () => void reader.cancel());
    let text = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const blocks = (text + value).split('\n\n');
      text = blocks.pop() ?? '';
      const at = wallMs();
      for (const block of blocks) {
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (data !== undefined) this.primaries.push({ ...(JSON.parse(data) as Omit<Primary, 'at'>), at });
      }
    }
    if (!this.#ending.signal.aborted) this.failure = 'Pointsman ended the stream of events';
  }
}
