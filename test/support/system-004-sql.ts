// The stored procedures of system 004 as SQL: a main database, its deputy A (VICE until it is told, or finds out, that it is
// ACTING_MASTER) and a copy B, tied together by federated tables instead of replication. Texts only; system-004.ts runs them.
// Only what the system needs to be itself: one table of titles, the log that recovery replays, the mode of the deputy.

import { type MariadbNode } from './mariadb.ts';

/** The account of the federated links; told apart from the application's at each server. */
export const link = { user: 'link', password: 'link-secret' } as const;

const VALUES = 'p_id, p_title, p_runtime, p_rating, p_votes, p_year';
const PARAMETERS =
  'p_id varchar(12), p_title varchar(200), p_runtime int, p_rating decimal(3, 1), p_votes int, p_year int';

/** For every node. The probe asks for the mode in this database. */
export const common: readonly string[] = [
  `create user ${link.user}@'%' identified by '${link.password}'`,
  `grant all on app.* to ${link.user}@'%'`,
  "grant select on app.* to probe@'%'",
  `create table app.title (id varchar(12) primary key, title varchar(200), runtime int, rating decimal(3, 1),
     votes int, year int) engine = innodb`,
];

const log = `create table app.transaction_log (transaction_id bigint auto_increment primary key,
  operation_type varchar(20), source_node varchar(20), record_id varchar(12), new_value text,
  logged_at timestamp default current_timestamp) engine = innodb`;

/** Before the links, which need what they lead to. */
export const mainTables: readonly string[] = [
  log,
  'create table app.recovery (only_row int primary key, replayed_until bigint not null) engine = innodb',
  'insert into app.recovery values (1, 0)',
];

export const deputyTables: readonly string[] = [
  log,
  `create table app.node_config (config_key varchar(50) primary key, config_value varchar(50),
     last_updated timestamp default current_timestamp on update current_timestamp) engine = innodb`,
  "insert into app.node_config (config_key, config_value) values ('node_mode', 'VICE')",
];

/** A table of this node that is `remote` of the node that it leads to. */
export function federated(name: string, remote: string, to: MariadbNode): string {
  const at = `${link.user}:${link.password}@${to.host}:${to.port}`;
  return `create table app.${name} engine = federated connection = 'mysql://${at}/app/${remote}'`;
}

/** A write to a neighbour that may be away: its failure is nobody's but the neighbour's. */
const neighbourly = (statement: string): string =>
  `begin declare continue handler for sqlexception begin end; ${statement}; end;`;

function writers(source: string, guard: string, neighbours: readonly string[]): readonly string[] {
  const logged = (operation: string, value: string): string =>
    `insert into transaction_log (operation_type, source_node, record_id, new_value)
       values ('${operation}', '${source}', p_id, ${value});`;
  const json = `json_object('id', p_id, 'title', p_title, 'runtime', p_runtime, 'rating', p_rating, 'votes', p_votes, 'year', p_year)`;
  // By the rights of the caller: the process list names him even amid the call.
  const procedure = (
    name: string,
    parameters: string,
    local: string,
    log: string,
    remote: (t: string) => string,
  ) =>
    `create procedure app.${name}(${parameters}) sql security invoker begin ${guard}
       start transaction; ${local}; ${log} commit;
       ${neighbours.map(table => neighbourly(remote(table))).join('\n')} end`;
  const put = (table: string): string => `replace into ${table} values (${VALUES})`;
  const remove = (table: string): string => `delete from ${table} where id = p_id`;
  return [
    procedure('distributed_insert', PARAMETERS, put('title'), logged('INSERT', json), put),
    procedure('distributed_update', PARAMETERS, put('title'), logged('UPDATE', json), put),
    procedure('distributed_delete', 'p_id varchar(12)', remove('title'), logged('DELETE', 'null'), remove),
  ];
}

export const mainProcedures: readonly string[] = [
  ...writers('MAIN', '', ['title_ft_a', 'title_ft_b']),
  // By transaction id: what came later is put later, whatever the clocks said.
  `create procedure app.recover_from_node_a() begin
     declare seen, until_now bigint;
     select replayed_until into seen from recovery;
     create or replace temporary table missed as
       select * from transaction_log_node_a where source_node = 'NODE_A_ACTING' and transaction_id > seen;
     select coalesce(max(transaction_id), seen) into until_now from missed;
     start transaction;
     replace into title
       select json_value(new_value, '$.id'), json_value(new_value, '$.title'), json_value(new_value, '$.runtime'),
         json_value(new_value, '$.rating'), json_value(new_value, '$.votes'), json_value(new_value, '$.year')
       from missed where operation_type <> 'DELETE' order by transaction_id;
     delete from title where id in (select record_id from missed group by record_id
       having max(transaction_id) = max(if(operation_type = 'DELETE', transaction_id, 0)));
     update recovery set replayed_until = until_now;
     commit;
     select concat('Recovery complete. Replayed ', count(*), ' transactions from Node A.') as status from missed;
   end`,
];

const VICE_REFUSES = `if (select config_value from node_config where config_key = 'node_mode') <> 'ACTING_MASTER' then
  signal sqlstate '45000' set message_text = 'Node A is in VICE mode. Please use Main node for writes.'; end if;`;

const mode = (value: string, event: string): string =>
  `update node_config set config_value = '${value}' where config_key = 'node_mode';
   insert into transaction_log (operation_type, source_node) values ('${event}', 'NODE_A');`;

export const deputyProcedures: readonly string[] = [
  ...writers('NODE_A_ACTING', VICE_REFUSES, ['title_ft_main', 'title_ft_b']),
  `create procedure app.promote_to_acting_master() begin ${mode('ACTING_MASTER', 'NODE_A_PROMOTION')} end`,
  `create procedure app.demote_to_vice() begin ${mode('VICE', 'NODE_A_DEMOTION')}
     select 'Node A demoted back to VICE mode. Main node is primary again.' as status; end`,
  `create procedure app.check_main_health() begin
     declare answer int;
     declare exit handler for sqlexception begin
       call promote_to_acting_master();
       select concat('Main unreachable since ', now(), '. Promoting Node A to ACTING_MASTER.') as status;
     end;
     select count(*) into answer from title_ft_main where id = '';
     select 'Main is healthy. Node A remains in VICE mode.' as status;
   end`,
];
