// What a backend would look like if something were otherwise: from the present views and assumptions to servers and an
// opinion as the election would see them. Pure, and only for `explain`: nothing of this is ever published.

import { type MonotonicMs } from '../core/clock.ts';
import {
  nothingTold,
  type FailureCode,
  type History,
  type PassedResult,
  type ProbeResult,
  type ServerFacts,
} from '../health/result.ts';
import { uniteGtids } from '../protocol/mysql/gtid.ts';
import { adminStates, type AdminState, type BackendView, type Opinion, type ServerView } from './model.ts';

/** What may be assumed of a server, and what that means. */
export const assumptionKinds = {
  down: 'it is marked down: dead, or silent for long enough',
  busy: 'it has no free connection slot',
  'read-only': 'it answers, and takes no writes',
  writable: 'it says that it is a primary and writable, with the data it was last seen with',
  promoted: 'whoever manages failovers made it the primary, with all the data that any server was seen with',
  ready: 'an operator set it ready',
  drain: 'an operator put it in drain',
  maintenance: 'an operator put it in maintenance',
} as const;
export type AssumptionKind = keyof typeof assumptionKinds;

export interface Assumption {
  readonly server: string;
  readonly is: AssumptionKind;
}

export const isAssumptionKind = (text: string): text is AssumptionKind =>
  Object.hasOwn(assumptionKinds, text);

/** Whether the servers of a backend can be that: where there are no roles, nobody is writable or promoted, or tells that it is busy. */
export function needsRoles(is: AssumptionKind): boolean {
  return is === 'busy' || is === 'read-only' || is === 'writable' || is === 'promoted';
}

type Supposed = Pick<BackendView, 'servers' | 'opinion'>;

/** Later ones build on earlier ones: a server may be in maintenance and down. */
export function suppose(view: Supposed, assumptions: readonly Assumption[], now: MonotonicMs): Supposed {
  return assumptions.reduce<Supposed>(
    ({ servers, opinion }, { server: name, is }) => ({
      servers: servers.map(server => (server.name === name ? become(server, is, servers, now) : server)),
      opinion: is === 'promoted' ? naming(opinion, servers, name) : opinion,
    }),
    view,
  );
}

/** The same servers some time on: each has been asked again, and has said the same. */
export function later(servers: readonly ServerView[], at: MonotonicMs): readonly ServerView[] {
  return servers.map(server => {
    const { result, lastAnswer } = server;
    if (result === null) return server;
    const again = { ...result, at };
    return {
      ...server,
      result: again,
      lastAnswer: lastAnswer === result ? (again as PassedResult) : lastAnswer,
    };
  });
}

function become(
  server: ServerView,
  is: AssumptionKind,
  servers: readonly ServerView[],
  now: MonotonicMs,
): ServerView {
  const facts = server.lastAnswer?.facts ?? nothingTold;
  switch (is) {
    case 'down':
      return {
        ...server,
        health: { kind: 'down', passes: 0, since: now, lastError: 'L4CON' },
        result: failure('L4CON', 'assumed to be down', now),
        upSince: null,
        writableSince: null,
      };
    case 'busy':
      return { ...server, result: failure('L7BUSY', 'assumed to have no free connection slot', now) };
    case 'read-only':
      return answering(
        server,
        { ...facts, role: facts.role === 'primary' ? 'primary' : 'replica', writable: false },
        now,
      );
    case 'writable':
      return answering(server, writing(facts), now);
    case 'promoted':
      return answering(server, { ...writing(facts), ...newestOf(facts, servers), channels: [] }, now);
    default:
      return { ...server, admin: adminOf(is) };
  }
}

const adminOf = (is: AdminState): AdminState => adminStates.find(state => state === is) ?? 'ready';

const failure = (code: FailureCode, detail: string, now: MonotonicMs): ProbeResult => ({
  code,
  detail,
  at: now,
  wallAt: 0,
  durationMs: 0,
});

function answering(server: ServerView, facts: ServerFacts, now: MonotonicMs): ServerView {
  const result: PassedResult = { code: 'L7OK', facts, detail: 'assumed', at: now, wallAt: 0, durationMs: 0 };
  return {
    ...server,
    health: { kind: 'up', fails: 0 },
    result,
    lastAnswer: result,
    upSince: server.upSince ?? now,
    writableSince: facts.writable ? (server.writableSince ?? now) : null,
  };
}

/** Of a pair of masters each goes on replicating from the other; a replica stops to. */
function writing(facts: ServerFacts): ServerFacts {
  return {
    ...facts,
    role: 'primary',
    writable: true,
    lagSeconds: null,
    replicating: null,
    upstream: null,
    channels: facts.role === 'primary' ? facts.channels : [],
  };
}

/** What its protocol shows of a server that was promoted with nothing lost. */
function newestOf(
  own: ServerFacts,
  servers: readonly ServerView[],
): Pick<ServerFacts, 'timeline' | 'systemId' | 'history'> {
  const all = [own, ...servers.flatMap(({ lastAnswer }) => lastAnswer?.facts ?? [])];
  const systemId = own.systemId ?? all.find(facts => facts.systemId !== null)?.systemId ?? null;
  const timelines = all.flatMap(({ timeline }) => timeline ?? []);
  const timeline = timelines.length === 0 ? null : Math.max(...timelines) + 1;
  return {
    systemId,
    timeline,
    history: historyAfter(
      own.history,
      all.flatMap(({ history }) => history ?? []),
    ),
  };
}

function historyAfter(own: History | null, all: readonly History[]): History | null {
  if (own?.kind === 'gtid') {
    const sets = all.flatMap(history => (history.kind === 'gtid' ? [history.transactions] : []));
    return { ...own, transactions: sets.reduce(uniteGtids, own.transactions) };
  }
  if (own?.kind === 'redis') {
    const { replicationId } = own;
    const offsets = all.flatMap(history =>
      history.kind === 'redis' && history.replicationId === replicationId ? [history.offset] : [],
    );
    const offset = Math.max(own.offset, ...offsets);
    return { ...own, replicationId: 'assumed', offset, previous: { replicationId, until: offset } };
  }
  return own;
}

/** Who promotes a server names it; a silent orchestrator stays silent. */
function naming(opinion: Opinion | null, servers: readonly ServerView[], name: string): Opinion | null {
  const server = servers.find(candidate => candidate.name === name);
  if (opinion === null || server === undefined) return opinion;
  const { address } = server;
  return {
    ...opinion,
    words: `the orchestrator names ${name} (assumed)`,
    primary: { address, name },
    against: [],
    process: null,
  };
}
