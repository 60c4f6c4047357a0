// The keys of a backend of servers that speak anything over TCP: what is sent to them and expected, if anything.
// Part of schema.ts.

import { z } from 'zod';
import {
  CHECK_MEANING,
  PROTOCOL_MEANING,
  readTempo,
  sendProxy,
  servers,
  slowStart,
  tempo,
} from './common.ts';
import { discovery } from '../schema-dns.ts';
import { serversTls } from '../schema-tls.ts';
import { circuitBreaker, maxConnectionsPerServer } from '../schema-limits.ts';

const tcpCheck = z
  .strictObject({
    ...tempo,
    send: z.string().min(1).max(4096).optional().meta({
      description:
        'Sent once connected. YAML’s "\\r\\n" and "\\x00" stand for bytes; letters beyond ASCII go out as UTF-8.',
      sample: 'PING\r\n',
    }),
    expect: z.string().min(1).max(4096).optional().meta({
      description:
        'What the server says must contain this, within `timeout`. Left out: a server that accepts the connection is well.',
      sample: 'PONG',
    }),
  })
  .transform(c => ({
    send: c.send ?? null,
    expect: c.expect ?? null,
    ...readTempo(c),
  }));

export const tcpBackend = z
  .strictObject({
    protocol: z.literal('tcp').meta({ description: PROTOCOL_MEANING, sample: 'tcp' }),
    check: tcpCheck.prefault({}).meta({ description: CHECK_MEANING, sample: { interval: '1s' } }),
    tls: serversTls,
    send_proxy: sendProxy,
    slow_start: slowStart('0s'),
    max_connections_per_server: maxConnectionsPerServer,
    circuit_breaker: circuitBreaker,
    dns: discovery,
    servers: servers('node', 7000).optional(),
  })
  .transform(b => ({
    protocol: b.protocol,
    check: b.check,
    tls: b.tls ?? null,
    sendProxy: b.send_proxy ?? null,
    slowStartMs: b.slow_start,
    maxConnectionsPerServer: b.max_connections_per_server ?? null,
    circuitBreaker: b.circuit_breaker ?? null,
    surge: null,
    dns: b.dns ?? null,
    servers: b.servers ?? {},
  }));
