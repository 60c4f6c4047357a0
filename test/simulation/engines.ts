// What differs between simulated databases of one shape: what a process loads when it starts, what it tells a probe, and
// whom a standby may follow. Everything else of a server is server.ts, of a cluster cluster.ts.

import { formatAddress } from '../../src/core/address.ts';
import { nothingTold, type ServerFacts } from '../../src/health/result.ts';
import { type Random } from '../../src/core/random.ts';
import { mysqlEngine } from './engine-mysql.ts';
import { type Setup } from './scenario.ts';
import { type Data, type SimServer } from './server.ts';

export interface Engine {
  /** What a process that starts has, of what lies on its disk. */
  loaded(data: Data, isPrimary: boolean): Data;
  facts(server: SimServer): ServerFacts;
  /** Where servers replicate by themselves and nobody manages them: a turn of that. */
  replicate?(servers: readonly SimServer[], cutOff: ReadonlyMap<SimServer, number>): void;
  /** A standby that has what its primary doesn't may copy all of it anew, and need not be restarted to be one. */
  readonly copiesWhole: boolean;
}

/** A number that no other branch of the true history has. */
export type Branches = () => number;

export function engineOf(setup: Setup, branches: Branches, random: Random): Engine {
  switch (setup.protocol) {
    case 'postgres':
      return postgres;
    case 'redis':
      return redis(setup.persistence, branches, random);
    case 'mysql':
      return mysqlEngine();
  }
}

const postgres: Engine = {
  copiesWhole: false,
  loaded: (data, isPrimary) => ({ ...data, recoveredTo: isPrimary ? data.lsn : null }),
  facts({ data, isPrimary, isWritable, streaming, upstream }) {
    return {
      ...nothingTold,
      role: isPrimary ? 'primary' : 'replica',
      writable: isWritable,
      version: isPrimary ? lineOf(data) : '15',
      systemId: data.systemId,
      timeline: data.timeline,
      position: lsnText(data.lsn),
      lagSeconds: isPrimary ? null : streaming ? 0 : 30,
      replicating: isPrimary ? null : streaming,
      wal: {
        recoveredTo: data.recoveredTo === null ? null : lsnText(data.recoveredTo),
        synchronousNames: '',
        synchronousCommit: 'on',
        standbys: null,
        standbyName: null,
      },
      // The walreceiver's word: it has an upstream only while it is connected.
      upstream: upstream === null || !streaming ? null : formatAddress(upstream.address),
    };
  },
};

/** A primary never keeps its replication id over a restart, and has what its disk has: nothing, an old state, or all. */
function redis(persistence: Setup['persistence'], branches: Branches, random: Random): Engine {
  const begun = (data: Data, lsn: number): Data => ({
    ...data,
    lsn,
    branch: branches(),
    forks: lsn === 0 ? [] : [...data.forks, { timeline: data.timeline, lsn, id: data.branch }],
  });
  return {
    copiesWhole: true,
    loaded(data, isPrimary) {
      if (!isPrimary) return data;
      if (persistence === 'none') return begun(data, 0);
      const base = data.forks.at(-1)?.lsn ?? 1;
      const saved = persistence === 'all' ? data.lsn : base + Math.floor(random() * (data.lsn - base));
      return begun(data, saved);
    },
    facts({ data, isPrimary, isWritable, streaming, upstream, process }) {
      const last = data.forks.at(-1);
      return {
        ...nothingTold,
        role: isPrimary ? 'primary' : 'replica',
        writable: isWritable,
        version: lineOf(data),
        position: String(data.lsn),
        lagSeconds: isPrimary ? null : streaming ? 0 : 30,
        replicating: isPrimary ? null : streaming,
        upstream: upstream === null ? null : formatAddress(upstream.address),
        history: {
          kind: 'redis',
          replicationId: `history-${data.branch}`,
          offset: data.lsn,
          previous: last === undefined ? null : { replicationId: `history-${last.id}`, until: last.lsn },
          runId: process,
        },
      };
    },
  };
}

const lsnText = (lsn: number): string => `0/${lsn.toString(16).toUpperCase()}`;

/**
 * The true history as text, each branch with the position where it was left: it travels in the place of the version, which
 * decides nothing, so that the oracle knows what the server was when it spoke.
 */
function lineOf({ forks, branch, lsn }: Data): string {
  return [...forks, { id: branch, lsn }].map(part => `${part.id}@${part.lsn}`).join(' ');
}
