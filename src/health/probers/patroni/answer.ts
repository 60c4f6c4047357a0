// Reads what Patroni's REST API answers. Strict about who leads and who there is, generous about all the rest, which differs
// by version: since 3.1 replicas are `streaming` where they were `running`, and 4 has more kinds of them.
// No I/O; used by the client beside it. Format: patroni.readthedocs.io, "Patroni REST API", "Monitoring endpoint" and
// "Cluster status endpoints".

import { z } from 'zod';
import { truncate } from '../../../core/limits.ts';
import { type PatroniAnswer, type PatroniMember } from '../../result.ts';
import { failure, type Failure } from '../failures.ts';

/** Names and states are shown: a stranger's may be as long as it likes. */
const SHOWN_MAX_CHARS = 100;
const MEMBERS_MAX = 64;
/** What libpq takes where no port is given; Patroni leaves it out then. */
const USUAL_PORT = 5432;

/** Ours, in place of what a member would say of itself. */
const ABSENT = 'absent';

const shown = z.string().transform(text => truncate(text, SHOWN_MAX_CHARS));

const clusterSchema = z.object({
  members: z
    .array(
      z.object({
        name: shown,
        role: z.string(),
        state: shown.catch(''),
        host: z.string().min(1).max(255).optional(),
        port: z.int().min(1).max(65_535).default(USUAL_PORT),
        timeline: z.int().nullable().catch(null),
      }),
    )
    .max(MEMBERS_MAX),
  pause: z.boolean().default(false),
});

const nodeSchema = z.object({ dcs_last_seen: z.number() });

/** The body of `GET /cluster`. */
export function readCluster(body: Buffer): PatroniAnswer | Failure {
  const { success, data } = clusterSchema.safeParse(parseJson(body));
  if (!success) return failure('L7RSP', 'an answer that is none of Patroni');
  const leaders = data.members.filter(({ role }) => role === 'leader' || role === 'standby_leader');
  const [leader, second] = leaders;
  if (second !== undefined) return failure('L7RSP', 'an answer with two leaders');
  return {
    leader: leader?.name ?? null,
    standbyCluster: leader?.role === 'standby_leader',
    paused: data.pause,
    members: data.members.map(({ name, host, port, state, timeline }) => ({
      name,
      address: host === undefined ? null : { host, port },
      state,
      timeline,
    })),
  };
}

/** The body of `GET /patroni`: when this node last reached the store, in its own seconds; `null` where it doesn't say. */
export function readStoreSeen(body: Buffer): number | null {
  const { success, data } = nodeSchema.safeParse(parseJson(body));
  return success ? data.dcs_last_seen : null;
}

/**
 * With those that were listed before, where it can't be told whether they belong to it no more: a member is listed while its
 * Patroni runs, and in a pause, or before somebody else leads, a primary without one may still be at work.
 */
export function withAbsent(before: PatroniAnswer | null, now: PatroniAnswer): PatroniAnswer {
  if (before === null || (now.leader !== null && !now.paused)) return now;
  const listed = new Set(now.members.map(({ name }) => name));
  const absent: PatroniMember[] = before.members
    .filter(({ name }) => !listed.has(name))
    .map(member => ({ ...member, state: ABSENT }));
  return absent.length === 0 ? now : { ...now, members: [...now.members, ...absent] };
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return null; // no JSON: refused by the schema like any other wrong answer
  }
}
