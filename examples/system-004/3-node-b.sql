-- System 004, for Node B: a copy that takes no writes and fetches what it missed, from Main and from Node A.
-- After 1-common.sql (here) and 2-writers.sql (on Main and A). Needs the plugin ha_federatedx, and servers called main and node_a (create server …, see README.md).

create table transaction_log_main (
  transaction_id bigint auto_increment primary key, epoch int not null, operation_type varchar(20) not null,
  source_node varchar(20) not null, record_id varchar(12), new_value text, logged_at timestamp default current_timestamp
) engine = federated connection = 'main/transaction_log';
create table transaction_log_node_a (
  transaction_id bigint auto_increment primary key, epoch int not null, operation_type varchar(20) not null,
  source_node varchar(20) not null, record_id varchar(12), new_value text, logged_at timestamp default current_timestamp
) engine = federated connection = 'node_a/transaction_log';

delimiter //

create procedure catch_up_from_main()
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

create procedure catch_up_from_node_a()
begin
  declare v_from bigint;
  select transaction_id into v_from from fetched where source_node = 'NODE_A_ACTING';
  start transaction;
  insert ignore into received_log (source_node, transaction_id, epoch, operation_type, record_id, new_value)
    select source_node, transaction_id, epoch, operation_type, record_id, new_value from transaction_log_node_a
      where transaction_id > v_from - 1000 order by transaction_id;
  update fetched set transaction_id =
    (select coalesce(max(transaction_id), v_from) from received_log where source_node = 'NODE_A_ACTING') where source_node = 'NODE_A_ACTING';
  commit;
end //

-- From both, whichever can be reached.
create procedure catch_up()
begin
  declare continue handler for sqlexception begin end;
  call catch_up_from_main();
  call catch_up_from_node_a();
end //

create event catch_up on schedule every 5 second do call catch_up() //

delimiter ;
