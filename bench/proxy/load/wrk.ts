// wrk as a load: one thread, one fixed address, and its report.
// Called by scenarios/http.ts.

import { type Address } from '../../../src/core/address.ts';
import { type Context } from '../model.ts';

const WRK = '/usr/bin/wrk';
const GRACE_MS = 30_000;

export interface WrkReport {
  readonly requests: number;
  readonly perSecond: number;
}

export async function runWrk(
  { children }: Context,
  to: Address,
  load: { readonly connections: number; readonly seconds: number; readonly headers: readonly string[] },
): Promise<WrkReport> {
  const args = [
    ...['-t', '1', '-c', String(load.connections), '-d', `${load.seconds}s`],
    ...load.headers.flatMap(header => ['-H', header]),
    `http://${to.host}:${to.port}/`,
  ];
  return readReport(await children.run(WRK, args, load.seconds * 1000 + GRACE_MS));
}

/** Throws where a request failed. */
export function readReport(text: string): WrkReport {
  const requests = Number(/^ +(\d+) requests in /m.exec(text)?.[1]);
  const perSecond = Number(/^Requests\/sec: +([\d.]+)/m.exec(text)?.[1]);
  const failed = /Socket errors|Non-2xx/.test(text);
  if (failed || !(requests > 0) || !(perSecond > 0)) throw new Error(`wrk reported:\n${text}`);
  return { requests, perSecond };
}
