// Two simulated MariaDB masters that replicate from each other, asynchronously, each in a GTID domain of its own: both take
// writes all the time, and what one has not sent when it dies is with it alone until it returns. Nobody manages them.
// How much a server has written is its `lsn`, one transaction for each; what it has of the other is kept here.

import { formatAddress } from '../../src/core/address.ts';
import { nothingTold } from '../../src/health/result.ts';
import { type Engine } from './engines.ts';
import { type SimServer } from './server.ts';

/** Of the other one's transactions. */
interface Replica {
  readonly source: SimServer;
  received: number;
  applied: number;
  receiving: 'yes' | 'connecting';
}

/** What one that is slowed down applies in a turn: a fraction of what clients write. */
const SLOW_TURN = 5;

export function mysqlEngine(): Engine {
  const replicas = new Map<SimServer, Replica>();
  return {
    copiesWhole: false,
    loaded: data => data,

    replicate(servers, cutOff) {
      for (const server of servers) {
        const source = servers.find(other => other !== server);
        if (source === undefined || server.state !== 'running' || server.frozen) continue;
        const replica = replicas.get(server) ?? begin(server, source);
        const isApart = cutOff.has(server) || cutOff.has(source);
        // A source that is frozen or out of reach is noticed by nobody: its follower stays connected.
        replica.receiving = source.state === 'running' ? 'yes' : 'connecting';
        if (source.state === 'running' && !source.frozen && !isApart) replica.received = source.data.lsn;
        if (server.applying === 'no') continue;
        const most = server.applying === 'slowly' ? replica.applied + SLOW_TURN : Infinity;
        replica.applied = Math.min(replica.received, most);
      }
    },

    facts(server) {
      const { isWritable, data, applying } = server;
      const replica = replicas.get(server);
      const own = server.name.slice(1);
      const other = replica?.source.name.slice(1) ?? '';
      return {
        ...nothingTold,
        role: 'primary',
        writable: isWritable,
        version: '10.11.6-MariaDB',
        channels:
          replica === undefined
            ? []
            : [
                {
                  name: '',
                  source: formatAddress(replica.source.address),
                  receiving: replica.receiving,
                  applying: applying !== 'no',
                  caughtUp: replica.received === replica.applied,
                  lagSeconds: replica.received === replica.applied ? 0 : 1,
                  receiveError: null,
                  applyError: applying === 'no' ? { errno: 1032, message: 'a row is missing' } : null,
                },
              ],
        history: {
          kind: 'gtid',
          flavor: 'mariadb',
          own,
          transactions: {
            [`${own}-${own}`]: [[1, data.lsn]],
            ...(replica === undefined || replica.applied === 0
              ? {}
              : { [`${other}-${other}`]: [[1, replica.applied]] }),
          },
        },
      };
    },
  };

  /** They begin with the same. */
  function begin(server: SimServer, source: SimServer): Replica {
    const { lsn } = source.data;
    const replica: Replica = { source, received: lsn, applied: lsn, receiving: 'yes' };
    replicas.set(server, replica);
    return replica;
  }
}
