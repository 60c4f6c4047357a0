// Carries the faults of a scenario out on the simulated world, and undoes each when its time is over.
// Says nothing of what Pointsman should make of it. Called by simulation.ts.

import { type Random } from '../../src/core/random.ts';
import { type Cluster } from './cluster.ts';
import { type Path } from './network.ts';
import { type Fault } from './scenario.ts';
import { type SimServer } from './server.ts';
import { type SimTime } from './time.ts';

/** What faults do to Pointsman itself, through its own doors. */
export interface Operator {
  admin(server: SimServer, state: 'ready' | 'drain' | 'maintenance'): void;
  /** Pointsman ends, in good order or by `kill -9`, and is started again after a while. */
  restart(how: 'closed' | 'killed', downMs: number): void;
  /** A changed configuration is applied: without this server, with other limits, or without the frontends of readers. */
  reload(change: 'server' | 'limits' | 'readers', server: SimServer, isThere: boolean): void;
  /** Learned members only: this one is listed, or isn't. */
  list(server: SimServer, listed: boolean): void;
}

export interface FaultWorld {
  readonly time: SimTime;
  readonly random: Random;
  readonly cluster: Cluster;
  readonly paths: ReadonlyMap<SimServer, Path>;
  readonly operator: Operator;
}

/** A process of Pointsman that stands still for longer is another story: the machine is dying. */
const STALL_MAX_MS = 3000;
/** Nothing is to be seen while it is away. */
const DOWN_MAX_MS = 2000;

export function apply(fault: Fault, world: FaultWorld): void {
  const { time, random, cluster, paths, operator } = world;
  const server = cluster.servers[fault.server % cluster.servers.length]!;
  const path = paths.get(server)!;
  const after = (undo: () => void): void => void time.schedule(fault.forMs, undo);
  const count = (counts: Map<SimServer, number>): void => {
    counts.set(server, (counts.get(server) ?? 0) + 1);
    after(() => {
      const left = (counts.get(server) ?? 0) - 1;
      if (left > 0) counts.set(server, left);
      else counts.delete(server);
    });
  };
  const cut = (...directions: readonly ('to' | 'from')[]): void => {
    for (const direction of directions) {
      path.cut(direction);
      after(() => path.mend(direction));
    }
  };
  switch (fault.kind) {
    case 'kill':
      if (server.state !== 'off') server.die('stopped');
      return after(() => server.start(50 + random() * 500));
    case 'power-off':
      server.die('off');
      // What is sent to it meanwhile is sent again when it is back, and then reset.
      cut('to');
      return after(() => server.start(50 + random() * 500));
    case 'restart':
      if (server.state !== 'running') return;
      server.die('stopped');
      server.start(fault.forMs);
      return;
    case 'freeze':
      server.frozen = server.state === 'running';
      return after(() => server.thaw());
    case 'cut-to':
      return cut('to');
    case 'cut-from':
      return cut('from');
    case 'cut':
      return cut('to', 'from');
    case 'isolate':
      count(cluster.unseen);
      count(cluster.cutOff);
      return cut('to', 'from');
    case 'unseen':
      return count(cluster.unseen);
    case 'slow': {
      const delayMs = random() * 400;
      path.extraDelayMs += delayMs;
      return after(() => {
        path.extraDelayMs = Math.max(0, path.extraDelayMs - delayMs);
      });
    }
    case 'lossy':
      path.loss = 0.3;
      return after(() => {
        path.loss = 0;
      });
    case 'busy':
      server.busy = true;
      return after(() => {
        server.busy = false;
      });
    case 'read-only':
      server.readOnly = true;
      return after(() => {
        server.readOnly = false;
      });
    case 'replica-slow':
    case 'replica-stopped':
      server.applying = fault.kind === 'replica-slow' ? 'slowly' : 'no';
      return after(() => {
        server.applying = 'yes';
      });
    case 'switchover':
      return cluster.switchOver(server);
    case 'promote':
      if (server.state === 'running') cluster.promote(server);
      return;
    case 'replace':
      return cluster.replace(server, `other-${fault.atMs}`);
    case 'set-back':
      return cluster.setBack(server, 1 + Math.floor(random() * 2000));
    case 'clock-set':
      time.wallOffsetMs += (random() - 0.5) * 1e9;
      return;
    case 'stall':
      return time.leap(Math.min(fault.forMs, STALL_MAX_MS));
    case 'pointsman-closed':
      return operator.restart('closed', Math.min(fault.forMs, DOWN_MAX_MS));
    case 'pointsman-killed':
      return operator.restart('killed', Math.min(fault.forMs, DOWN_MAX_MS));
    case 'orchestrator-paused':
      cluster.paused += 1;
      return after(() => {
        cluster.paused = Math.max(0, cluster.paused - 1);
      });
    case 'orchestrator-silent':
      cluster.silent += 1;
      return after(() => {
        cluster.silent = Math.max(0, cluster.silent - 1);
      });
    case 'orchestrator-lies':
      cluster.lie = server;
      return after(() => {
        cluster.lie = null;
      });
    case 'leave':
      operator.list(server, false);
      return after(() => operator.list(server, true));
    case 'reload-server':
    case 'reload-limits':
    case 'reload-readers': {
      const change = (
        { 'reload-server': 'server', 'reload-limits': 'limits', 'reload-readers': 'readers' } as const
      )[fault.kind];
      operator.reload(change, server, false);
      return after(() => operator.reload(change, server, true));
    }
    case 'drain':
    case 'maintenance':
      operator.admin(server, fault.kind);
      return after(() => operator.admin(server, 'ready'));
  }
}
