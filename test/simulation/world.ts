// What a scenario's world is made of, by its setup: Pointsman's configuration and the servers behind it.
// Called by simulation.ts.

import { configSchema, type Config } from '../../src/config/schema.ts';
import { type Setup } from './scenario.ts';
import { type Engine } from './engines.ts';
import { SimServer } from './server.ts';
import { type SimTime } from './time.ts';

export const BACKEND = 'app';
export const SYSTEM = 'system-1';
/** More are not learned. */
export const MAX_SERVERS = 3;

export function serversOf(setup: Setup, engine: Engine, time: SimTime): readonly SimServer[] {
  const count = setup.servers + (setup.learned ? 1 : 0);
  const servers: SimServer[] = [];
  for (let index = 0; index < count; index += 1) {
    const primary = servers[0] ?? null;
    const data = { systemId: SYSTEM, timeline: 1, lsn: 1000, recoveredTo: null, forks: [], branch: 1 };
    const upstream = setup.protocol === 'mysql' || index < setup.writersAtStart ? null : primary;
    const address = { host: `10.0.0.${index + 1}`, port: 5432 };
    servers.push(new SimServer(engine, `s${index + 1}`, address, data, upstream, time));
  }
  return servers;
}

const orchestrator = {
  postgres: { pg_auto_failover: { monitor: '10.0.0.9:5432', max_servers: MAX_SERVERS } },
  mysql: {},
  redis: { sentinel: { addresses: ['10.0.0.9:26379'], max_servers: MAX_SERVERS } },
} as const;

/** What an operator has written into the configuration since the start. */
export interface Edits {
  /** Configured servers that are left out, by name. */
  readonly without: ReadonlySet<string>;
  /** Counts the changes of limits: each makes others. */
  readonly limits: number;
  /** Only the frontend for writers is there. */
  readonly writersOnly: boolean;
}

export const unedited: Edits = { without: new Set(), limits: 0, writersOnly: false };

export function configOf(setup: Setup, edits: Edits = unedited): Config {
  const ms = (value: number): string => `${value}ms`;
  const frontend = (route: string, port: number): object => ({
    bind: `127.0.0.1:${port}`,
    backend: BACKEND,
    route,
    hold: ms(setup.holdMs),
    hold_max: setup.holdMax + edits.limits,
    max_connections: 1000 + edits.limits,
    connect_timeout: ms(setup.connectTimeoutMs),
  });
  const readers = setup.readers.map((route, index) => [route, frontend(route, 6001 + index)] as const);
  const all = Array.from({ length: setup.servers }, (_, i) => [`s${i + 1}`, `10.0.0.${i + 1}:5432`] as const);
  const servers = all.filter(([name]) => !edits.without.has(name));
  return configSchema.parse({
    frontends: {
      rw: frontend('primary', 6000),
      ...(edits.writersOnly ? {} : Object.fromEntries(readers)),
    },
    backends: {
      [BACKEND]: {
        protocol: setup.protocol,
        check: {
          user: 'probe',
          interval: ms(setup.intervalMs),
          fast_interval: ms(setup.fastIntervalMs),
          timeout: ms(setup.timeoutMs),
          settle: ms(setup.settleMs),
          rise: setup.rise,
          fall: setup.fall,
        },
        multiple_writers: setup.policy,
        ...(setup.orchestrated ? orchestrator[setup.protocol] : {}),
        ...(setup.learned ? {} : { servers: Object.fromEntries(servers) }),
      },
    },
  });
}
