// Which connections to a server are amid a transaction or a statement now: asked of the server itself, by the port of our
// end of each. Used before sessions are closed for a switchover (drain.ts).

import { type SqlSession } from './sql.ts';

/** By `address:port` of the client's end as the server sees it: whether it rests between two transactions. */
export type Rest = ReadonlyMap<string, boolean>;

const questions = {
  // Of others' sessions an ordinary user sees no state (PostgreSQL 15, 28.2.3, pg_stat_activity): those don't rest.
  postgres: `select host(client_addr) || ':' || client_port, coalesce(state, '') = 'idle'
    from pg_stat_activity where client_port is not null and client_port > 0`,
  // A transaction that has not touched a table yet isn't in innodb_trx; without the privilege PROCESS nothing of others is told.
  mysql: `select p.host, p.command = 'Sleep' and t.trx_id is null
    from information_schema.processlist p left join information_schema.innodb_trx t on t.trx_mysql_thread_id = p.id`,
} as const;

/** Rejects with what the server says. */
export async function askRest(session: SqlSession, protocol: keyof typeof questions): Promise<Rest> {
  const rows = await session.ask(questions[protocol]);
  return new Map(
    rows.flatMap(([place, rests]): [string, boolean][] =>
      place === null || place === undefined
        ? []
        : [[place, rests === 't' || rests === '1' || rests === 'true']],
    ),
  );
}
