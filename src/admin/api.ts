// The JSON that the admin API returns: the contract's names, made from the views.
// Pure; no HTTP here. Called by routes.ts at each request.

import { formatAddress } from '../core/address.ts';
import { type ReloadOutcome } from '../config/reload-plan.ts';
import { type Clock } from '../core/clock.ts';
import { factsOf, type ReplicationChannel } from '../health/result.ts';
import { type FrontendGauge } from '../proxy/events.ts';
import { type Incident } from '../topology/incidents.ts';
import { type Loss } from '../topology/loss.ts';
import { missingFromPrimary } from '../topology/evidence/mysql-history.ts';
import { isFresh, type BackendView, type ServerView } from '../topology/model.ts';
import { isNamed } from '../topology/opinion.ts';
import { type RunbookJson } from './runbook.ts';

/** Which configuration is in force, and what came of the newest reload. */
export interface ConfigStatus {
  /** 1: that of the start. */
  readonly generation: number;
  /** Wall time. */
  readonly appliedAt: number;
  readonly lastReload: { readonly at: number; readonly outcome: ReloadOutcome['kind'] } | null;
}

export interface StateSource {
  readonly version: string;
  readonly startedAt: string;
  readonly clock: Clock;
  config(): ConfigStatus;
  views(): readonly BackendView[];
  frontends(): readonly FrontendGauge[];
  /** With `frontend`, those of that one only. */
  sessionsOf(backend: string, server: string, frontend?: string): number;
  /** `null`: the backend has none. */
  runbook(backend: string): RunbookJson | null;
  /** Until when a circuit breaker is open, 0: closed; left out: none ever is. */
  openUntil?(backend: string, server: string): number;
}

export type StateJson = ReturnType<typeof stateJson>;

export function stateJson(source: StateSource) {
  const now = source.clock.now();
  return {
    version: source.version,
    started_at: source.startedAt,
    config: configJson(source.config()),
    backends: source.views().map(view => ({
      name: view.name,
      protocol: view.protocol,
      primary: view.primary,
      epoch: view.epoch,
      split_brain: view.splitBrain,
      reasons: view.reasons,
      held: view.held,
      runbook: source.runbook(view.name),
      orchestrator: orchestratorJson(view, now, source.clock),
      notes: view.notes,
      disagreement: view.disagreement,
      servers: view.servers.map(server =>
        serverJson(server, view, now, {
          sessions: source.sessionsOf(view.name, server.name),
          openUntil: source.openUntil?.(view.name, server.name) ?? 0,
        }),
      ),
    })),
    frontends: source.frontends().map(gauge => ({
      name: gauge.name,
      bind: formatAddress(gauge.bind),
      backend: gauge.backend,
      route: gauge.route,
      connections: gauge.connections,
      sessions: gauge.sessions,
      held: gauge.held,
      unused: gauge.unused,
      /** The configuration has it no more; its last sessions go on. */
      leaving: gauge.leaving ?? false,
    })),
  };
}

function configJson({ generation, appliedAt, lastReload }: ConfigStatus) {
  return {
    generation,
    applied_at: new Date(appliedAt).toISOString(),
    last_reload: lastReload && { at: new Date(lastReload.at).toISOString(), outcome: lastReload.outcome },
  };
}

/** `null`: nobody is asked beside the servers. `says` is `null` while it is silent. */
function orchestratorJson({ orchestrator, opinion, servers }: BackendView, now: number, clock: Clock) {
  if (orchestrator === null) return null;
  const primary = opinion?.primary ?? null;
  const named = servers.find(server => isNamed(opinion, server, servers));
  return {
    name: orchestrator,
    says: opinion?.words ?? null,
    /** Our name of it, where it is a server of ours. */
    primary: named?.name ?? (primary && formatAddress(primary.address)),
    passive: opinion?.passive ?? false,
    at: opinion && new Date(clock.wall() - (now - opinion.at)).toISOString(),
  };
}

/** Role, writability and lag are of the newest probe only; position and timeline of the newest that told them. */
function serverJson(
  server: ServerView,
  view: BackendView,
  now: number,
  { sessions, openUntil }: { readonly sessions: number; readonly openUntil: number },
) {
  const { name, address, host, health, result, lastAnswer } = server;
  const facts = factsOf(result);
  const last = lastAnswer?.facts;
  return {
    name,
    address: formatAddress(address),
    host,
    health: health.kind,
    role: facts?.role ?? 'unknown',
    writable: facts?.writable ?? false,
    fresh: isFresh(result, now, view.freshnessMs),
    admin: server.admin,
    lag_seconds: facts?.lagSeconds ?? null,
    lag_bytes: server.standing.lagBytes,
    synchronous: server.standing.synchronous,
    zone: server.zone,
    backup: server.backup,
    replicating: facts?.replicating ?? null,
    upstream: facts?.upstream ?? null,
    position: last?.position ?? null,
    timeline: last?.timeline ?? null,
    system_id: last?.systemId ?? null,
    version: last?.version ?? null,
    last_check: result && {
      at: new Date(result.wallAt).toISOString(),
      duration_ms: round(result.durationMs),
      code: result.code,
      detail: result.detail,
    },
    sessions,
    max_connections: server.maxConnections,
    circuit: view.circuitBreaker === null ? null : circuitOf(openUntil, now),
    missing_transactions: missingFromPrimary(server, view),
    replication: (facts?.channels ?? []).map(channelJson),
    faults: view.faults
      .filter(fault => fault.server === name)
      .map(({ code, what, mend }) => ({ code, what, mend })),
  };
}

function circuitOf(openUntil: number, now: number): 'closed' | 'open' | 'half-open' {
  if (openUntil === 0) return 'closed';
  return openUntil > now ? 'open' : 'half-open';
}

/** Numbers of errors only: their texts hold statements and values of rows. What matters of them is in the faults. */
function channelJson(channel: ReplicationChannel) {
  return {
    name: channel.name,
    source: channel.source,
    receiving: channel.receiving,
    applying: channel.applying,
    caught_up: channel.caughtUp,
    lag_seconds: channel.lagSeconds,
    receive_error: channel.receiveError?.errno ?? null,
    apply_error: channel.applyError?.errno ?? null,
  };
}

function lossJson(loss: Loss) {
  return {
    kind: loss.kind,
    bytes: loss.kind === 'bytes' ? loss.bytes : null,
    transactions: loss.kind === 'transactions' ? loss.count : null,
    unseen_ms: loss.unseenMs === null ? null : Math.round(loss.unseenMs),
    words: loss.words,
  };
}

export function incidentJson(incident: Incident) {
  const { firstSign, held } = incident;
  return {
    id: incident.id,
    backend: incident.backend,
    outcome: incident.outcome,
    epoch: incident.epoch,
    started_at: new Date(firstSign.wallAt).toISOString(),
    first_sign: { server: firstSign.server, code: firstSign.code, detail: firstSign.detail },
    old_primary: incident.oldPrimary,
    new_primary: incident.newPrimary,
    detected_ms: incident.detectedMs,
    duration_ms: incident.durationMs,
    sessions_closed: incident.sessionsClosed,
    clients_held: { count: held.count, served: held.served, max_wait_ms: held.maxWaitMs },
    loss: incident.loss && lossJson(incident.loss),
    evidence: incident.evidence.map(({ server, health, code, detail, ageMs, facts }) => ({
      server,
      health,
      code,
      detail,
      age_ms: ageMs,
      role: facts?.role ?? 'unknown',
      writable: facts?.writable ?? false,
      timeline: facts?.timeline ?? null,
      position: facts?.position ?? null,
      system_id: facts?.systemId ?? null,
      upstream: facts?.upstream ?? null,
    })),
    events: incident.events.map(({ offsetMs, text }) => ({ offset_ms: offsetMs, text })),
    runbook: incident.outputs.map(({ book, step, ok, ms, detail, output }) => ({
      book,
      step,
      ok,
      duration_ms: Math.round(ms),
      detail,
      output,
    })),
  };
}

const round = (ms: number): number => Math.round(ms * 1000) / 1000;
