// Reads the body of Patroni's `GET /cluster`. Strict about who leads and who there is, generous about all the rest, which
// differs by version: since 3.1 replicas are `streaming` where they were `running`, and 4 has more kinds of them.
// No I/O; used by the client beside it. Format: patroni.readthedocs.io, "Patroni REST API", "Cluster status endpoints".

import { z } from 'zod';
import { truncate } from '../../../core/limits.ts';
import { type PatroniAnswer, type PatroniMember } from '../../result.ts';
import { failure, type Failure } from '../failures.ts';

/** Names and states are shown: a stranger's may be as long as it likes. */
const SHOWN_MAX_CHARS = 100;
const MEMBERS_MAX = 64;

const shown = z.string().transform(text => truncate(text, SHOWN_MAX_CHARS));

const clusterSchema = z.object({
  members: z
    .array(
      z.object({
        name: shown,
        role: z.string(),
        state: shown.catch(''),
        host: z.string().min(1).optional(),
        port: z.int().min(1).max(65_535).optional(),
        timeline: z.int().optional().catch(undefined),
      }),
    )
    .max(MEMBERS_MAX),
  pause: z.boolean().optional(),
});

type RawMember = z.output<typeof clusterSchema>['members'][number];

/** What libpq takes where no port is given, and Patroni then leaves it out. */
const USUAL_PORT = 5432;

export function readPatroniAnswer(body: Buffer): PatroniAnswer | Failure {
  const { success, data } = clusterSchema.safeParse(parseJson(body));
  if (!success) return failure('L7RSP', 'an answer that is none of Patroni');
  const leaders = data.members.filter(({ role }) => role === 'leader' || role === 'standby_leader');
  const [leader, second] = leaders;
  if (second !== undefined) return failure('L7RSP', 'an answer with two leaders');
  return {
    leader: leader?.name ?? null,
    standbyCluster: leader?.role === 'standby_leader',
    paused: data.pause === true,
    members: data.members.map(readMember),
  };
}

function readMember({ name, host, port, state, timeline }: RawMember): PatroniMember {
  const address = host === undefined ? null : { host, port: port ?? USUAL_PORT };
  return { name, address, state, timeline: timeline ?? null };
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return null; // no JSON: refused by the schema like any other wrong answer
  }
}
