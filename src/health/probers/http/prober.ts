// The HTTP prober: a GET at every probe over a connection that is kept alive, and an answer that must be as expected.
// It says whether a server is well, and nothing of roles. Redirects are answers like any other.
// Not the schedule and not health: the monitor calls it. What it keeps between probes is the link's (link.ts).

import { type Address } from '../../../core/address.ts';
import { type CheckConfig } from '../../../config/schema.ts';
import { type Clock } from '../../../core/clock.ts';
import { encodeProbeRequest } from '../../../protocol/http/request.ts';
import { type ProbeAnswer, type ProberFactory } from '../../prober.ts';
import { judge } from './expectation.ts';
import { HttpLink } from './link.ts';

export interface HttpProberOptions {
  readonly address: Address;
  /** A PROXY header, sent before all else; `null` or left out: none. */
  readonly header?: Uint8Array | null;
  readonly check: CheckConfig<'http'>;
  readonly clock: Clock;
}

/** Nothing is opened before the first `probe()`. Never throws: what is wrong with the options is a probe's answer. */
export function createHttpProber({ address, header = null, check, clock }: HttpProberOptions): ProberFactory {
  const question = encodeProbeRequest({ address, ...check });
  return onLost => {
    const link = new HttpLink({ address, header, tls: check.tls, timeoutMs: check.timeoutMs, clock }, onLost);
    return {
      async probe(): Promise<ProbeAnswer> {
        const asked = await link.ask(question);
        return asked.kind === 'response' ? judge(check, asked.response) : asked.failure;
      },
      close: () => link.close(),
    };
  };
}
