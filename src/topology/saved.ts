// What of a topology survives a restart, as text: the sticky choice, the epoch, the memory behind them, and what operators
// decided about servers. Pure: app/state-file.ts keeps the file. A file is believed whole or not at all.

import { z } from 'zod';
import { type Protocol } from '../config/schema.ts';
import { isSavedMemory } from './elector.ts';
import { adminStates, type AdminState } from './model.ts';

/** Grows when a reader of before would misunderstand what is written now. */
const VERSION = 1;

const protocols = ['postgres', 'mysql', 'redis', 'http', 'tcp'] as const satisfies readonly Protocol[];

export interface SavedBackend {
  readonly protocol: Protocol;
  readonly epoch: number;
  /** The primary, one of `servers`. */
  readonly primary: string | null;
  /** Wall time at which it became that, or was lost; `null`: there has been none. */
  readonly since: number | null;
  /** The members at that time, by name. */
  readonly servers: ReadonlyMap<string, SavedServer>;
  /** As the evidence of the protocol has saved it; `null`: nothing. */
  readonly memory: object | null;
  /** As runbook/saved.ts has it; left out: nothing. */
  readonly runbook?: object | undefined;
}

export interface SavedServer {
  /** `host:port` as written; of a learned one as it was found. */
  readonly address: string;
  readonly admin: AdminState;
}

/** By backend. */
export type SavedState = ReadonlyMap<string, SavedBackend>;

export type ReadState =
  { readonly ok: true; readonly state: SavedState } | { readonly ok: false; readonly why: string };

/** It grows by one at a change: what is greater was not counted, and could soon not grow any more. */
const EPOCH_MAX = 2 ** 52;

const savedServer = z.strictObject({
  address: z.string().min(1).max(300),
  admin: z.enum(adminStates).exclude(['ready']).optional(),
});

const savedBackend = z
  .strictObject({
    protocol: z.enum(protocols),
    epoch: z.int().min(0).max(EPOCH_MAX),
    primary: z.string().nullable(),
    since: z.iso.datetime().nullable(),
    servers: z.record(z.string().min(1).max(63), savedServer),
    memory: z.record(z.string(), z.unknown()).nullable(),
    runbook: z.record(z.string(), z.unknown()).optional(),
  })
  .refine(({ primary, servers }) => primary === null || Object.hasOwn(servers, primary), {
    error: 'is none of the servers',
    path: ['primary'],
  })
  .refine(({ protocol, memory }) => memory === null || isSavedMemory(protocol, memory), {
    error: 'is not understood',
    path: ['memory'],
  });

const savedState = z.strictObject({
  version: z.literal(VERSION),
  backends: z.record(z.string().min(1).max(63), savedBackend),
});

export function writeState(state: SavedState): string {
  const backends = [...state].map(([name, { servers, since, ...rest }]) => [
    name,
    {
      ...rest,
      since: since === null ? null : new Date(since).toISOString(),
      servers: Object.fromEntries(
        [...servers].map(([server, { address, admin }]) => [
          server,
          { address, ...(admin === 'ready' ? {} : { admin }) },
        ]),
      ),
    },
  ]);
  return `${JSON.stringify({ version: VERSION, backends: Object.fromEntries(backends) }, null, 2)}\n`;
}

/** Never throws; what isn't exactly as `writeState` writes it isn't believed. */
export function readState(text: string): ReadState {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, why: 'it is not JSON' }; // the parser's own words quote the text
  }
  const version: unknown = typeof value === 'object' && value !== null && 'version' in value && value.version;
  if (typeof version === 'number' && version !== VERSION) {
    return { ok: false, why: `it has format ${version}, and this Pointsman reads format ${VERSION}` };
  }
  const read = savedState.safeParse(value);
  if (!read.success) {
    const [issue] = read.error.issues;
    const path = issue?.path.map(String).join('.') ?? '';
    return { ok: false, why: path === '' ? 'it is no state of Pointsman' : `${path} is not valid` };
  }
  return { ok: true, state: new Map(Object.entries(read.data.backends).map(stateOf)) };
}

function stateOf([name, { servers, since, ...rest }]: [string, z.output<typeof savedBackend>]) {
  const members = Object.entries(servers).map(([server, { address, admin }]): [string, SavedServer] => [
    server,
    { address, admin: admin ?? 'ready' },
  ]);
  const saved: SavedBackend = {
    ...rest,
    since: since === null ? null : Date.parse(since),
    servers: new Map(members),
  };
  return [name, saved] as const;
}
