// What changed between two views, as sentences: one per change, none for a repeated check. Pure.
// The log and the incident timeline tell the same story because both take it from here.

import { formatAddress } from '../core/address.ts';
import { factsOf, type ProbeResult } from '../health/result.ts';
import {
  type AdminState,
  type BackendChange,
  type BackendView,
  type Fault,
  type ServerView,
} from './model.ts';

export function describeChange({ before, after }: BackendChange): readonly string[] {
  const sentences = [
    ...before.servers
      .filter(server => !isMember(server, after))
      .map(({ name }) => `${name} is no member any more`),
    ...after.servers.flatMap((server, index) => {
      // As a rule the members stay, each in its place.
      const previous = before.servers[index];
      if (previous === server) return [];
      return describeServer(
        before.servers.find(({ name }) => name === server.name),
        server,
      );
    }),
  ];
  sentences.push(...describeCounsel(before, after));
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
  } else if (after.primary === null && withoutProgress(before.reasons) !== withoutProgress(after.reasons)) {
    sentences.push(`${after.name} is still without a primary: ${after.reasons.join('; ')}`);
  }
  return [...sentences, ...describeFaults(before.faults, after.faults)];
}

/** What the orchestrator says now, and whether the servers say something else. */
function describeCounsel(before: BackendView, after: BackendView): readonly string[] {
  const { opinion, orchestrator, disagreement } = after;
  const sentences: string[] = [];
  if (before.opinion?.words !== opinion?.words)
    sentences.push(opinion?.words ?? `no word from ${orchestrator}`);
  if (before.disagreement === null && disagreement !== null) sentences.push(`disagreement: ${disagreement}`);
  if (before.disagreement !== null && disagreement === null) sentences.push('the disagreement is over');
  return sentences;
}

/** Those that appeared, changed or are over. How many transactions are missing changes at every check and is no news. */
function describeFaults(before: readonly Fault[], after: readonly Fault[]): readonly string[] {
  const earlier = new Map(before.map(fault => [keyOf(fault), withoutNumbers(fault.what)]));
  const news = after.filter(fault => earlier.get(keyOf(fault)) !== withoutNumbers(fault.what));
  const still = new Set(after.map(keyOf));
  const over = before.filter(fault => !still.has(keyOf(fault)));
  return [
    ...news.map(({ server, code, what }) => `${server}: ${code}: ${what}`),
    ...over.map(({ server, code }) => `${server}: ${code} is over`),
  ];
}

const keyOf = ({ server, code }: Fault): string => `${server} ${code}`;
const withoutNumbers = (text: string): string =>
  text.replace(/\d[\d.,:*-]*/g, '#').replace(/\btransactions\b/g, 'transaction');

/** Reasons without what moves while nothing changes: how far a log is, and which transactions are missing. */
const withoutProgress = (reasons: readonly string[]): string =>
  reasons
    .join()
    .replace(/\b[0-9A-F]{1,8}\/[0-9A-F]{1,8}\b/g, '#')
    .replace(/\b\d+ transactions? \([^)]*\)/g, '# transactions');

const isMember = ({ name }: ServerView, { servers }: BackendView): boolean =>
  servers.some(server => server.name === name);

function describeServer(before: ServerView | undefined, after: ServerView): string[] {
  if (before === undefined) return [`${after.name} is a new member: ${formatAddress(after.address)}`];
  const sentences: string[] = [];
  const told = tell(after.result);
  if (tell(before.result) !== told) sentences.push(`${after.name}: ${told}${because(after.result)}`);
  if (before.health.kind !== after.health.kind) {
    sentences.push(`${after.name} is ${after.health.kind}, was ${before.health.kind}`);
  }
  if (before.admin !== after.admin) sentences.push(`${after.name} ${tellAdmin(after.admin)}`);
  return sentences;
}

/** What an operator decided about a server, as the rest of a sentence about it. */
function tellAdmin(admin: AdminState): string {
  return admin === 'ready' ? 'is ready again (operator)' : `is in ${admin} (operator)`;
}

/** A result without what differs from check to check (durations, positions). */
function tell(result: ProbeResult | null): string {
  const facts = factsOf(result);
  if (result === null) return 'not asked yet';
  if (facts === null) return result.code;
  if (result.code === 'L4OK') return 'accepts connections';
  if (facts.role === 'unknown') return 'answers';
  const timeline = facts.timeline === null ? '' : `, timeline ${facts.timeline}`;
  return `${facts.role}${facts.writable ? ', writable' : ', not writable'}${timeline}`;
}

/** The words of the server where the code alone says too little. */
function because(result: ProbeResult | null): string {
  const saysRole =
    result === null || result.code === 'L4OK' || (factsOf(result)?.role ?? 'unknown') !== 'unknown';
  return saysRole ? '' : ` (${result.detail})`;
}
