// The demo's verdict: what the writer was promised, held against what the new primary has.
// Pure. Called by demo.ts at the end.

import { type Incident } from '../../topology/incidents.ts';
import { table } from '../output.ts';
import { type LedgerWriter } from './ledger-writer.ts';

export interface Summary {
  readonly text: string;
  /** Nothing acknowledged is missing, nothing went to the wrong server. */
  readonly good: boolean;
}

/** `rows`: the numbers found on the new primary; `strays`: rows that reached the old one after its return. */
export function summarize(
  writer: Pick<LedgerWriter, 'acknowledged' | 'errors' | 'longestGap'>,
  rows: readonly number[],
  strays: number,
  incident: Incident | null,
): Summary {
  const present = new Set(rows);
  const lost = writer.acknowledged.filter(({ seq }) => !present.has(seq)).length;
  const readOnly = writer.errors.filter(({ code }) => code === '25006').length;
  const refused = writer.errors.filter(({ during }) => during === 'connect').length;
  const facts: (readonly [string, string])[] = [
    ['acknowledged writes', String(writer.acknowledged.length)],
    ['errors seen by the writer', `${writer.errors.length} (the connection that was on the dying primary)`],
    ['connections refused', String(refused)],
    ['"read-only" answers (25006)', String(readOnly)],
    ['longest gap between writes', `${Math.round(writer.longestGap().ms)} ms`],
    [
      'of it from first bad sign to election',
      typeof incident?.durationMs === 'number' ? `${incident.durationMs} ms` : '-',
    ],
    ['rows written to the returned old primary', String(strays)],
    ['lost', String(lost)],
  ];
  return { text: table(facts), good: lost === 0 && strays === 0 && readOnly === 0 && refused === 0 };
}
