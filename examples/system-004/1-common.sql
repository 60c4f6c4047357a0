-- System 004, for every node (Main, Node A, Node B), in its database `app`: the titles, and how what happened on one node is
-- applied on another. The database has the same name everywhere, so that an application sees one.
--
-- A title has a version, (epoch, seq): the epoch grows whenever another node begins to take writes, seq is that node's own
-- transaction id. An entry is applied only if its version is newer than what is there. So entries may come twice, late and in
-- any order, and an update made on one side is never put back by an older one of the other side. Clocks don't matter.

create table title (
  id varchar(12) primary key, title varchar(200), runtime int, rating decimal(3, 1), votes int, year int
) engine = innodb;

-- Outlives its title: a deletion has a version too.
create table title_version (
  id varchar(12) primary key, epoch int not null, seq bigint not null
) engine = innodb;

-- What came from other nodes, pushed through a federated link or fetched by catch_up(). Inserting here applies it: no flag in a
-- session variable is needed to stop it from being sent on (and such a variable would not cross a federated link anyway).
create table received_log (
  source_node varchar(20) not null, transaction_id bigint not null, epoch int not null, operation_type varchar(20) not null,
  record_id varchar(12), new_value text, primary key (source_node, transaction_id)
) engine = innodb;

-- Up to which entry of another node's log everything was fetched.
create table fetched (source_node varchar(20) primary key, transaction_id bigint not null) engine = innodb;
insert into fetched values ('MAIN', 0), ('NODE_A_ACTING', 0);

delimiter //

create procedure apply_entry(p_epoch int, p_seq bigint, p_operation varchar(20), p_id varchar(12), p_value text)
  sql security invoker
begin
  declare old_epoch int default null;
  declare old_seq bigint default null;
  -- Locks the place of the version until the transaction ends, also where there is none yet.
  insert into title_version values (p_id, 0, 0) on duplicate key update epoch = epoch;
  select epoch, seq into old_epoch, old_seq from title_version where id = p_id for update;
  if (p_epoch, p_seq) > (old_epoch, old_seq) then
    update title_version set epoch = p_epoch, seq = p_seq where id = p_id;
    if p_operation = 'DELETE' then
      delete from title where id = p_id;
    else
      replace into title values (p_id, json_value(p_value, '$.title'), json_value(p_value, '$.runtime'),
        json_value(p_value, '$.rating'), json_value(p_value, '$.votes'), json_value(p_value, '$.year'));
    end if;
  end if;
end //

create trigger received_log_applies after insert on received_log for each row
begin
  if new.record_id is not null then
    call apply_entry(new.epoch, new.transaction_id, new.operation_type, new.record_id, new.new_value);
  end if;
end //

delimiter ;
