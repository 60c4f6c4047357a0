// One request of a step or of a second opinion: sent, and the beginning of its answer read. No redirects, no retries.
// Whoever asks judges the answer and owns the time limit.

import { request as httpRequest, type ClientRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { describeError } from '../../core/errors.ts';
import { STEP_ANSWER_MAX_BYTES } from '../../core/limits.ts';

export interface HttpQuestion {
  readonly url: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

export type HttpAnswer =
  | { readonly ok: true; readonly status: number; readonly body: string }
  | { readonly ok: false; readonly why: string };

export interface RunningRequest {
  /** Never rejects. */
  readonly done: Promise<HttpAnswer>;
  cancel(): void;
}

export function sendRequest({ url, method, headers, body }: HttpQuestion): RunningRequest {
  let call: ClientRequest | null = null;
  const done = new Promise<HttpAnswer>(resolve => {
    const fail = (thrown: unknown): void => resolve({ ok: false, why: describeError(thrown).message });
    try {
      const start = url.startsWith('https:') ? httpsRequest : httpRequest;
      const length = body === null ? {} : { 'content-length': String(Buffer.byteLength(body)) };
      call = start(url, { method, headers: { connection: 'close', ...headers, ...length } }, response => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          if (bytes < STEP_ANSWER_MAX_BYTES) chunks.push(chunk);
          bytes += chunk.length;
        });
        response.on('error', fail);
        response.on('end', () => {
          const text = Buffer.concat(chunks).subarray(0, STEP_ANSWER_MAX_BYTES).toString();
          resolve({ ok: true, status: response.statusCode ?? 0, body: text });
        });
      });
      call.on('error', fail);
      call.end(body ?? undefined);
    } catch (thrown) {
      fail(thrown); // a URL or a header that a variable made unfit
    }
  });
  return { done, cancel: () => call?.destroy(new Error('it was given up')) };
}
