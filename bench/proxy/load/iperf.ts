// iperf3 as a load: one stream up, down, or one each way. Its server is one of peers/services.ts.
// Called by scenarios/bulk.ts.

import { setTimeout as after } from 'node:timers/promises';
import { z } from 'zod';
import { type Address } from '../../../src/core/address.ts';
import { type Context } from '../model.ts';
import { IPERF } from '../peers/services.ts';

const GRACE_MS = 20_000;
const TRIES = 3;
const BETWEEN_TRIES_MS = 300;

/** iperf3's options: without one the client sends. */
export const directions = { up: [], down: ['-R'], both: ['--bidir'] } as const;
export type Direction = keyof typeof directions;

export interface IperfReport {
  /** Received, both ways together. */
  readonly bytes: number;
  readonly bitsPerSecond: number;
}

const sum = z.object({ bytes: z.number().positive(), bits_per_second: z.number().positive() });
const report = z.object({
  end: z.object({ sum_received: sum, sum_received_bidir_reverse: sum.optional() }),
});

/** Its server takes one test at a time and may still be busy with the end of the one before: then tries again. */
export async function runIperf(
  { children }: Context,
  to: Address,
  load: { readonly direction: Direction; readonly seconds: number },
): Promise<IperfReport> {
  const args = [
    '-c',
    to.host,
    '-p',
    String(to.port),
    '-t',
    String(load.seconds),
    '-J',
    ...directions[load.direction],
  ];
  for (let tried = 1; ; tried += 1) {
    try {
      return readReport(await children.run(IPERF, args, load.seconds * 1000 + GRACE_MS));
    } catch (thrown) {
      if (tried === TRIES || !/busy/.test(String(thrown))) throw thrown;
      await after(BETWEEN_TRIES_MS);
    }
  }
}

export function readReport(text: string): IperfReport {
  const { sum_received: there, sum_received_bidir_reverse: back } = report.parse(JSON.parse(text)).end;
  return {
    bytes: there.bytes + (back?.bytes ?? 0),
    bitsPerSecond: there.bits_per_second + (back?.bits_per_second ?? 0),
  };
}
