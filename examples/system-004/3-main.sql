-- System 004, for Main: its mode, its log, and the procedures that applications and the runbook call.
-- After 1-common.sql and 2-writers.sql (here and on A). Needs the plugin ha_federatedx, and servers called node_a and node_b (create server …, see README.md).
--
-- Main takes writes only while its mode is MASTER *and* that was said since it was last started: a Main that was killed is
-- fenced when it comes back, though nobody could tell it so. A Main that was merely frozen or cut off asks Node A amid each write.

insert into node_config (config_key, config_value) values ('node_mode', 'MASTER'), ('epoch', '1');

-- In memory: empty after every start.
create table confirmed_since_start (only_row int primary key) engine = memory;
insert into confirmed_since_start values (1);

create table node_config_a (
  config_key varchar(50) primary key, config_value varchar(50) not null, last_updated timestamp default current_timestamp
) engine = federated connection = 'node_a/node_config';
create table transaction_log_node_a (
  transaction_id bigint auto_increment primary key, epoch int not null, operation_type varchar(20) not null,
  source_node varchar(20) not null, record_id varchar(12), new_value text, logged_at timestamp default current_timestamp
) engine = federated connection = 'node_a/transaction_log';
create table received_log_a (
  source_node varchar(20) not null, transaction_id bigint not null, epoch int not null, operation_type varchar(20) not null,
  record_id varchar(12), new_value text, primary key (source_node, transaction_id)
) engine = federated connection = 'node_a/received_log';
create table received_log_b (
  source_node varchar(20) not null, transaction_id bigint not null, epoch int not null, operation_type varchar(20) not null,
  record_id varchar(12), new_value text, primary key (source_node, transaction_id)
) engine = federated connection = 'node_b/received_log';

delimiter //

-- For the probe: whether this node takes writes now. Asks no other node.
create function takes_writes() returns int reads sql data
begin
  return exists(select 1 from confirmed_since_start)
    and (select config_value from node_config where config_key = 'node_mode') = 'MASTER';
end //

-- What A says of itself; UNREACHABLE if it says nothing.
create procedure ask_node_a(out p_mode varchar(50)) sql security invoker
begin
  declare continue handler for sqlexception set p_mode = 'UNREACHABLE';
  set p_mode = 'UNREACHABLE';
  select config_value into p_mode from node_config_a where config_key = 'node_mode';
end //

create procedure push_to_a(p_epoch int, p_seq bigint, p_operation varchar(20), p_id varchar(12), p_value text)
  sql security invoker
begin
  -- A neighbour that is away is none of the writer's business: catch_up() brings it what it missed.
  declare continue handler for sqlexception begin end;
  insert into received_log_a values ('MAIN', p_seq, p_epoch, p_operation, p_id, p_value);
end //

create procedure push_to_b(p_epoch int, p_seq bigint, p_operation varchar(20), p_id varchar(12), p_value text)
  sql security invoker
begin
  declare continue handler for sqlexception begin end;
  insert into received_log_b values ('MAIN', p_seq, p_epoch, p_operation, p_id, p_value);
end //

-- By the rights of the caller: the process list names him even amid the call.
create procedure write_entry(p_operation varchar(20), p_id varchar(12), p_value text) sql security invoker
begin
  declare v_mode, v_mode_a varchar(50);
  declare v_epoch int;
  declare v_seq bigint;
  declare exit handler for sqlexception begin rollback; resignal; end;
  start transaction;
  -- Locks the mode: who fences this node waits for the writes that have begun, and none begins after.
  select config_value into v_mode from node_config where config_key = 'node_mode' lock in share mode;
  if v_mode <> 'MASTER' or not exists(select 1 from confirmed_since_start) then
    signal sqlstate '45000' set message_text = 'Main is fenced: it is not the master now.';
  end if;
  select config_value into v_epoch from node_config where config_key = 'epoch';
  insert into transaction_log (epoch, operation_type, source_node, record_id, new_value)
    values (v_epoch, p_operation, 'MAIN', p_id, p_value);
  set v_seq = last_insert_id();
  call apply_entry(v_epoch, v_seq, p_operation, p_id, p_value);
  call ask_node_a(v_mode_a);
  if v_mode_a not in ('VICE', 'UNREACHABLE') then
    signal sqlstate '45000' set message_text = 'Node A is the acting master: Main must not write.';
  end if;
  commit;
  call push_to_a(v_epoch, v_seq, p_operation, p_id, p_value);
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

-- Waits for writes that have begun; none begins after. Harmless twice.
create procedure fence_main()
begin
  update node_config set config_value = 'FENCED' where config_key = 'node_mode';
  select 'Main is fenced.' as status;
end //

-- Fetches what A wrote while it acted, by transaction id; may be repeated, and is cheap when there is little. The last ones are
-- fetched again each time: an id may be committed after a higher one.
create procedure recover_from_node_a()
begin
  declare v_from, v_until bigint;
  declare v_new int;
  select transaction_id into v_from from fetched where source_node = 'NODE_A_ACTING';
  start transaction;
  insert ignore into received_log (source_node, transaction_id, epoch, operation_type, record_id, new_value)
    select source_node, transaction_id, epoch, operation_type, record_id, new_value from transaction_log_node_a
      where transaction_id > v_from - 1000 order by transaction_id;
  set v_new = row_count();
  select coalesce(max(transaction_id), v_from) into v_until from received_log where source_node = 'NODE_A_ACTING';
  update fetched set transaction_id = v_until where source_node = 'NODE_A_ACTING';
  commit;
  select concat('Recovery complete. Replayed ', v_new, ' transactions from Node A.') as status, v_new as replayed;
end //

-- Main takes writes again: only when A has handed over and Main has all that A logged. Begins a new epoch.
create procedure become_master()
begin
  declare v_mode varchar(50);
  declare v_epoch, v_epoch_a int;
  declare v_missing int;
  call ask_node_a(v_mode);
  if v_mode <> 'VICE' then
    signal sqlstate '45000' set message_text = 'Node A is not VICE (or can not be asked): Main stays as it is.';
  end if;
  select count(*) into v_missing from transaction_log_node_a a
    where not exists (select 1 from received_log r where r.source_node = a.source_node and r.transaction_id = a.transaction_id);
  if v_missing > 0 then
    signal sqlstate '45000' set message_text = 'Main lacks transactions of Node A: call recover_from_node_a() first.';
  end if;
  select config_value into v_epoch from node_config where config_key = 'epoch';
  select config_value into v_epoch_a from node_config_a where config_key = 'epoch';
  start transaction;
  if v_epoch_a >= v_epoch then
    update node_config set config_value = v_epoch_a + 1 where config_key = 'epoch';
  end if;
  update node_config set config_value = 'MASTER' where config_key = 'node_mode';
  commit;
  insert ignore into confirmed_since_start values (1);
  select 'Main is the master.' as status;
end //

-- After a plain restart: Main goes on by itself if A never took over. Called by the event below.
create procedure confirm_after_start()
begin
  declare v_mode varchar(50);
  if not exists(select 1 from confirmed_since_start)
    and (select config_value from node_config where config_key = 'node_mode') = 'MASTER' then
    call ask_node_a(v_mode);
    if v_mode = 'VICE' then
      -- A may have acted and handed over while Main was away: then Main lacks entries, and only a failback may go on.
      if not exists (select 1 from transaction_log_node_a a where a.record_id is not null and not exists
          (select 1 from received_log r where r.source_node = a.source_node and r.transaction_id = a.transaction_id)) then
        insert ignore into confirmed_since_start values (1);
      end if;
    elseif v_mode <> 'UNREACHABLE' then
      update node_config set config_value = 'FENCED' where config_key = 'node_mode';
    end if;
  end if;
end //

create event confirm_after_start on schedule every 1 second do
begin
  declare continue handler for sqlexception begin end; -- A can not be asked yet: the next second may tell
  call confirm_after_start();
end //

delimiter ;
