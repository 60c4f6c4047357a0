// The statements that mend broken replication without losing a row. Text only: Pointsman runs none of them. Each server's
// are meant for one session on it, in their order. Tried on real servers by test/scenario/system-000-mend.test.ts.
// What servers say goes into a statement only if it is harmless: names and keys come from rows that anybody may write.

import { type Fault } from '../model.ts';
import { dialectOf, type Threads } from './mysql-dialect.ts';
import { lacksOf, type Member } from './mysql-history.ts';

export type Mend = Fault['mend'];

const WAIT_SECONDS = 60;
const CHANNEL = /^[\w.-]*$/;

/** A channel whose name could carry SQL gets no statements at all. */
export function canBeWritten(channel: string): boolean {
  return CHANNEL.test(channel);
}

export const on = (member: Member, statements: readonly (string | null)[]): Mend =>
  statements.flatMap(statement => (statement === null ? [] : [{ server: member.name, statement }]));

export function startAgain(member: Member, channel: string, threads: Threads): Mend {
  return canBeWritten(channel) ? on(member, [dialectOf(member).start(channel, threads)]) : [];
}

export interface Side {
  readonly member: Member;
  /** The name of its channel from the other one; `null` for none. */
  readonly channel: string | null;
}

/**
 * Each fetches what it lacks of the other, by the position of what it has applied; MariaDB's strict order of GTIDs, which
 * forbids just that, is off meanwhile. Setting gtid_slave_pos to the other's position instead, as is often advised,
 * would make both run again and leave each without the other's rows for ever.
 */
export function reconcile(one: Side, other: Side, primary: string | null): Mend {
  const sides = [
    { ...one, lacks: lacksOf(one.member, other.member) },
    { ...other, lacks: lacksOf(other.member, one.member) },
  ].flatMap(({ channel, ...rest }) => (channel === null ? [] : [{ channel, ...rest }]));
  if (!sides.every(({ channel }) => canBeWritten(channel))) return [];
  const steps = sides.map(({ member, channel, lacks }) => ({
    member,
    channel,
    lacks,
    sql: dialectOf(member),
  }));
  return [
    ...steps.flatMap(({ member, sql }) =>
      on(
        member,
        sql.isMariadb ? ['SET @strict = @@GLOBAL.gtid_strict_mode', 'SET GLOBAL gtid_strict_mode = 0'] : [],
      ),
    ),
    ...steps.flatMap(({ member, channel, sql }) =>
      on(member, [sql.stop(channel), sql.byAppliedPosition(channel), sql.start(channel)]),
    ),
    ...steps.flatMap(({ member, lacks, sql }) => on(member, [sql.waitFor(lacks, WAIT_SECONDS)])),
    ...steps.flatMap(({ member, sql }) =>
      sql.isMariadb ? on(member, strictAgain(member.name === primary)) : [],
    ),
  ];
}

/**
 * The primary logs something of its own before: with rpl_semi_sync_slave_enabled and the strict order, MariaDB takes its
 * own transactions back from the other one and applies them a second time, unless the newest in its log is a later one
 * (MDEV-27760); and the newest there now is an old one, of the other. FLUSH HOSTS is logged and harms nobody.
 */
function strictAgain(isPrimary: boolean): readonly string[] {
  const restore = 'SET GLOBAL gtid_strict_mode = COALESCE(@strict, @@GLOBAL.gtid_strict_mode)';
  return isPrimary ? ['FLUSH HOSTS', restore] : [restore];
}
