// The black box: from the first bad sign of a primary to the next election, one record of what was seen, why it was
// decided, and whom it touched. Watches the topology and takes notes from the proxy; decides nothing. Read by the API.

import { type Clock, type MonotonicMs } from '../core/clock.ts';
import { INCIDENT_EVENTS_MAX, INCIDENT_OUTPUTS_MAX, INCIDENTS_MAX } from '../core/limits.ts';
import { Topic } from '../core/topic.ts';
import { factsOf, type CheckCode, type ProbeResult, type ServerFacts } from '../health/result.ts';
import { describeChange } from './describe.ts';
import { type Loss } from './loss.ts';
import { LossWatch } from './loss/watch.ts';
import { type BackendChange, type BackendView, type ServerView } from './model.ts';

interface FirstSign {
  readonly server: string;
  readonly code: CheckCode;
  readonly detail: string;
  readonly wallAt: number;
}

interface Evidence {
  readonly server: string;
  readonly health: string;
  readonly code: CheckCode | null;
  readonly detail: string;
  readonly ageMs: number | null;
  readonly facts: ServerFacts | null;
}

interface IncidentEvent {
  /** Since the first bad sign. */
  readonly offsetMs: number;
  readonly text: string;
}

/** `failover`: another server took over; `recovered`: the same one came back; `open`: still without a primary. */
type IncidentOutcome = 'open' | 'failover' | 'recovered';

export interface Incident {
  readonly id: number;
  readonly backend: string;
  readonly outcome: IncidentOutcome;
  readonly firstSign: FirstSign;
  readonly oldPrimary: string;
  readonly newPrimary: string | null;
  readonly epoch: number;
  /** From the first bad sign to losing the primary, and to electing the next; `null` while that has not come. */
  readonly detectedMs: number;
  readonly durationMs: number | null;
  readonly sessionsClosed: number;
  readonly held: { readonly count: number; readonly served: number; readonly maxWaitMs: number };
  /** What the change of the primary may have lost; `null` while the incident is open. It may be revised once the old primary is back. */
  readonly loss: Loss | null;
  /** What each server said at the moment of the decision. */
  readonly evidence: readonly Evidence[];
  readonly events: readonly IncidentEvent[];
  /** What the steps of a runbook wrote or answered meanwhile. */
  readonly outputs: readonly StepOutput[];
}

export interface StepOutput {
  readonly book: string;
  readonly step: string;
  readonly ok: boolean;
  readonly ms: number;
  readonly detail: string;
  readonly output: string;
}

/** What was noted of a run before there was an incident that it belongs to. */
interface Notes {
  readonly events: { readonly at: MonotonicMs; readonly text: string }[];
  readonly outputs: StepOutput[];
}

type Draft = { -readonly [K in keyof Incident]: Incident[K] } & {
  events: IncidentEvent[];
  outputs: StepOutput[];
  startedAt: MonotonicMs;
  endedAt: MonotonicMs | null;
};

interface Suspicion {
  readonly sign: FirstSign;
  readonly at: MonotonicMs;
  readonly events: IncidentEvent[];
}

/** Thousands of sessions are closed in one turn of the event loop; a second is generous. */
const CLOSING_MAX_MS = 1000;

export class IncidentRecorder {
  /** Published when an incident ends with a new primary. */
  readonly ended = new Topic<Incident>();
  /** Published when more is known of the loss of one that has ended. */
  readonly revised = new Topic<Incident>();
  readonly #clock: Clock;
  readonly #incidents: Draft[] = [];
  readonly #suspicions = new Map<string, Suspicion>();
  readonly #losses = new LossWatch();
  readonly #notes = new Map<string, Notes>();
  #lastId = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Newest first. */
  list(): readonly Incident[] {
    return this.#incidents.map(published).reverse();
  }

  observe(change: BackendChange): void {
    this.#losses.observe(change);
    this.#suspect(change);
    if (change.before.primary !== change.after.primary) this.#primaryChanged(change);
    this.#narrate(change);
    this.#reviseLoss(change);
  }

  /** The configuration no longer has the backend: nothing more becomes of what is open. */
  forget(backend: string): void {
    this.#losses.forget(backend);
    this.#suspicions.delete(backend);
    const draft = this.#newestOf(backend);
    if (draft === undefined || draft.endedAt !== null) return;
    const at = this.#clock.now();
    this.#append(draft, at, 'the backend is no longer in the configuration');
    draft.endedAt = at;
  }

  noteSessionsClosed(backend: string, server: string, count: number, why: string): void {
    const draft = this.#newestOf(backend);
    if (draft === undefined || count === 0 || !this.#concerns(draft, server)) return;
    draft.sessionsClosed += count;
    this.#append(draft, this.#clock.now(), `${count} sessions to ${server} closed: ${why}`);
  }

  /** What a runbook does, into the incident that it is about: the open one, else the next, if there is one before the run ends. */
  noteRunbook(backend: string, text: string, output: StepOutput | null = null): void {
    const at = this.#clock.now();
    const draft = this.#newestOf(backend);
    if (draft !== undefined && draft.endedAt === null) {
      this.#append(draft, at, text);
      if (output !== null && draft.outputs.length < INCIDENT_OUTPUTS_MAX) draft.outputs.push(output);
      return;
    }
    const notes = this.#notes.get(backend) ?? { events: [], outputs: [] };
    this.#notes.set(backend, notes);
    if (notes.events.length < INCIDENT_EVENTS_MAX) notes.events.push({ at, text });
    if (output !== null && notes.outputs.length < INCIDENT_OUTPUTS_MAX) notes.outputs.push(output);
  }

  /** Its run is over: what comes later is about something else. What was noted after the incident ended belongs to it too. */
  runbookEnded(backend: string): void {
    const notes = this.#notes.get(backend);
    this.#notes.delete(backend);
    const draft = this.#newestOf(backend);
    if (notes === undefined || draft === undefined || draft.endedAt === null) return;
    if (notes.events.some(({ at }) => at < draft.startedAt)) return;
    this.#add(draft, notes);
  }

  #add(draft: Draft, { events, outputs }: Notes): void {
    for (const { at, text } of events) this.#append(draft, at, text);
    draft.outputs.push(...outputs.slice(0, INCIDENT_OUTPUTS_MAX - draft.outputs.length));
  }

  /** Closed while the incident is open, or by the very change that ended it: later closings have reasons of their own. */
  #concerns({ endedAt, oldPrimary }: Draft, server: string): boolean {
    if (endedAt === null) return true;
    return server === oldPrimary && this.#clock.now() - endedAt <= CLOSING_MAX_MS;
  }

  /** A client's wait has ended; it belongs to the newest incident if it began before that one ended. */
  noteHold(backend: string, waitedMs: number, served: boolean): void {
    const draft = this.#newestOf(backend);
    if (draft === undefined) return;
    const began = this.#clock.now() - waitedMs;
    if (draft.endedAt !== null && began > draft.endedAt) return;
    const { count, served: servedBefore, maxWaitMs } = draft.held;
    draft.held = {
      count: count + 1,
      served: servedBefore + (served ? 1 : 0),
      maxWaitMs: Math.max(maxWaitMs, Math.round(waitedMs)),
    };
  }

  /** Remembers the first bad sign of a primary that still holds; forgets it when the primary is seen well again. */
  #suspect({ before, after, at }: BackendChange): void {
    const server = after.servers.find(view => view.name === before.primary);
    if (server === undefined || server.result === null) return;
    if (isWell(server)) this.#suspicions.delete(after.name);
    else if (!this.#suspicions.has(after.name)) {
      const known = before.servers.find(({ name }) => name === server.name)?.result ?? null;
      const sign = signOf(server.name, server.result);
      const detail = known === null ? `so it was when Pointsman started: ${sign.detail}` : sign.detail;
      this.#suspicions.set(after.name, { sign: { ...sign, detail }, at, events: [] });
    }
  }

  #primaryChanged({ before, after, at }: BackendChange): void {
    if (before.primary !== null) this.#open(before.primary, after, at);
    if (after.primary !== null) this.#close(after, after.primary, at);
  }

  #open(oldPrimary: string, after: BackendView, at: MonotonicMs): void {
    const suspicion = this.#suspicions.get(after.name) ?? this.#suddenly(oldPrimary, after, at);
    this.#suspicions.delete(after.name);
    this.#incidents.push({
      id: ++this.#lastId,
      backend: after.name,
      outcome: 'open',
      firstSign: suspicion.sign,
      oldPrimary,
      newPrimary: null,
      epoch: after.epoch,
      detectedMs: Math.round(at - suspicion.at),
      durationMs: null,
      sessionsClosed: 0,
      held: { count: 0, served: 0, maxWaitMs: 0 },
      loss: null,
      evidence: evidenceOf(after, at),
      events: [...suspicion.events],
      outputs: [],
      startedAt: suspicion.at,
      endedAt: null,
    });
    if (this.#incidents.length > INCIDENTS_MAX) this.#incidents.shift();
    const notes = this.#notes.get(after.name);
    const draft = this.#newestOf(after.name);
    if (notes === undefined || draft === undefined) return;
    this.#notes.delete(after.name);
    this.#add(draft, notes);
  }

  /** The primary changed without a bad sign of the old one: an operator took it out, or another proved to be newer. */
  #suddenly(oldPrimary: string, after: BackendView, at: MonotonicMs): Suspicion {
    const old = after.servers.find(({ name }) => name === oldPrimary);
    const detail =
      old?.admin === 'maintenance'
        ? `an operator put ${oldPrimary} in maintenance`
        : (after.reasons[0] ?? 'another server was elected');
    return { sign: { server: oldPrimary, code: 'L7OK', detail, wallAt: this.#clock.wall() }, at, events: [] };
  }

  #close(after: BackendView, newPrimary: string, at: MonotonicMs): void {
    const draft = this.#newestOf(after.name);
    if (draft === undefined || draft.endedAt !== null) return;
    draft.outcome = newPrimary === draft.oldPrimary ? 'recovered' : 'failover';
    draft.newPrimary = newPrimary;
    draft.epoch = after.epoch;
    draft.durationMs = Math.round(at - draft.startedAt);
    draft.evidence = evidenceOf(after, at);
    draft.endedAt = at;
    draft.loss = this.#losses.assess(after.name, draft.oldPrimary, draft.startedAt);
    this.ended.publish(published(draft));
  }

  /** The old primary is back and tells how far it really was, or the new one has got what it lacked. */
  #reviseLoss(change: BackendChange): void {
    const draft = this.#newestOf(change.after.name);
    if (draft === undefined || draft.loss === null || draft.endedAt === change.at) return;
    const loss = this.#losses.revise(change, draft.loss);
    if (loss === null) return;
    draft.loss = loss;
    this.#append(draft, change.at, `loss: ${loss.words}`);
    this.revised.publish(published(draft));
  }

  /** Writes what changed, in words, into the incident that is open or still only suspected. */
  #narrate(change: BackendChange): void {
    const sentences = describeChange(change);
    if (sentences.length === 0) return;
    const draft = this.#newestOf(change.after.name);
    const suspicion = this.#suspicions.get(change.after.name);
    for (const text of sentences) {
      if (draft !== undefined && (draft.endedAt === null || draft.endedAt === change.at)) {
        this.#append(draft, change.at, text);
      } else if (suspicion !== undefined && suspicion.events.length < INCIDENT_EVENTS_MAX) {
        suspicion.events.push({ offsetMs: Math.round(change.at - suspicion.at), text });
      }
    }
  }

  #append(draft: Draft, at: MonotonicMs, text: string): void {
    if (draft.events.length < INCIDENT_EVENTS_MAX) {
      draft.events.push({ offsetMs: Math.round(at - draft.startedAt), text });
    }
  }

  #newestOf(backend: string): Draft | undefined {
    return this.#incidents.findLast(draft => draft.backend === backend);
  }
}

function published({ startedAt: _startedAt, endedAt: _endedAt, ...incident }: Draft): Incident {
  return { ...incident, events: [...incident.events], outputs: [...incident.outputs] };
}

function isWell(server: ServerView): boolean {
  const facts = factsOf(server.result);
  return facts !== null && facts.role === 'primary' && facts.writable;
}

function signOf(server: string, result: ProbeResult): FirstSign {
  return { server, code: result.code, detail: result.detail, wallAt: result.wallAt };
}

function evidenceOf(view: BackendView, now: MonotonicMs): readonly Evidence[] {
  return view.servers.map(({ name, health, result, lastAnswer }) => ({
    server: name,
    health: health.kind,
    code: result?.code ?? null,
    detail: result?.detail ?? 'never asked',
    ageMs: result === null ? null : Math.round(now - result.at),
    facts: lastAnswer?.facts ?? null,
  }));
}
