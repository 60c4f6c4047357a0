// The prober of a server whose name stands for no address: nobody is asked, and every probe says why (L4DNS). When the name
// has an address, a real prober takes its place. Made by app/resolver.ts.

import { type ProberFactory } from '../../prober.ts';
import { failure } from '../failures.ts';

/** `why` settles within the time for one question to DNS; a probe that is ended before doesn't. */
export function createNowhereProber(why: () => Promise<string>): ProberFactory {
  return () => ({
    probe: async () => failure('L4DNS', await why()),
    close() {
      // nothing is open
    },
  });
}
