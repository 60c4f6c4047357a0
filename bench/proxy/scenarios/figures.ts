// Processor time as a figure.
// Called by the scenarios.

import { type Sample } from '../model.ts';

const NS_PER_US = 1000;

/** Microseconds per transaction, request or connection; nothing where there is no proxy. */
export function perUnitUs(cpuNs: number | null, units: number): Sample {
  return cpuNs === null ? {} : { cpuUs: cpuNs / NS_PER_US / units };
}
