// The next view of a backend, from the one before and what an election said of it. Pure.
// Used by topology.ts for what is so, and by imagine.ts for what would be.

import { invariant } from '../core/errors.ts';
import { type Verdict } from './elector.ts';
import { type BackendView } from './model.ts';
import { disagreementOf } from './opinion.ts';

/** The epoch grows with every change of the primary, and never otherwise. */
export function nextView(
  before: BackendView,
  { servers, opinion }: Pick<BackendView, 'servers' | 'opinion'>,
  { primary, splitBrain, faults, reasons }: Verdict,
): BackendView {
  invariant(
    primary === null || servers.some(view => view.name === primary),
    'the primary is a member of its backend',
  );
  return Object.freeze({
    ...before,
    servers: Object.freeze([...servers]),
    primary,
    epoch: primary === before.primary ? before.epoch : before.epoch + 1,
    splitBrain,
    faults: Object.freeze([...faults]),
    opinion,
    disagreement: disagreementOf({ servers, opinion }),
    reasons: Object.freeze([...reasons]),
  });
}
