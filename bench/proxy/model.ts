// The words of the bench: a service is what stands behind the proxies, a contender is a proxy, a scenario is one kind of
// load, a figure is one number it yields, a sample is one measurement of all of them. Types only; used by everything here.

import { type Address } from '../../src/core/address.ts';
import { type Children } from './children.ts';

/** What stands behind the proxies: PostgreSQL, an HTTP server, a server of iperf3, an echo. */
export const serviceNames = ['pg', 'http', 'bulk', 'echo'] as const;
export type ServiceName = (typeof serviceNames)[number];
export type Addresses = ReadonlyMap<ServiceName, Address>;

export interface Context {
  readonly children: Children;
  /** Below the system's temporary directory; removed at the end. */
  readonly directory: string;
}

export interface RunningContender {
  /** Where clients connect to reach each service. */
  readonly ports: Addresses;
  /** Its first process; `null` where there is none (direct). */
  readonly pid: number | null;
  /** Throws when it has died. */
  assertRunning(): void;
  stop(): Promise<void>;
}

export interface Contender {
  /** As in `--proxies`. */
  readonly name: string;
  readonly title: string;
  /** Services it can stand in front of. */
  readonly serves: readonly ServiceName[];
  /** Of the scenarios with these services, those it takes part in. Default: all. */
  readonly scenarios?: readonly string[];
  /** Resolves when it forwards. `services` holds only some of those it serves. */
  start(context: Context, services: Addresses): Promise<RunningContender>;
  version(context: Context): Promise<string>;
}

export interface Figure {
  readonly key: string;
  readonly title: string;
  readonly unit: string;
  readonly digits: number;
  readonly better: 'more' | 'less';
}

/** By key of the figure. A figure that a contender doesn't have (processor time of no proxy) is left out. */
export type Sample = Readonly<Record<string, number>>;

/** How long and how much; `--quick` has smaller ones. */
export interface Scale {
  /** Of one measurement. Whole seconds: pgbench and wrk take no others. */
  readonly seconds: number;
  readonly bulkSeconds: number;
  readonly latencySeconds: number;
  readonly latencyRepeats: number;
  readonly idleConnections: number;
  readonly stormConnections: number;
}

export interface Measurement extends Context {
  readonly scale: Scale;
  readonly running: RunningContender;
  /** Where the load goes. */
  readonly target: Address;
  /** Resets every connection that the echo service has; resolves to how many it had. */
  resetEchoes(): Promise<number>;
  /** Runs the load and returns its result with the processor time the proxy spent meanwhile; `null` without a proxy. */
  withCpu<T>(load: () => Promise<T>): Promise<{ result: T; cpuNs: number | null }>;
}

export interface Scenario {
  /** As in `--only`. */
  readonly name: string;
  readonly title: string;
  /** How it is done, for the report. */
  readonly how: string;
  readonly service: ServiceName;
  readonly figures: readonly Figure[];
  /** A process of its own for every measurement. Default: one for the whole run. */
  readonly fresh?: boolean;
  /** Without a proxy there is nothing to measure. */
  readonly proxiesOnly?: boolean;
  /** Measurements in one round, the median of which is its sample. Default 1. */
  repeats?(scale: Scale): number;
  /** Figures of which the part that the proxy adds is reported too: `{ key of the new one: key }`. */
  readonly added?: Readonly<Record<string, string>>;
  measure(measurement: Measurement): Promise<Sample>;
}

/** All samples of one contender in one scenario, in the order of the rounds. */
export interface Measured {
  readonly contender: Contender;
  readonly samples: readonly Sample[];
}

export interface ScenarioResult {
  readonly scenario: Scenario;
  readonly measured: readonly Measured[];
}
