// Tells a fault of replication from a passing state: threads are stopped and started again in an instant, and two servers
// aren't asked at the same moment. What carries no error text counts only once two results in a row have shown it. Pure.
// Kept in the memory (mysql-memory.ts), read by mysql-faults.ts.

import { type MonotonicMs } from '../../core/clock.ts';
import { type ServerFacts } from '../../health/result.ts';
import { type ServerView } from '../model.ts';

/** By server: when its newest answer came, the signs in it, and those that the answer before it had shown too. */
export type Watch = Readonly<
  Record<
    string,
    { readonly at: MonotonicMs; readonly signs: readonly string[]; readonly lasting: readonly string[] }
  >
>;

export function watched(before: Watch, servers: readonly ServerView[]): Watch {
  const entries = servers.flatMap(({ name, lastAnswer }) => {
    const known = before[name];
    if (lastAnswer === null) return known === undefined ? [] : [[name, known] as const];
    if (known?.at === lastAnswer.at) return [[name, known] as const];
    const signs = signsIn(lastAnswer.facts);
    const lasting = signs.filter(sign => known?.signs.includes(sign) === true);
    return [[name, Object.freeze({ at: lastAnswer.at, signs, lasting })] as const];
  });
  return Object.freeze(Object.fromEntries(entries));
}

export function lasts(watch: Watch, server: string, sign: string): boolean {
  return watch[server]?.lasting.includes(sign) === true;
}

export const notApplying = (channel: string): string => `not applying ${channel}`;
export const notReceiving = (channel: string): string => `not receiving ${channel}`;
export const FOLLOWS_NOBODY = 'follows nobody';

function signsIn({ channels }: ServerFacts): readonly string[] {
  if (channels.length === 0) return [FOLLOWS_NOBODY];
  return channels.flatMap(({ name, applying, receiving }) => [
    ...(applying ? [] : [notApplying(name)]),
    ...(receiving === 'no' ? [notReceiving(name)] : []),
  ]);
}
