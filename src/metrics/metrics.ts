// The one door to prom-client: every metric of Pointsman is made here, with its help text and labels.
// Counters are moved by the observers beside this file; gauges are read from the live state at scrape time.

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

const PREFIX = 'pointsman_';

/** Seconds; a probe or a connect takes tenths of a millisecond to seconds. */
const FAST_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
/** Seconds; a hold or a failover takes tens of milliseconds to minutes. */
const SLOW_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300];

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics(build: { version: string; node: string }) {
  const registry = new Registry();
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter({ name: PREFIX + name, help, labelNames, registers: [registry] });
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Gauge({ name: PREFIX + name, help, labelNames, registers: [registry] });
  const histogram = <L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    buckets: number[],
  ) => new Histogram({ name: PREFIX + name, help, labelNames, buckets, registers: [registry] });

  collectDefaultMetrics({ register: registry });
  gauge('build_info', 'Constant 1; the labels tell what runs.', ['version', 'node']).set(
    { version: build.version, node: build.node },
    1,
  );
  return {
    registry,
    frontendConnectionsTotal: counter('frontend_connections_total', 'Client connections accepted.', [
      'frontend',
    ]),
    frontendConnectionsActive: gauge(
      'frontend_connections_active',
      'Client connections open now, waiting ones included.',
      ['frontend'],
    ),
    frontendConnectionsRejected: counter(
      'frontend_connections_rejected_total',
      'Client connections turned away before they had a server.',
      ['frontend', 'reason'],
    ),
    frontendUnjudged: counter(
      'frontend_connections_unjudged_total',
      'Clients let in without a look at the limits of their address, as the table of addresses was full or busy.',
      ['frontend'],
    ),
    frontendHeld: gauge('frontend_held', 'Clients that wait for a server now.', ['frontend']),
    frontendHoldSeconds: histogram(
      'frontend_hold_seconds',
      'How long clients waited for a server, however the wait ended.',
      ['frontend'],
      SLOW_BUCKETS,
    ),
    frontendBytes: counter(
      'frontend_bytes_total',
      'Bytes relayed: in is from clients to servers, out the other way.',
      ['frontend', 'direction'],
    ),
    serverUp: gauge('server_up', '1 while the server is up, 0 while it is down or unknown.', [
      'backend',
      'server',
    ]),
    serverWritable: gauge('server_writable', '1 if the newest probe says that the server takes writes.', [
      'backend',
      'server',
    ]),
    serverRole: gauge('server_role', '1 for the role that the server last told, 0 for the others.', [
      'backend',
      'server',
      'role',
    ]),
    serverAdminState: gauge(
      'server_admin_state',
      '1 for what an operator decided about the server (ready, drain, maintenance), 0 for the others.',
      ['backend', 'server', 'state'],
    ),
    serverLag: gauge(
      'server_replication_lag_seconds',
      'How far a replica is behind; absent when it is no replica or does not replicate.',
      ['backend', 'server'],
    ),
    serverLagBytes: gauge(
      'server_replication_lag_bytes',
      'Bytes of the log that the primary has told of and the replica has not replayed; absent where it is not known.',
      ['backend', 'server'],
    ),
    frontendServerUsed: gauge(
      'frontend_server_used',
      '1 if the server gets new sessions of this port for readers, 0 if it does not; /api/v1/state says why.',
      ['frontend', 'server'],
    ),
    serverReplicationFault: gauge(
      'server_replication_fault',
      '1 while the replication of the server has this fault; absent otherwise.',
      ['backend', 'server', 'code'],
    ),
    serverMissingTransactions: gauge(
      'server_missing_transactions',
      'How many transactions of the primary the server lacks, by the newest answers of both; absent where it is not known.',
      ['backend', 'server'],
    ),
    serverConnectionsActive: gauge('server_connections_active', 'Client sessions joined to the server now.', [
      'backend',
      'server',
    ]),
    serverConnectionsMax: gauge(
      'server_connections_max',
      'Connections of clients that the server may have at once (max_connections); absent where that is not limited.',
      ['backend', 'server'],
    ),
    serverCircuitOpen: gauge(
      'server_circuit_open',
      '1 while the circuit breaker keeps clients from the server, 0 while it does not; absent without one.',
      ['backend', 'server'],
    ),
    serverConnections: counter('server_connections_total', 'Connections made to the server for clients.', [
      'backend',
      'server',
    ]),
    serverConnectErrors: counter(
      'server_connect_errors_total',
      'Connections to the server that could not be made.',
      ['backend', 'server', 'reason'],
    ),
    serverConnectSeconds: histogram(
      'server_connect_seconds',
      'Time to connect to the server for a client.',
      ['backend', 'server'],
      FAST_BUCKETS,
    ),
    serverCheckSeconds: histogram(
      'server_check_seconds',
      'Time one probe took, whatever its result.',
      ['backend', 'server'],
      FAST_BUCKETS,
    ),
    serverCheckFailures: counter(
      'server_check_failures_total',
      'Probes that did not succeed, by check code.',
      ['backend', 'server', 'code'],
    ),
    backendPrimary: gauge('backend_primary', '1 for the server that is the primary now.', [
      'backend',
      'server',
    ]),
    backendPrimaryChanges: counter(
      'backend_primary_changes_total',
      'Times another server became the primary.',
      ['backend'],
    ),
    backendWithoutPrimarySeconds: counter(
      'backend_without_primary_seconds_total',
      'Time without a primary, since the start.',
      ['backend'],
    ),
    backendOrchestratorUp: gauge(
      'backend_orchestrator_up',
      '1 while the orchestrator (Sentinels, Patroni, pg_auto_failover) answers.',
      ['backend'],
    ),
    backendDisagreement: gauge(
      'backend_orchestrator_disagreement',
      '1 while the orchestrator and the servers themselves say different things.',
      ['backend'],
    ),
    backendSplitBrain: gauge('backend_split_brain', '1 while several servers claim to be writable.', [
      'backend',
    ]),
    tlsHandshakeFailures: counter(
      'tls_handshake_failures_total',
      'TLS handshakes with clients that failed, and clients whose certificate was no good, by reason.',
      ['frontend', 'reason'],
    ),
    tlsCertificateExpiry: gauge(
      'tls_certificate_expiry_timestamp_seconds',
      'When the certificate in use ends to be valid, in seconds since the epoch.',
      ['file'],
    ),
    tlsReloadErrors: counter(
      'tls_reload_errors_total',
      'Times that changed certificate files could not be used, and the old ones stayed.',
      [],
    ),
    dnsErrors: counter('dns_errors_total', 'Questions to DNS about a name that brought no address.', [
      'name',
    ]),
    failoverSeconds: histogram(
      'failover_seconds',
      'From the first bad sign of a primary to the election of the next.',
      ['backend'],
      SLOW_BUCKETS,
    ),
    rateLimitStoreUp: gauge(
      'rate_limit_store_up',
      '1 while rate limits are shared through the store, 0 while each process limits by itself; absent without one.',
      ['store'],
    ),
    rateLimitStoreErrors: counter(
      'rate_limit_store_errors_total',
      'Exchanges with the store of rate limits that failed.',
      ['store'],
    ),
    stateFileErrors: counter('state_file_errors_total', 'Writes of the state file that failed.', []),
    failovers: counter(
      'failovers_total',
      'Times another server took over from a primary, by what the loss report said at that moment.',
      ['backend', 'loss'],
    ),
    failoverLostBytes: gauge(
      'failover_lost_bytes',
      'Bytes of WAL or of the replication stream that were seen on the primary before the last incident and are missing after it; absent where it is not known.',
      ['backend'],
    ),
    failoverLostTransactions: gauge(
      'failover_lost_transactions',
      'Transactions that were seen on the primary before the last incident and are missing after it; absent where it is not known.',
      ['backend'],
    ),
    configReloads: counter('config_reloads_total', 'Reloads of the configuration, by what came of them.', [
      'outcome',
    ]),
    configLastReloadSuccessful: gauge(
      'config_last_reload_successful',
      '1 while the newest configuration that was read is in force, 0 after one that could not be applied.',
      [],
    ),
    configLastReloadSuccess: gauge(
      'config_last_reload_success_timestamp_seconds',
      'When the configuration was last read and found to be in force, or put in force.',
      [],
    ),
    configGeneration: gauge(
      'config_generation',
      'Grows by one with each configuration that is applied; 1 at the start.',
      [],
    ),
    backendHeld: gauge(
      'backend_held',
      '1 while new clients of the primary wait because a runbook is about to move it.',
      ['backend'],
    ),
    runbookRuns: counter('runbook_runs_total', 'Runs of runbooks that ended, by how.', [
      'backend',
      'book',
      'outcome',
    ]),
    runbookRunning: gauge('runbook_running', '1 while a runbook of the backend is under way or stopped.', [
      'backend',
    ]),
    runbookStopped: gauge(
      'runbook_stopped',
      '1 while a runbook of the backend has stopped at a step that failed, or asks: a person is needed.',
      ['backend'],
    ),
    runbookStepSeconds: histogram(
      'runbook_step_seconds',
      'Time one attempt of a step took, by how it ended.',
      ['backend', 'book', 'result'],
      SLOW_BUCKETS,
    ),
    backupAge: gauge(
      'backup_age_seconds',
      'Since the newest good backup was taken: what was written since would be lost with its servers; absent while there is none.',
      ['backup'],
    ),
    backupSize: gauge('backup_size_bytes', 'Size of the newest good backup; absent while there is none.', [
      'backup',
    ]),
    backupDuration: gauge(
      'backup_duration_seconds',
      'How long the last run took, restoring for proof included.',
      ['backup'],
    ),
    backupRows: gauge(
      'backup_restored_rows',
      'Rows that the newest backup held when it was restored for proof; absent where that is not done.',
      ['backup'],
    ),
    backupRuns: counter('backup_runs_total', 'Runs of a backup, by what came of it.', ['backup', 'outcome']),
    sessionsClosed: counter('sessions_closed_total', 'Sessions that ended, by reason.', [
      'frontend',
      'backend',
      'server',
      'reason',
    ]),
  };
}
