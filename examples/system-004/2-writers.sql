-- System 004, for the two nodes that may take writes, Main and Node A, after 1-common.sql and before the links between them,
-- which need these tables on the other side.

-- node_mode: of Main MASTER or FENCED, of A VICE, ACTING_MASTER or HANDING_OVER. epoch: of what it writes.
create table node_config (
  config_key varchar(50) primary key, config_value varchar(50) not null,
  last_updated timestamp default current_timestamp on update current_timestamp
) engine = innodb;

-- What this node wrote itself, in the order of its ids.
create table transaction_log (
  transaction_id bigint auto_increment primary key, epoch int not null, operation_type varchar(20) not null,
  source_node varchar(20) not null, record_id varchar(12), new_value text, logged_at timestamp default current_timestamp
) engine = innodb;
