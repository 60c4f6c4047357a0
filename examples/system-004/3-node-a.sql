-- System 004, for Node A: Main's deputy. VICE until the runbook makes it ACTING_MASTER.
-- After 1-common.sql and 2-writers.sql (here and on Main). Needs the plugin ha_federatedx, and servers called main and node_b (create server …, see README.md).

insert into node_config (config_key, config_value) values ('node_mode', 'VICE'), ('epoch', '0'), ('main_misses', '0');

create table node_config_main (
  config_key varchar(50) primary key, config_value varchar(50) not null, last_updated timestamp default current_timestamp
) engine = federated connection = 'main/node_config';
create table transaction_log_main (
  transaction_id bigint auto_increment primary key, epoch int not null, operation_type varchar(20) not null,
  source_node varchar(20) not null, record_id varchar(12), new_value text, logged_at timestamp default current_timestamp
) engine = federated connection = 'main/transaction_log';
create table received_log_main (
  source_node varchar(20) not null, transaction_id bigint not null, epoch int not null, operation_type varchar(20) not null,
  record_id varchar(12), new_value text, primary key (source_node, transaction_id)
) engine = federated connection = 'main/received_log';
create table received_log_b (
  source_node varchar(20) not null, transaction_id bigint not null, epoch int not null, operation_type varchar(20) not null,
  record_id varchar(12), new_value text, primary key (source_node, transaction_id)
) engine = federated connection = 'node_b/received_log';

delimiter //

-- For the probe: whether this node takes writes now.
create function takes_writes() returns int reads sql data
  return (select config_value from node_config where config_key = 'node_mode') = 'ACTING_MASTER' //

create procedure push_to_b(p_epoch int, p_seq bigint, p_operation varchar(20), p_id varchar(12), p_value text)
  sql security invoker
begin
  declare continue handler for sqlexception begin end; -- a neighbour that is away: catch_up() brings it what it missed
  insert into received_log_b values ('NODE_A_ACTING', p_seq, p_epoch, p_operation, p_id, p_value);
end //

create procedure write_entry(p_operation varchar(20), p_id varchar(12), p_value text) sql security invoker
begin
  declare v_mode varchar(50);
  declare v_epoch int;
  declare v_seq bigint;
  declare exit handler for sqlexception begin rollback; resignal; end;
  start transaction;
  -- Locks the mode: a handover waits for the writes that have begun, and none begins after.
  select config_value into v_mode from node_config where config_key = 'node_mode' lock in share mode;
  if v_mode <> 'ACTING_MASTER' then
    signal sqlstate '45000' set message_text = 'Node A is in VICE mode. Please use Main node for writes.';
  end if;
  select config_value into v_epoch from node_config where config_key = 'epoch';
  insert into transaction_log (epoch, operation_type, source_node, record_id, new_value)
    values (v_epoch, p_operation, 'NODE_A_ACTING', p_id, p_value);
  set v_seq = last_insert_id();
  call apply_entry(v_epoch, v_seq, p_operation, p_id, p_value);
  commit;
  -- Not to Main: it fetches all of it when it recovers, and waiting for a dead one would hold up every write.
  call push_to_b(v_epoch, v_seq, p_operation, p_id, p_value);
end //

create procedure distributed_insert(p_id varchar(12), p_title varchar(200), p_runtime int, p_rating decimal(3, 1), p_votes int, p_year int)
  sql security invoker
  call write_entry('INSERT', p_id, json_object('title', p_title, 'runtime', p_runtime, 'rating', p_rating, 'votes', p_votes, 'year', p_year)) //

create procedure distributed_update(p_id varchar(12), p_title varchar(200), p_runtime int, p_rating decimal(3, 1), p_votes int, p_year int)
  sql security invoker
  call write_entry('UPDATE', p_id, json_object('title', p_title, 'runtime', p_runtime, 'rating', p_rating, 'votes', p_votes, 'year', p_year)) //

create procedure distributed_delete(p_id varchar(12)) sql security invoker
  call write_entry('DELETE', p_id, null) //

-- Reports, and promotes nobody: one missed answer proves nothing, and Main must be fenced before A acts. The runbook decides.
create procedure check_main_health()
begin
  declare v_mode varchar(50) default null;
  begin
    declare continue handler for sqlexception set v_mode = null;
    select config_value into v_mode from node_config_main where config_key = 'node_mode';
  end;
  if v_mode is null then
    update node_config set config_value = config_value + 1 where config_key = 'main_misses';
    select 'DOWN' as main, concat('Main unreachable, ', config_value, ' times in a row.') as status from node_config
      where config_key = 'main_misses';
  else
    update node_config set config_value = 0 where config_key = 'main_misses';
    select 'UP' as main, concat('Main is healthy (', v_mode, ').') as status;
  end if;
end //

-- Fences Main if it can be reached. One that can't is dead (fenced when it starts) or cut off (it asks A amid each write).
create procedure fence_main()
begin
  declare v_fenced int default 1;
  begin
    declare continue handler for sqlexception set v_fenced = 0;
    update node_config_main set config_value = 'FENCED' where config_key = 'node_mode';
  end;
  select if(v_fenced, 'Main is fenced.', 'Main can not be reached: it is fenced when it starts, and asks Node A before it commits.') as status;
end //

-- A begins to act, in a new epoch: what it writes is newer than all that Main ever wrote. Harmless twice.
create procedure promote_to_acting_master()
begin
  declare v_known int;
  select greatest(coalesce((select max(epoch) from received_log), 0), (select config_value + 0 from node_config where config_key = 'epoch'))
    into v_known;
  start transaction;
  if (select config_value from node_config where config_key = 'node_mode' for update) <> 'ACTING_MASTER' then
    update node_config set config_value = v_known + 1 where config_key = 'epoch';
    update node_config set config_value = 'ACTING_MASTER' where config_key = 'node_mode';
    insert into transaction_log (epoch, operation_type, source_node) values (v_known + 1, 'NODE_A_PROMOTION', 'NODE_A_ACTING');
  end if;
  commit;
  select 'Node A is ACTING_MASTER.' as status;
end //

-- A takes no more writes; those that have begun are waited for. Main is not the master yet. Harmless twice.
create procedure hand_over()
begin
  update node_config set config_value = 'HANDING_OVER' where config_key = 'node_mode' and config_value = 'ACTING_MASTER';
  select 'Node A takes no more writes.' as status;
end //

-- A is the deputy again: only when Main has all that A logged. Harmless twice.
create procedure demote_to_vice()
begin
  declare v_missing int;
  if (select config_value from node_config where config_key = 'node_mode') = 'ACTING_MASTER' then
    signal sqlstate '45000' set message_text = 'Node A still takes writes: call hand_over() first.';
  end if;
  select count(*) into v_missing from transaction_log a
    where not exists (select 1 from received_log_main r where r.source_node = a.source_node and r.transaction_id = a.transaction_id);
  if v_missing > 0 then
    signal sqlstate '45000' set message_text = 'Main lacks transactions of Node A: call recover_from_node_a() on Main first.';
  end if;
  update node_config set config_value = 'VICE' where config_key = 'node_mode';
  select 'Node A demoted back to VICE mode. Main node is primary again.' as status;
end //

-- What Main wrote while A, or the link to it, was away.
create procedure catch_up()
begin
  declare v_from bigint;
  select transaction_id into v_from from fetched where source_node = 'MAIN';
  start transaction;
  insert ignore into received_log (source_node, transaction_id, epoch, operation_type, record_id, new_value)
    select source_node, transaction_id, epoch, operation_type, record_id, new_value from transaction_log_main
      where transaction_id > v_from - 1000 order by transaction_id;
  update fetched set transaction_id =
    (select coalesce(max(transaction_id), v_from) from received_log where source_node = 'MAIN') where source_node = 'MAIN';
  commit;
end //

create event catch_up on schedule every 5 second do
begin
  declare continue handler for sqlexception begin end; -- Main is away: the next time
  call catch_up();
end //

delimiter ;
