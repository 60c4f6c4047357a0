// What a failover of Redis lost, in bytes of the replication stream: how much of the old primary's history was seen, against
// the offset at which the new one left it. Replication is asynchronous always. Pure.
// Source: redis.io, "Redis replication" ("Replication ID explained").

import { type History, type ServerFacts } from '../../health/result.ts';
import { unknown, type LossCase, type LossRules, type MissingBytes } from './shapes.ts';

type RedisHistory = Extract<History, { kind: 'redis' }>;

export const redisLoss: LossRules = {
  find(lossCase) {
    const { former, present } = lossCase;
    const [had, has] = [historyOf(former.result.facts), historyOf(present.result.facts)];
    if (had === null || has === null) return unknown('servers before Redis 4 tell no replication ids');
    const fork = forkIn(has, had.replicationId);
    const wasReplica = lossCase.witnesses.some(({ server }) => server === present.server);
    // Without replicas a primary takes another id after a while, and forgets the one before; one that was a replica has both.
    const seen = seenOf(lossCase, had);
    const goesOn = fork === null ? has.previous === null && has.offset >= seen : fork >= seen;
    if (has.runId === had.runId && !wasReplica && goesOn) {
      return { kind: 'none', why: `${present.server} was not restarted, and goes on with all that it has` };
    }
    if (fork === null) {
      return unknown(
        `${present.server} goes on with another history than that of ${former.server}: what it has of it can't be measured`,
      );
    }
    return bytes(seen, fork);
  },

  findOnReturn(lossCase, former, present) {
    const had = historyOf(lossCase.former.result.facts);
    const back = historyOf(former.result.facts);
    const has = historyOf(lossCase.present.result.facts);
    if (had === null || back === null || has === null || former.server === present.server) return null;
    const fork = forkIn(has, had.replicationId);
    // A restarted one has lost its history itself, and one that became a replica took over the new one's.
    const isSame = back.runId === had.runId && back.replicationId === had.replicationId;
    if (fork === null || !isSame || former.result.facts.role !== 'primary') return null;
    return bytes(Math.max(back.offset, seenOf(lossCase, had)), fork);
  },
};

const bytes = (seen: number, end: number): MissingBytes => ({
  kind: 'bytes',
  bytes: Math.max(0, seen - end),
  of: 'the replication stream',
  atLeast: false,
  remark: null,
});

/** Up to where a server has a history; `null` when it has another. */
function forkIn({ replicationId, offset, previous }: RedisHistory, of: string): number | null {
  if (replicationId === of) return offset;
  return previous?.replicationId === of ? previous.until : null;
}

function seenOf({ witnesses }: LossCase, { replicationId, offset }: RedisHistory): number {
  const offsets = witnesses.map(({ result }) => {
    const history = historyOf(result.facts);
    return history?.replicationId === replicationId ? history.offset : 0;
  });
  return Math.max(offset, ...offsets);
}

const historyOf = ({ history }: ServerFacts): RedisHistory | null =>
  history?.kind === 'redis' ? history : null;
