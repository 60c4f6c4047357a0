// The loss report (safety rule 9): how much a change of the primary may have lost, in numbers and in a sentence for people.
// A proxy can't promise anything here: it tells what was seen, and says what nobody saw. Pure. Made by loss/watch.ts; read
// through the incidents.

import { type Protocol } from '../config/schema.ts';
import { mysqlLoss } from './loss/mysql.ts';
import { postgresLoss } from './loss/postgres.ts';
import { redisLoss } from './loss/redis.ts';
import {
  tellBytes,
  unknown,
  type Finding,
  type LossCase,
  type LossRules,
  type MissingBytes,
  type MissingTransactions,
  type Word,
} from './loss/shapes.ts';

export type Loss = Finding & {
  /**
   * From when the old primary was asked for its last answer to the first bad sign: what it wrote in that time nobody saw.
   * `null`: it never answered.
   */
  readonly unseenMs: number | null;
  readonly words: string;
};

const withoutRoles: LossRules = {
  find: () => unknown('servers that have no roles tell no positions'),
  findOnReturn: () => null,
};

const rules: Readonly<Record<Protocol, LossRules>> = {
  postgres: postgresLoss,
  mysql: mysqlLoss,
  redis: redisLoss,
  http: withoutRoles,
  tcp: withoutRoles,
};

export function lossOf(lossCase: LossCase, unseenMs: number): Loss {
  const finding = rules[lossCase.protocol].find(lossCase);
  return Object.freeze({ ...finding, unseenMs, words: tell(finding, lossCase, unseenMs) });
}

/** Of a primary that is known from before a restart of ours, and was never heard of since. */
export function lossOfUnseen(old: string): Loss {
  const why = `${old} has not answered as the primary since Pointsman was started`;
  return Object.freeze({ ...unknown(why), unseenMs: null, words: `unknown: ${why}` });
}

/**
 * The report again, after a newer word of the old primary (`null`: there is none) or of the new one; `null`: it stays.
 * What no client had an answer for stays out of it: a loss that was ruled out stays ruled out.
 */
export function lossOnReturn(
  { unseenMs, ...before }: Loss,
  lossCase: LossCase,
  former: Word | null,
  present: Word,
): Loss | null {
  if (before.kind === 'none') return null;
  const finding = rules[lossCase.protocol].findOnReturn(lossCase, former ?? lossCase.former, present);
  if (finding === null) return null;
  const [old, now] = [lossCase.former.server, present.server];
  const missing = tellMissing(finding);
  if (missing !== null) {
    const words = `${old} was asked since: it has ${missing} that ${now} lacks`;
    return former === null ? null : Object.freeze({ ...finding, unseenMs, words });
  }
  const lacked = before.kind === 'transactions' && before.count > 0 ? before.gtids : null;
  const words =
    lacked === null
      ? `${old} was asked since: it has nothing that ${now} lacks`
      : `${now} took over without ${lacked} of ${old}, and has them since`;
  if (isTransactions(finding)) return Object.freeze({ ...finding, unseenMs, words });
  return Object.freeze({ kind: 'none', why: words, unseenMs, words: `none: ${words}` });
}

function tell(finding: Finding, { former, present }: LossCase, unseenMs: number): string {
  if (finding.kind === 'none' || finding.kind === 'unknown') return `${finding.kind}: ${finding.why}`;
  const [old, now] = [former.server, present.server];
  const missing = tellMissing(finding);
  const head =
    missing === null
      ? `nothing that was seen is missing: ${now} has all that ${old} was seen to have`
      : old === now
        ? `${now} came back without ${missing} that it was seen to have`
        : `${now} lacks ${missing} that ${old} was seen to have`;
  const unseen = `what ${old} wrote after its last answer, ${tellSpan(unseenMs)} before the first bad sign, nobody saw`;
  const remark = finding.kind === 'bytes' ? finding.remark : null;
  return [head, unseen, ...(remark === null ? [] : [remark])].join('; ');
}

/** `null`: nothing of what was seen. */
function tellMissing(finding: Finding): string | null {
  if (isBytes(finding)) {
    return finding.bytes === 0 ? null : `${finding.atLeast ? 'at least ' : ''}${tellBytes(finding)}`;
  }
  return isTransactions(finding) && finding.count > 0 ? finding.gtids : null;
}

const isBytes = (finding: Finding): finding is MissingBytes => finding.kind === 'bytes';
const isTransactions = (finding: Finding): finding is MissingTransactions => finding.kind === 'transactions';

const tellSpan = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
