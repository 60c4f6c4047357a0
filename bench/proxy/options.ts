// The command line of the bench, and what `--quick` makes smaller.
// Pure. Called by run.ts.

import { parseArgs } from 'node:util';
import { parse } from 'yaml';
import { type Scale } from './model.ts';

export const USAGE = `usage: npm run bench -- [options]
  --quick                     one short round, less than three minutes; a sign of life, no result
  --rounds N                  default 5, with --quick 1
  --only a,b                  scenarios by name
  --proxies a,b               contenders by name; added latency needs direct among them
  --pointsman-config YAML     the engine of the contender pointsman, such as '{driver: net}'
  --out DIR                   where RESULTS.md, .json and .svg go; default bench/ for a full run, .cache/bench/ for any other`;

export const fullScale: Scale = {
  seconds: 3,
  bulkSeconds: 2,
  latencySeconds: 2,
  latencyRepeats: 3,
  idleConnections: 8000,
  stormConnections: 2000,
};

export const quickScale: Scale = {
  seconds: 1,
  bulkSeconds: 1,
  latencySeconds: 2,
  latencyRepeats: 1,
  idleConnections: 2000,
  stormConnections: 1000,
};

export interface Options {
  readonly quick: boolean;
  readonly rounds: number;
  /** `null`: all of them. */
  readonly only: readonly string[] | null;
  readonly proxies: readonly string[] | null;
  readonly pointsmanEngine: object | null;
  readonly out: string | null;
}

/** Throws with a sentence on anything that isn't understood. */
export function readOptions(
  args: readonly string[],
  known: { readonly scenarios: readonly string[]; readonly contenders: readonly string[] },
): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      only: { type: 'string' },
      proxies: { type: 'string' },
      'pointsman-config': { type: 'string' },
      out: { type: 'string' },
    },
  });
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds is a whole number from 1');
  return {
    quick: values.quick,
    rounds,
    only: names('--only', values.only, known.scenarios),
    proxies: names('--proxies', values.proxies, known.contenders),
    pointsmanEngine: engine(values['pointsman-config']),
    out: values.out ?? null,
  };
}

function names(option: string, text: string | undefined, known: readonly string[]): readonly string[] | null {
  if (text === undefined) return null;
  const given = text.split(',').map(name => name.trim());
  const unknown = given.filter(name => !known.includes(name));
  if (unknown.length > 0) {
    throw new Error(`${option}: there is no ${unknown.join(', ')}; there are ${known.join(', ')}`);
  }
  return given;
}

function engine(text: string | undefined): object | null {
  if (text === undefined) return null;
  const value: unknown = parse(text);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new Error("--pointsman-config is a YAML map, such as '{driver: net}'");
}
