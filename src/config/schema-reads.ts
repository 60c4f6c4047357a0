// The keys that say who may serve readers, and for how long: limits of a frontend, place and rank of a server.
// Part of schema-frontend.ts and backends/common.ts.

import { z } from 'zod';
import { duration, name, pace, size } from './schema-values.ts';

const PERCENT = /^(\d{1,3}(?:\.\d+)?)%$/;
const NOT_A_SHARE =
  'is not a share; write it as 20% (of max_connections, above 0%, at most 100%) or as a number of sessions, at least 1';

const isShare = (share: string | number): boolean => {
  if (typeof share === 'number') return Number.isInteger(share) && share >= 1 && share <= 1_000_000;
  const percent = Number(PERCENT.exec(share)?.[1] ?? 0);
  return percent > 0 && percent <= 100;
};

export const readsOfFrontend = {
  max_lag: pace().optional().meta({
    description:
      'Replicas further behind than this, or that do not replicate, get no new sessions until they are no more than half as far behind; the sessions they have go on. While there is no primary, a replica that was within it stays so until it may be too old. Not for route `primary`, nor for protocols `http` and `tcp`.',
    sample: '10s',
  }),
  max_lag_bytes: size().optional().meta({
    description:
      'The same in bytes of the log (PostgreSQL) or of the replication stream (Redis) that the primary has told of and the replica lacks. While there is no primary, measured against the last one.',
    sample: '16MiB',
  }),
  synchronous_only: z.boolean().default(false).meta({
    description:
      'Of replicas, only those that each commit waits for, by the primary’s own word. PostgreSQL only; the probe user needs `pg_monitor` on each server. What a commit waits for is `synchronous_commit`: to read what was just written, `remote_apply`.',
  }),
  zone: name.optional().meta({
    description:
      'Servers of this zone are preferred, those of others get clients while none of it is left. Not for route `primary`.',
    sample: 'eu-1a',
  }),
  fallback_share: z
    .union([z.string().meta({ pattern: PERCENT.source }), z.number()], { error: NOT_A_SHARE })
    .refine(isShare, { error: NOT_A_SHARE })
    .optional()
    .meta({
      description:
        'How many sessions of this frontend the primary takes at once while it stands in for replicas: a number, or a percentage of `max_connections`. Who comes beyond waits, as `hold` says. Left out: no limit. With several workers it may be exceeded by one for each of the others. Only for route `replica-or-primary`.',
      sample: '20%',
    }),
  max_session_age: duration().prefault(0).meta({
    description:
      'No session gets older than this: it is closed (`max-age`) at a moment of its own in the second half of that time, when no bytes have passed for a while and no answer is due, at the latest at the end. So sessions spread over the servers again after a recovery. 0: never.',
  }),
};

export const readReads = (f: {
  readonly max_lag?: number | undefined;
  readonly max_lag_bytes?: number | undefined;
  readonly synchronous_only: boolean;
  readonly zone?: string | undefined;
  readonly fallback_share?: string | number | undefined;
  readonly max_session_age: number;
  readonly max_connections: number;
}) => ({
  maxLagMs: f.max_lag ?? null,
  maxLagBytes: f.max_lag_bytes ?? null,
  synchronousOnly: f.synchronous_only,
  zone: f.zone ?? null,
  fallbackMax: f.fallback_share === undefined ? null : shareOf(f.fallback_share, f.max_connections),
  maxSessionAgeMs: f.max_session_age,
});

/** At least one: who wants none writes `route: replica`. */
function shareOf(share: string | number, all: number): number {
  if (typeof share === 'number') return share;
  return Math.max(1, Math.floor((all * Number(share.slice(0, -1))) / 100));
}

export const rankOfServer = {
  backup: z.boolean().default(false).meta({
    description:
      'Gets readers only while no other server of the route can (a primary that stands in for replicas is one).',
  }),
  zone: name.optional().meta({
    description: 'Where it stands; frontends with the same `zone` prefer it.',
    sample: 'eu-1a',
  }),
};

export const unranked = { backup: false, zone: null } as const;

export const readRank = (s: { readonly backup: boolean; readonly zone?: string | undefined }) => ({
  backup: s.backup,
  zone: s.zone ?? null,
});
