// The standing rules of a backend as sentences with its own figures: when a state is noticed, and what must happen for
// another server to take over. Pure. Part of explain.ts.

import { type BackendConfig } from '../config/schema.ts';
import { formatDuration } from '../config/units.ts';
import { type AssumptionKind } from './assumptions.ts';
import { hasRoles, type BackendView } from './model.ts';

/** `null`: nothing to be noticed, an operator says it. */
export function noticeOf(is: AssumptionKind, config: BackendConfig): string | null {
  const { intervalMs, timeoutMs } = config.check;
  switch (is) {
    case 'down':
      return noticeOfDeath(config);
    case 'busy':
      return 'busy is not dead: however long it lasts, no session is closed and nobody else is elected for it';
    case 'read-only':
    case 'writable':
    case 'promoted':
      return `what a server says of itself is known at its next check: within ${formatDuration(intervalMs + timeoutMs)} at most, and much sooner while there is no primary`;
    default:
      return null;
  }
}

/** A lost session is one failed check, and the next follows at once. */
function noticeOfDeath({ protocol, check }: BackendConfig): string {
  const { fall, timeoutMs, intervalMs, fastIntervalMs } = check;
  const checks = `${fall} failed ${fall === 1 ? 'check' : 'checks'}`;
  const silent = fall * timeoutMs + intervalMs;
  const silence = `a frozen one, which only falls silent, after ${formatDuration(silent)} at most (${fall} × timeout, and up to one interval before)`;
  if (!hasRoles(protocol)) {
    const refused = intervalMs + (fall - 1) * fastIntervalMs;
    return `down means ${checks}: a server that refuses connections is down within ${formatDuration(refused)}, or as soon as clients find it out; ${silence}`;
  }
  const moreMs = Math.max(0, fall - 2) * fastIntervalMs;
  const lost = moreMs === 0 ? 'at once' : `within ${formatDuration(moreMs)}`;
  return `down means ${checks}: a server whose probe session ends (a killed process) is down ${lost}; ${silence}`;
}

const proofs = {
  postgres: 'a newer timeline of the same cluster',
  mysql: 'that it has all transactions of the others, and more',
  redis: 'that it goes on with the same history',
} as const;

export function takeoverOf(view: BackendView, config: BackendConfig): readonly string[] {
  if (config.protocol === 'http' || config.protocol === 'tcp') return [];
  const { primary, splitBrain, orchestrator, name } = view;
  const but = orchestrator === null ? '' : `, as long as ${orchestrator} says nothing against it`;
  const sentences =
    primary === null
      ? [
          `a server becomes the primary once it says itself that it is writable and nothing speaks against it${but}; Pointsman promotes nobody`,
        ]
      : [
          `another takes over once ${primary} is down, says that it isn’t writable, or is put in maintenance, and the other says that it is writable${but}; Pointsman promotes nobody`,
        ];
  if (primary !== null && config.multipleWriters === 'newest') {
    sentences.push(`or as soon as another shows ${proofs[config.protocol]}`);
  }
  if (primary === null && splitBrain) {
    sentences.push(
      `several claim to be writable: put those that are wrong in maintenance (pointsman maintenance ${name}/SERVER)`,
    );
  }
  if (config.check.settleMs > 0) {
    const settle = formatDuration(config.check.settleMs);
    sentences.push(
      `one that comes back as a writer without proof is believed after ${settle} (check.settle)`,
    );
  }
  return sentences;
}
