// What a failover of MySQL or MariaDB lost, in transactions: what was seen of the old primary's GTIDs and its successor
// doesn't have. Members of Galera and of Group Replication certify every transaction together. Pure.

import { type GtidSet } from '../../health/result.ts';
import { countGtids, missingGtids, uniteGtids } from '../../protocol/mysql/gtid.ts';
import {
  historyOf,
  isApartFrom,
  isNone,
  lackingOf,
  ownOf,
  tellGtids,
  type GtidHistory,
} from '../evidence/mysql-history.ts';
import { unknown, type Finding, type LossCase, type LossRules, type Word } from './shapes.ts';

export const mysqlLoss: LossRules = {
  find(lossCase) {
    const { former, present } = lossCase;
    const [old, now] = [former.result.facts, present.result.facts];
    if (old.systemId !== null && old.systemId === now.systemId) {
      return {
        kind: 'none',
        why: 'the cluster certifies every transaction before it is answered, and both are members',
      };
    }
    const [had, has] = [historyOf(old), historyOf(now)];
    if (had === null || has === null) {
      const who = had === null ? former.server : present.server;
      return unknown(`${who} tells no GTIDs: nobody can tell what ${present.server} lacks`);
    }
    if (isApartFrom(has, had.transactions)) {
      return unknown(`${present.server} and ${former.server} are kept equal by other means than replication`);
    }
    const missing = missingIn(lossCase, had, has);
    if (former.server === present.server && isNone(missing)) {
      return {
        kind: 'none',
        why: `${present.server} itself goes on with all that it was seen to have, and a commit is answered when it is on the disk (unless innodb_flush_log_at_trx_commit or sync_binlog is not 1)`,
      };
    }
    return transactions(missing, has);
  },

  findOnReturn(lossCase, former, present) {
    const had = historyOf(lossCase.former.result.facts);
    const has = historyOf(present.result.facts);
    const back = historyOf(former.result.facts);
    if (had === null || has === null || lossCase.former.server === present.server) return null;
    const seen = missingIn(lossCase, had, has);
    // Of a later word only what the old primary wrote itself is its own to lose.
    const more =
      back === null || former === lossCase.former ? {} : ownOf(lackingOf(has, back.transactions), back);
    return transactions(uniteGtids(seen, more), has);
  },
};

function transactions(set: GtidSet, { flavor }: GtidHistory): Finding {
  return { kind: 'transactions', count: countGtids(set), gtids: isNone(set) ? '' : tellGtids(set, flavor) };
}

/** Of the old primary's and of what others were seen to have of it; but not what those wrote themselves. */
function missingIn({ former, present, witnesses }: LossCase, had: GtidHistory, has: GtidHistory): GtidSet {
  // The same server with less than it had: its own transactions count there, and above all.
  if (former.server === present.server) return missingGtids(has.transactions, had.transactions);
  return witnesses.reduce(
    (missing, { server, result }: Word) => {
      const history = historyOf(result.facts);
      if (history === null) return missing;
      const lacks = lackingOf(has, history.transactions);
      const own = server === former.server ? [] : Object.keys(ownOf(lacks, history));
      const others = Object.entries(lacks).filter(([origin]) => !own.includes(origin));
      return uniteGtids(missing, Object.fromEntries(others));
    },
    lackingOf(has, had.transactions),
  );
}
