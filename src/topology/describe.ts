// What changed between two views, as sentences: one per change, none for a repeated check. Pure.
// The log and the incident timeline tell the same story because both take it from here.

import { factsOf, hasPassed, type ProbeResult } from '../health/result.ts';
import { type BackendChange, type ServerView } from './model.ts';

export function describeChange({ before, after }: BackendChange): readonly string[] {
  const sentences = after.servers.flatMap((server, index) => {
    const previous = before.servers[index];
    return previous === undefined || previous === server ? [] : describeServer(previous, server);
  });
  if (!before.splitBrain && after.splitBrain) {
    sentences.push(`split brain: several servers claim to be writable; ${after.reasons.join('; ')}`);
  }
  if (before.splitBrain && !after.splitBrain) sentences.push('the split brain is over');
  if (before.primary !== after.primary) {
    const why = after.reasons.join('; ');
    sentences.push(
      after.primary === null
        ? `${after.name} is without a primary: ${why}`
        : `${after.primary} is the primary of ${after.name}: ${why}`,
    );
  } else if (after.primary === null && before.reasons.join() !== after.reasons.join()) {
    sentences.push(`${after.name} is still without a primary: ${after.reasons.join('; ')}`);
  }
  return sentences;
}

function describeServer(before: ServerView, after: ServerView): string[] {
  const sentences: string[] = [];
  const told = tell(after.result);
  if (tell(before.result) !== told) sentences.push(`${after.name}: ${told}${because(after.result)}`);
  if (before.health.kind !== after.health.kind) {
    sentences.push(`${after.name} is ${after.health.kind}, was ${before.health.kind}`);
  }
  return sentences;
}

/** A result without what differs from check to check (durations, positions). */
function tell(result: ProbeResult | null): string {
  const facts = factsOf(result);
  if (result === null) return 'not asked yet';
  if (facts === null) return result.code;
  if (result.code === 'L4OK') return 'accepts connections';
  const timeline = facts.timeline === null ? '' : `, timeline ${facts.timeline}`;
  return `${facts.role}${facts.writable ? ', writable' : ', not writable'}${timeline}`;
}

function because(result: ProbeResult | null): string {
  return result === null || hasPassed(result) ? '' : ` (${result.detail})`;
}
