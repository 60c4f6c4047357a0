// Where the proxy's notices go: metrics, incidents and the log. Made by app.ts.
// One line per session end and per turned-away client; nothing per packet.

import { formatAddress } from '../core/address.ts';
import { type Logger } from '../core/logger.ts';
import { proxyMetrics } from '../metrics/observers.ts';
import { type Metrics } from '../metrics/metrics.ts';
import { closeReasons, rejectReasons, type EngineObserver } from '../proxy/events.ts';
import { type IncidentRecorder } from '../topology/incidents.ts';

/** `askNow`: has a server probed at once that a client could not be connected to. */
export function createProxyObserver(
  metrics: Metrics,
  incidents: IncidentRecorder,
  log: Logger,
  askNow: (backend: string, server: string) => void,
): EngineObserver {
  const count = proxyMetrics(metrics);
  return {
    ...count,
    rejected(frontend, reason, client, clients = 1) {
      count.rejected(frontend, reason, client, clients);
      log.warn(
        { frontend, reason, client: formatAddress(client), ...(clients === 1 ? {} : { clients }) },
        `${clients === 1 ? 'client' : `${clients} clients`} refused: ${rejectReasons[reason]}`,
      );
    },
    held() {
      // counted when the wait ends; the gauge is read from the proxy at scrape time
    },
    holdEnded(frontend, backend, waitedMs, outcome) {
      count.holdEnded(frontend, backend, waitedMs, outcome);
      incidents.noteHold(backend, waitedMs, outcome === 'served');
    },
    connectFailed(backend, server, error, detail) {
      count.connectFailed(backend, server, error, detail);
      log.debug({ backend, server, reason: error, detail }, 'connection to a server failed');
      // For want of descriptors or ports of our own no server need be asked.
      if (error !== 'local') askNow(backend, server);
    },
    circuit(backend, server, isOpen) {
      const what = isOpen
        ? 'circuit opened: clients could not be connected, and none is for a while'
        : 'circuit closed: a client was connected';
      log.warn({ backend, server }, what);
    },
    sessionEnded(end) {
      count.sessionEnded(end);
      if (!log.isLevelEnabled('info')) return;
      const { client, totalMs, heldMs, connectMs, ...rest } = end;
      log.info(
        {
          ...rest,
          client: formatAddress(client),
          totalMs: Math.round(totalMs),
          heldMs: Math.round(heldMs),
          connectMs: Math.round(connectMs * 10) / 10,
        },
        `session ended: ${closeReasons[end.reason]}`,
      );
    },
    sessionsClosed(backend, server, reason, closed) {
      incidents.noteSessionsClosed(backend, server, closed, closeReasons[reason]);
      log.warn({ backend, server, reason, count: closed }, `sessions closed: ${closeReasons[reason]}`);
    },
    acceptError(frontend, code, detail) {
      log.error({ frontend, code, detail }, 'a client connection could not be accepted');
    },
    withoutUring(reason) {
      log.info({ reason }, 'data plane: epoll without io_uring');
    },
    workerLost(lost, detail) {
      count.workerLost(lost, detail);
      for (const { backend, server, sessions } of lost) {
        incidents.noteSessionsClosed(backend, server, sessions, closeReasons['worker-lost']);
      }
      const sessions = lost.reduce((sum, one) => sum + one.sessions, 0);
      log.error(
        { detail, sessions },
        'a worker thread died: its sessions are closed, another takes its place',
      );
    },
  };
}
