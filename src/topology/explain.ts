// Why a backend is as it is, and what would happen to it, in sentences for people: made from the outlooks of imagine.ts.
// Pure, and decides nothing. Asked by the API for `pointsman explain`.

import { type BackendConfig, type FrontendConfig } from '../config/schema.ts';
import { formatDuration } from '../config/units.ts';
import { type MonotonicMs } from '../core/clock.ts';
import { type Assumption } from './assumptions.ts';
import { closingsAt, type Closing } from './closings.ts';
import { acceptsWrites, eligible, eligibilityOf } from './eligibility.ts';
import { noticeOf, takeoverOf } from './explain-rules.ts';
import { tellServer } from './explain-server.ts';
import { type Outlook } from './imagine.ts';
import { hasRoles, type BackendView } from './model.ts';

interface ExplainedFrontend {
  readonly name: string;
  readonly config: Pick<FrontendConfig, 'route' | 'maxLagMs' | 'maxLagBytes' | 'synchronousOnly' | 'holdMs'>;
  readonly held: number;
  /** Its sessions to a server, now. */
  readonly sessionsTo: (server: string) => number;
}

export interface Question {
  readonly present: BackendView;
  readonly assumptions: readonly Assumption[];
  /** In the order of time; never empty. */
  readonly outlooks: readonly Outlook[];
  readonly config: BackendConfig;
  readonly frontends: readonly ExplainedFrontend[];
  readonly now: MonotonicMs;
}

interface FrontendFate {
  readonly name: string;
  readonly route: string;
  /** Who new clients may be given to; empty: they wait. */
  readonly servedBy: readonly string[];
  readonly holdMs: number;
  readonly held: number;
  readonly closed: readonly {
    readonly server: string;
    readonly reason: Closing['reason'];
    readonly sessions: number;
  }[];
  readonly says: string;
}

export interface Explanation {
  readonly backend: string;
  readonly assumptions: readonly Assumption[];
  readonly before: string | null;
  /** Who would be the primary in the end. */
  readonly primary: string | null;
  /** The answer as one sentence. */
  readonly says: string;
  readonly steps: readonly {
    readonly afterMs: number;
    readonly primary: string | null;
    readonly splitBrain: boolean;
    readonly reasons: readonly string[];
  }[];
  readonly servers: readonly { readonly name: string; readonly says: string }[];
  readonly orchestrator: string | null;
  readonly disagreement: string | null;
  readonly frontends: readonly FrontendFate[];
  /** How long it takes until what is assumed is noticed. */
  readonly notice: readonly string[];
  /** What must happen for another to take over. */
  readonly takeover: readonly string[];
}

export function explain(question: Question): Explanation {
  const { present, assumptions, outlooks, config, frontends, now } = question;
  const { view, refusals, afterMs } = outlooks.at(-1) ?? { view: present, refusals: new Map(), afterMs: 0 };
  const at = now + afterMs;
  return {
    backend: present.name,
    assumptions,
    before: present.primary,
    primary: view.primary,
    says: answerOf(question, view),
    steps: outlooks.map(outlook => ({
      afterMs: outlook.afterMs,
      primary: outlook.view.primary,
      splitBrain: outlook.view.splitBrain,
      reasons: outlook.view.reasons,
    })),
    servers: view.servers.map(server => ({
      name: server.name,
      says: tellServer(server, view, refusals.get(server.name) ?? null, at),
    })),
    orchestrator: orchestratorOf(view),
    disagreement: view.disagreement,
    frontends: frontends.map(frontend => fateOf(frontend, question, view, at)),
    notice: [...new Set(assumptions.flatMap(({ is }) => noticeOf(is, config) ?? []))],
    takeover: takeoverOf(view, config),
  };
}

function answerOf(
  { present, assumptions }: Question,
  { name, primary, reasons, protocol }: BackendView,
): string {
  const why = reasons.join('; ');
  if (!hasRoles(protocol)) return why;
  const isNow = assumptions.length === 0;
  if (primary === null) return `${name} ${isNow ? 'is' : 'would be'} without a primary: ${why}`;
  if (isNow) return `${primary} is the primary of ${name}: ${why}`;
  return `${primary} would ${primary === present.primary ? 'stay' : 'become'} the primary of ${name}: ${why}`;
}

function orchestratorOf({ orchestrator, opinion }: BackendView): string | null {
  if (orchestrator === null) return null;
  if (opinion === null)
    return `${orchestrator} is asked too, and silent: the servers’ own word and evidence decide`;
  return opinion.passive ? `${opinion.words}; it doesn’t act now, so that forbids nothing` : opinion.words;
}

function fateOf(
  { name, config, held, sessionsTo }: ExplainedFrontend,
  question: Question,
  view: BackendView,
  at: MonotonicMs,
): FrontendFate {
  const servedBy = serversFor(config, view, at);
  const [first] = question.outlooks;
  const atOnce = first === undefined || serversFor(config, first.view, question.now).length > 0;
  const closed = closedBy(config, question, sessionsTo);
  const waits = config.holdMs === 0 ? 'are refused' : `wait, ${formatDuration(config.holdMs)} at most`;
  const whom = `${name} (${config.route}): new clients`;
  const newcomers =
    servedBy.length === 0
      ? `${whom} ${waits}`
      : `${whom} ${atOnce ? 'go' : `${waits} at first, and then go`} to ${servedBy.join(', ')}`;
  const losses = closed.map(
    ({ server, reason, sessions }) =>
      `${sessions} ${sessions === 1 ? 'session' : 'sessions'} to ${server} closed (${reason})`,
  );
  return {
    name,
    route: config.route,
    servedBy,
    holdMs: config.holdMs,
    held,
    closed,
    says: [newcomers, ...losses].join('; '),
  };
}

/** A primary that stands in for replicas is named only where there are none. */
function serversFor(
  config: ExplainedFrontend['config'],
  view: BackendView,
  at: MonotonicMs,
): readonly string[] {
  const servers = eligible(view, at, eligibilityOf(config));
  const primary = config.route === 'replica-or-primary' ? acceptsWrites(view, at) : null;
  return (servers.length > 0 || primary === null ? servers : [primary]).map(server => server.name);
}

/** A session ends once: at the first step that ends it. */
function closedBy(
  { route }: ExplainedFrontend['config'],
  { present, outlooks }: Question,
  sessionsTo: (server: string) => number,
): FrontendFate['closed'] {
  const closed = new Map<string, Closing['reason']>();
  let before = present;
  for (const { view: after } of outlooks) {
    for (const server of after.servers) {
      const closing = closingsAt(server, before, after).find(({ routes }) => routes?.includes(route) ?? true);
      if (closing !== undefined && !closed.has(server.name)) closed.set(server.name, closing.reason);
    }
    before = after;
  }
  return [...closed].flatMap(([server, reason]) => {
    const sessions = sessionsTo(server);
    return sessions === 0 ? [] : [{ server, reason, sessions }];
  });
}
