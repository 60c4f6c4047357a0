// Whether a member of a Galera cluster or of a MySQL group may be used now: such a server answers a login and SELECT 1 long
// after it has lost the right to. Pure. Used by facts.ts.
// Sources: MariaDB documentation, "Galera Cluster Status Variables"; MySQL Reference Manual, "Group Replication Server States".

import { isOn, type Texts } from './variables.ts';

export interface Membership {
  readonly kind: 'galera' | 'group';
  /** Identity of the cluster or group. */
  readonly id: string | null;
  readonly role: 'writer' | 'reader' | 'none';
  /** Why it is none, or whatever else should be known of it. */
  readonly remark: string | null;
  /** Place in the cluster's own order of transactions, where it has one beside GTIDs. */
  readonly position: string | null;
}

export const GALERA_QUESTION =
  "show global status where variable_name in ('wsrep_ready', 'wsrep_local_state', 'wsrep_local_state_comment', 'wsrep_cluster_status', 'wsrep_cluster_state_uuid', 'wsrep_last_committed', 'wsrep_evs_state')";
/** Needs no right and no table; unlike SELECT 1 it is refused (1047) by a node that isn't ready. */
export const GALERA_READY_QUESTION = 'do 1';
export const GROUP_QUESTION =
  'select m.*, @@global.server_uuid as own_id from performance_schema.replication_group_members m';

/** The state of its group communication in which messages are delivered; in all others no commit ends. */
const OPERATIONAL = 'OPERATIONAL';
const NO_CLUSTER = /^$|^0{8}-/;
const SYNCED = '4';

/** The provider is loaded: else the variables mean nothing. */
export function isGaleraNode(variables: Texts): boolean {
  const provider = variables.get('wsrep_provider') ?? 'none';
  return isOn(variables, 'wsrep_on') && provider !== '' && provider.toLowerCase() !== 'none';
}

export function isGroupMember(variables: Texts): boolean {
  return (variables.get('group_replication_group_name') ?? '') !== '';
}

/**
 * Why it can't be told now whether a Galera node may be used: a neighbour was lost, and who is left is being found out. All
 * commits wait for that. It ends with the node in the part that has the quorum, or outside. `null`: it can be told.
 */
export function galeraUnsettled(status: Texts): string | null {
  const state = status.get('wsrep_evs_state') ?? '';
  if (
    status.get('wsrep_cluster_status')?.toLowerCase() !== 'primary' ||
    state === '' ||
    state === OPERATIONAL
  )
    return null;
  return `Galera: its cluster is finding out who is left (${state}), no commit ends until then`;
}

/** Of a node that refused a statement, before it has told why. */
export function galeraNotReady(id: string | null): Membership {
  return { kind: 'galera', id, role: 'none', remark: 'Galera: not ready', position: null };
}

export function galeraMembership(status: Texts, variables: Texts): Membership {
  const uuid = status.get('wsrep_cluster_state_uuid') ?? '';
  const id = NO_CLUSTER.test(uuid) ? null : uuid;
  const committed = status.get('wsrep_last_committed') ?? null;
  const position = id === null || committed === null ? null : `${id}:${committed}`;
  const none = (remark: string): Membership => ({ kind: 'galera', id, role: 'none', remark, position });
  const component = status.get('wsrep_cluster_status') ?? 'unknown';
  if (component.toLowerCase() !== 'primary') return none(`Galera: without quorum (${component})`);
  const state = status.get('wsrep_local_state') ?? 'unknown';
  if (state !== SYNCED) {
    const comment = status.get('wsrep_local_state_comment') ?? 'unknown';
    return none(`Galera: not in step with the cluster (${comment}, state ${state})`);
  }
  if (!isOn(status, 'wsrep_ready')) return none('Galera: not ready');
  const rejected = variables.get('wsrep_reject_queries') ?? 'NONE';
  if (rejected.toUpperCase() !== 'NONE') return none(`Galera: wsrep_reject_queries is ${rejected}`);
  return { kind: 'galera', id, role: 'writer', remark: null, position };
}

/** `members`: all rows that the server knows of its group; `null`: the probe user may not see them. */
export function groupMembership(members: readonly Texts[] | null, variables: Texts): Membership {
  const id = variables.get('group_replication_group_name') ?? null;
  const common = { kind: 'group', id, position: null } as const;
  const none = (remark: string): Membership => ({ ...common, role: 'none', remark });
  if (members === null) {
    return none(
      'Group Replication: its state is not visible (GRANT SELECT ON performance_schema.replication_group_members)',
    );
  }
  const self = members.find(member => member.get('member_id') === member.get('own_id'));
  const state = self?.get('member_state') ?? 'OFFLINE';
  if (self === undefined || state !== 'ONLINE') return none(`Group Replication: ${state}`);
  const reachable = members.filter(member => member.get('member_state') !== 'UNREACHABLE').length;
  if (reachable * 2 <= members.length) return none('Group Replication: without a majority');
  // MySQL 5.7 has no such column; there a secondary is known by its super_read_only.
  const role = self.get('member_role') ?? 'PRIMARY';
  return { ...common, role: role === 'SECONDARY' ? 'reader' : 'writer', remark: null };
}
