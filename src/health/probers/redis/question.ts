// The one question a probe asks, and how the replies become facts.
// Works for an ACL user with `+ping +info`, on Redis 4 to 8 and Valkey, on primaries and replicas. Pure.
// Used by the prober beside it.

import { formatAddress } from '../../../core/address.ts';
import { type Command } from '../../../protocol/redis/command.ts';
import { readCount, readInfo, type Fields } from '../../../protocol/redis/fields.ts';
import { type Reply } from '../../../protocol/redis/reply.ts';
import { failure, type Failure } from '../failures.ts';
import { nothingTold, type History, type ServerFacts } from '../../result.ts';
import { replyFailure } from './failures.ts';

/** Once for each session: a session can't outlive the process it was made to. */
export const FIRST_QUESTION: Command = ['INFO', 'server'];

/**
 * PING is refused in all the states in which ordinary commands are: LOADING, BUSY, MASTERDOWN (a replica that lost its
 * primary and may not serve old data), MISCONF (a primary that takes no writes because it can't save).
 */
export const QUESTION: readonly Command[] = [['PING'], ['INFO', 'replication']];

/** Needed only where INFO shows that the setting is in use, and the replicas it counts are not none. */
export const MIN_REPLICAS_QUESTION: Command = ['CONFIG', 'GET', 'min-replicas-to-write'];

/** A replica hears of its primary every `repl-ping-replica-period`, by default 10 s, be there writes or not. */
const HEARD_LATELY_SECONDS = 11;

/** Who answers, from FIRST_QUESTION. */
export interface Identity {
  readonly version: string | null;
  readonly runId: string | null;
}

export function readIdentity(reply: Reply | undefined): Identity | Failure {
  const fields = infoIn(reply);
  if ('code' in fields) return fields;
  if (fields.get('redis_mode') === 'sentinel') {
    return failure('L7STS', 'this is a Sentinel, not a server of data');
  }
  return {
    version: fields.get('valkey_version') ?? fields.get('redis_version') ?? null,
    runId: fields.get('run_id') ?? null,
  };
}

/** What the replies to QUESTION tell; `goodReplicas` is `null` where writes don't depend on their number. */
export interface Told {
  readonly facts: ServerFacts;
  /** Why a primary takes no writes, in its own words where there are any. */
  readonly remark: string | null;
  readonly goodReplicas: number | null;
}

export const TOO_FEW_REPLICAS = 'too few good replicas (min-replicas-to-write)';

export function readAnswer(replies: readonly Reply[], identity: Identity): Told | Failure {
  const [ping, info] = replies;
  const refusal = ping?.kind === 'error' ? ping.text : null;
  if (refusal !== null && !refusal.startsWith('MISCONF')) return replyFailure(refusal);
  const fields = infoIn(info);
  if ('code' in fields) return fields;
  const role = fields.get('role');
  if (role === 'master') return readPrimary(fields, identity, refusal);
  if (role === 'slave') return { facts: readReplica(fields, identity), remark: null, goodReplicas: null };
  return failure('L7RSP', 'INFO without a role');
}

/** Whether the number of good replicas is enough; `true` where the setting may not be read. */
export function areEnough(goodReplicas: number, setting: Reply | undefined): boolean {
  const value = setting?.kind === 'list' ? setting.items[1] : undefined;
  const wanted = value?.kind === 'text' ? readCount(value.text) : null;
  return wanted === null || goodReplicas >= wanted;
}

function readPrimary(fields: Fields, { version, runId }: Identity, refusal: string | null): Told {
  const offset = readCount(fields.get('master_repl_offset'));
  const goodReplicas = readCount(fields.get('min_slaves_good_slaves'));
  return {
    facts: {
      ...nothingTold,
      role: 'primary',
      writable: refusal === null && goodReplicas !== 0,
      version,
      position: offset === null ? null : String(offset),
      history: readHistory(fields, offset, runId),
    },
    remark: refusal ?? (goodReplicas === 0 ? TOO_FEW_REPLICAS : null),
    goodReplicas: goodReplicas === 0 || refusal !== null ? null : goodReplicas,
  };
}

function readReplica(fields: Fields, { version, runId }: Identity): ServerFacts {
  const offset = readCount(fields.get('slave_repl_offset'));
  const [host, port] = [fields.get('master_host'), readCount(fields.get('master_port'))];
  const replicating = fields.get('master_link_status') === 'up';
  return {
    ...nothingTold,
    role: 'replica',
    version,
    position: offset === null ? null : String(offset),
    lagSeconds: replicating ? readLag(fields, offset) : null,
    replicating,
    upstream: host !== undefined && port !== null ? formatAddress({ host, port }) : null,
    history: readHistory(fields, offset, runId),
  };
}

/**
 * Redis measures lag in bytes. In seconds it is 0 while the primary is heard and all that came is applied, else the time since
 * it was heard last, which is the most it can be behind; unknown where more has come than is applied.
 */
function readLag(fields: Fields, applied: number | null): number | null {
  const heard = readCount(fields.get('master_last_io_seconds_ago'));
  const received = readCount(fields.get('slave_read_repl_offset')) ?? applied;
  if (heard === null || applied === null || received !== applied) return null;
  return heard <= HEARD_LATELY_SECONDS ? 0 : heard;
}

function readHistory(fields: Fields, offset: number | null, runId: string | null): History | null {
  const replicationId = fields.get('master_replid');
  if (replicationId === undefined || offset === null || runId === null) return null;
  const earlier = fields.get('master_replid2') ?? '';
  const next = readCount(fields.get('second_repl_offset'));
  // The second offset is that of the first byte that isn't shared.
  const previous =
    next === null || next === 0 || /^0*$/.test(earlier) ? null : { replicationId: earlier, until: next - 1 };
  return { kind: 'redis', replicationId, offset, previous, runId };
}

function infoIn(reply: Reply | undefined): Fields | Failure {
  if (reply?.kind === 'error') return replyFailure(reply.text);
  return reply?.kind === 'text' ? readInfo(reply.text) : failure('L7RSP', 'INFO without a text');
}
