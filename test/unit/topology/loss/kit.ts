// What the tests of loss reports share: words of servers, and a case of a failover with what matters given.

import { type ServerFacts, type WalFacts } from '../../../../src/health/result.ts';
import { type LossCase, type Word } from '../../../../src/topology/loss/shapes.ts';
import { pass } from '../../../support/views.ts';

export const word = (server: string, facts: Partial<ServerFacts>, at = 0): Word => ({
  server,
  result: pass(facts, at),
});

export const wal = (given: Partial<WalFacts> = {}): WalFacts => ({
  recoveredTo: null,
  synchronousNames: '',
  synchronousCommit: 'on',
  standbys: null,
  standbyName: null,
  ...given,
});

export const lossCase = (
  given: Pick<LossCase, 'protocol' | 'former' | 'present'> & Partial<LossCase>,
): LossCase => ({ promotedFrom: null, witnesses: [], standbyName: null, ...given });
