// What the monitor of pg_auto_failover is asked, and how its row becomes an answer.
// One simple query that only reads; columns are read by their names, because versions 1.0 to 2.x have different ones.
// Pure. Used by the client beside it. Source: pg_auto_failover, src/monitor/pgautofailover.sql, function current_state.

import { z } from 'zod';
import { truncate } from '../../../core/limits.ts';
import { type PgafAnswer, type PgafNode } from '../../result.ts';
import { failure, type Failure } from '../failures.ts';

/** Names and states are shown: a stranger's may be as long as it likes. */
const SHOWN_MAX_CHARS = 100;
const NODES_MAX = 128;

const shown = z
  .string()
  .min(1)
  .transform(text => truncate(text, SHOWN_MAX_CHARS));

const stateSchema = z
  .object({
    nodename: shown,
    nodehost: z.string().min(1).max(255).optional(), // up to 1.3 `nodename` was the host
    nodeport: z.int().min(1).max(65_535),
    current_group_state: shown,
    assigned_group_state: shown,
    health: z.number().nullable().optional(),
    reported_tli: z.int().nullable().optional(),
    reported_lsn: shown.nullable().optional(),
  })
  .transform((state): PgafNode => ({
    name: state.nodename,
    address: { host: state.nodehost ?? state.nodename, port: state.nodeport },
    reported: state.current_group_state,
    goal: state.assigned_group_state,
    health: healthIn(state.health),
    timeline: state.reported_tli ?? null,
    position: state.reported_lsn ?? null,
  }));

export interface Asked {
  readonly formation: string;
  readonly group: number;
}

/**
 * `current_state` runs with the rights of who asks: USAGE on the schema pgautofailover and SELECT on its tables node and
 * formation are enough. The monitor tells each change on the channel `state` when it commits it.
 */
export const LISTEN = 'listen state';

export function questionFor({ formation, group }: Asked): string {
  // A literal, since the simple protocol has no parameters; this way of writing one is read alike whatever the settings.
  const name = `E'${formation.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  return `select pg_catalog.pg_is_in_recovery(),
  (select pg_catalog.json_agg(s) from pgautofailover.current_state(${name}, ${group}) s),
  (select pg_catalog.json_agg(f.formationid) from pgautofailover.formation f),
  (select pg_catalog.json_agg(distinct n.groupid) from pgautofailover.node n where n.formationid = ${name})`;
}

const foreign = failure('L7RSP', 'an answer that is none of a pg_auto_failover monitor');

/** The answer in the row of a question, or why it is none. */
export function readAnswer(row: readonly (string | null)[] | null, asked: Asked): PgafAnswer | Failure {
  const [standby, listed, formationNames, groupNumbers] = row ?? [];
  if (row?.length !== 4 || (standby !== 't' && standby !== 'f')) return foreign;
  // What a copy says was true once; nobody can tell when.
  if (standby === 't') return failure('L7STS', 'it is a standby of a monitor, whose word may be old');
  const nodes = readList(listed, stateSchema);
  const formations = readList(formationNames, shown);
  const groups = readList(groupNumbers, z.int());
  if (nodes === null || formations === null || groups === null) return foreign;
  if (!formations.includes(asked.formation)) {
    return failure('L7STS', `it has no formation ${asked.formation}, but ${inWords(formations)}`);
  }
  if (groups.length === 0) return failure('L7STS', `its formation ${asked.formation} has no nodes yet`);
  if (nodes.length === 0) {
    return failure(
      'L7STS',
      `its formation ${asked.formation} has no group ${asked.group}, but ${inWords(groups)}`,
    );
  }
  return { nodes };
}

const inWords = (names: readonly unknown[]): string =>
  names.length === 0 ? 'none at all' : names.join(', ');

/** `null` of SQL is an empty list; `null` of ours is something else than a list of these. */
function readList<T>(text: string | null | undefined, schema: z.ZodType<T>): readonly T[] | null {
  if (text === null) return [];
  try {
    const { data } = z
      .array(schema)
      .max(NODES_MAX)
      .safeParse(JSON.parse(text ?? ''));
    return data ?? null;
  } catch {
    return null; // no JSON: the caller says that it is a foreign answer
  }
}

function healthIn(value: number | null | undefined): PgafNode['health'] {
  if (value === 1) return 'good';
  return value === 0 ? 'bad' : 'unknown';
}
