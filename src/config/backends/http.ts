// The keys of a backend of HTTP servers: what is asked for, and which answer means that a server is well.
// Part of schema.ts. What is asked is written by protocol/http/request.ts, which trusts that nothing here can break a line.

import { z } from 'zod';
import {
  CHECK_MEANING,
  PROTOCOL_MEANING,
  readTempo,
  sendProxy,
  servers,
  slowStart,
  tempo,
  wholeTls,
} from './common.ts';
import { discovery } from '../schema-dns.ts';
import { serversTls } from '../schema-tls.ts';
import { circuitBreaker, maxConnectionsPerServer } from '../schema-limits.ts';

/** RFC 9110, section 5.6.2. */
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110, section 5.5: a line break would begin a header, or a request, of its own. */
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/;
/** What frames the request, and Host, which is a key of its own. */
const ours = /^(host|connection|keep-alive|content-length|transfer-encoding|te|trailer|upgrade|expect)$/i;

const header = z
  .string()
  .regex(token, { error: 'is not a header name' })
  .refine(text => !ours.test(text), {
    error: 'is a header that Pointsman sets itself (for Host there is the key `host`)',
  });

const httpCheck = z
  .strictObject({
    path: z
      .string()
      .regex(/^\/[\x21-\x7e]*$/, { error: 'is not a path; a path begins with / and has no spaces' })
      .max(2048)
      .default('/')
      .meta({ description: 'What is asked for (GET).', sample: '/health' }),
    status: z.array(z.int().min(100).max(599)).min(1).default([200, 204]).meta({
      description:
        'The status codes that mean the server is well. Any other is a failed check; redirects are not followed.',
    }),
    body: z.string().min(1).max(4096).optional().meta({
      description: 'Text that the body must contain.',
      sample: 'ready',
    }),
    json: z
      .record(z.string().min(1).max(256), z.union([z.string(), z.number(), z.boolean(), z.null()]))
      .optional()
      .meta({
        description:
          'Fields that the JSON body must have, with their values; `a.b` is field b of field a, `a.0` the first item of list a.',
        sample: { status: 'ok' },
      }),
    host: z
      .string()
      .regex(/^[\x21-\x7e]+$/, { error: 'is not a host' })
      .max(256)
      .optional()
      .meta({
        description: 'The Host header. Left out: host and port of the server.',
        sample: 'app.example.com',
      }),
    headers: z
      .record(
        header,
        z
          .string()
          .max(4096)
          .regex(fieldValue, { error: 'is not a header value; it is one line of Latin-1 text' }),
      )
      .default({})
      .meta({ description: 'Further request headers.', sample: { Authorization: 'Bearer ${TOKEN}' } }),
    tls: wholeTls,
    ...tempo,
  })
  .transform(c => ({
    path: c.path,
    status: c.status,
    body: c.body ?? null,
    json: c.json ?? null,
    host: c.host ?? null,
    headers: c.headers,
    tls: c.tls,
    ...readTempo(c),
  }));

export const httpBackend = z
  .strictObject({
    protocol: z.literal('http').meta({ description: PROTOCOL_MEANING, sample: 'http' }),
    check: httpCheck.prefault({}).meta({ description: CHECK_MEANING, sample: { path: '/health' } }),
    tls: serversTls,
    send_proxy: sendProxy,
    slow_start: slowStart('10s'),
    max_connections_per_server: maxConnectionsPerServer,
    circuit_breaker: circuitBreaker,
    dns: discovery,
    servers: servers('web', 8080).optional(),
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
