// What the monitor of pg_auto_failover says: who is to be the primary, who must not be, which servers there are, what is odd.
// Pure: an answer in, a counsel out. Holds no connection (health/probers/pg-auto-failover) and elects nobody (elect.ts).
// Called by app/counsellors.ts whenever the monitor has said something new, or fallen silent.

import { formatAddress } from '../../core/address.ts';
import { type MonotonicMs } from '../../core/clock.ts';
import { type PgafAnswer, type PgafNode } from '../../health/result.ts';
import { type Nominee, type Opinion } from '../model.ts';
import { type Counsel } from './counsel.ts';

/** The newest of the monitor. */
export interface PgafWord {
  /** `host:port`, for people. */
  readonly monitor: string;
  /** `null`: silent, or it has no such group; `detail` says which. */
  readonly answer: PgafAnswer | null;
  readonly detail: string;
}

/**
 * What a node may be in a goal state. The goal decides, not what the node reports: the monitor assigns it before the node acts on
 * it, and tells of it at once. Measured on a real cluster (2.0, asked every 10 ms): a node takes its first write 20 to 80 ms after
 * the monitor has told that it is to be `wait_primary`, and reports that state 30 to 1000 ms after it has taken it. And an old
 * primary that thaws is writable for 90 ms while its goal has long been `demoted`. So this opinion delays nothing, and forbids
 * what it should. `open`: nobody is it yet.
 */
type Standing = 'primary' | 'open' | 'not-primary';

/**
 * Every state of its machine (`pgautofailover.replication_state`, version 2.0; `CanTakeWritesInState` in its source names the
 * primary ones). `open`: a new node, or the one that is being promoted, which is kept read-only until it gets another state.
 */
const standings: ReadonlyMap<string, Standing> = new Map<string, Standing>([
  ['single', 'primary'],
  ['wait_primary', 'primary'],
  ['primary', 'primary'],
  ['join_primary', 'primary'],
  ['apply_settings', 'primary'],
  ['unknown', 'open'],
  ['init', 'open'],
  ['prepare_promotion', 'open'],
  ['stop_replication', 'open'],
  ['draining', 'not-primary'],
  ['demote_timeout', 'not-primary'],
  ['demoted', 'not-primary'],
  ['catchingup', 'not-primary'],
  ['secondary', 'not-primary'],
  ['wait_standby', 'not-primary'],
  ['prepare_maintenance', 'not-primary'],
  ['wait_maintenance', 'not-primary'],
  ['maintenance', 'not-primary'],
  ['report_lsn', 'not-primary'],
  ['fast_forward', 'not-primary'],
  ['join_secondary', 'not-primary'],
  ['dropped', 'not-primary'],
]);

const standingOf = ({ goal }: PgafNode): Standing | null => standings.get(goal) ?? null;

export function pgafCounsel({ monitor, answer, detail }: PgafWord, at: MonotonicMs): Counsel {
  if (answer === null) {
    const note = `the pg_auto_failover monitor ${monitor} has no answer: ${detail}`;
    return { opinion: null, notes: [note], members: null };
  }
  const { nodes } = answer;
  const members = nodes
    .filter(({ goal }) => goal !== 'dropped')
    .map(({ name, address }) => ({ name, address }));
  return { opinion: opinionOf(nodes, at), notes: notesOn(nodes), members };
}

function opinionOf(nodes: readonly PgafNode[], at: MonotonicMs): Opinion {
  const named = nodes.filter(node => standingOf(node) === 'primary');
  const [first] = named;
  const primary = named.length === 1 && first !== undefined ? nomineeOf(first) : null;
  return {
    words:
      primary === null
        ? `the pg_auto_failover monitor has nobody as the primary (${goalsOf(nodes)})`
        : `the pg_auto_failover monitor has ${inWords(primary)} as the primary`,
    primary,
    against: nodes.filter(node => standingOf(node) === 'not-primary').map(nomineeOf),
    process: null,
    passive: false,
    at,
  };
}

/** Sentences without figures that move while the state doesn't. */
function notesOn(nodes: readonly PgafNode[]): readonly string[] {
  const primaries = nodes.filter(node => standingOf(node) === 'primary').map(({ name }) => name);
  return [
    ...(primaries.length > 1
      ? [`the pg_auto_failover monitor has ${primaries.join(' and ')} as primaries at once`]
      : []),
    ...nodes.flatMap(node => [
      ...(node.health === 'bad' ? [`the pg_auto_failover monitor can’t reach ${inWords(node)}`] : []),
      ...(node.goal.includes('maintenance') ? [`${node.name} is in maintenance in pg_auto_failover`] : []),
      ...(standingOf(node) === null
        ? [`pg_auto_failover has ${node.name} in a state that is not known here: ${node.goal}`]
        : []),
    ]),
  ];
}

const goalsOf = (nodes: readonly PgafNode[]): string =>
  nodes.map(({ name, goal }) => `${name}: ${goal}`).join(', ');

const nomineeOf = ({ name, address }: PgafNode): Nominee => ({ name, address });

const inWords = ({ name, address }: { readonly name: string | null } & Pick<Nominee, 'address'>): string =>
  name === null ? formatAddress(address) : `${name} (${formatAddress(address)})`;
