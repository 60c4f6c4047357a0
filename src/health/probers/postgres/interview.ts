// All that a probe asks of one session: the built-in question, and after it the operator's own SQL where there is some.
// Not the sockets (session.ts) and not what two sessions together mean (verdict.ts). Used by the prober beside it.

import { type CheckConfig } from '../../../config/schema.ts';
import { type ServerFacts } from '../../result.ts';
import { failure, type Failure, timeoutFailure } from '../failures.ts';
import { saysYes } from '../own-sql.ts';
import { QUESTION, readFacts } from './question.ts';
import { Session, type Row, type SessionOptions } from './session.ts';
import { type Interview as SessionInterview } from '../session-prober.ts';
import { type Part } from '../verdict.ts';

export type InterviewOptions = SessionOptions & { readonly check: CheckConfig<'postgres'> };

/** One session, and how far its questions have come. */
export class Interview implements SessionInterview {
  readonly #session: Session;
  readonly #check: CheckConfig<'postgres'>;
  /** The server has answered the built-in question and is asked the operator's. */
  #onOwnSql = false;

  constructor(options: InterviewOptions, onIdleLoss: (detail: string) => void) {
    this.#check = options.check;
    this.#session = new Session(options, onIdleLoss);
  }

  readonly mustBeWaitedFor = false;

  get hasEnded(): boolean {
    return this.#session.phase === 'ended';
  }

  end(reason: Failure): void {
    this.#session.end(reason);
  }

  timeout(): Failure {
    const { timeoutMs } = this.#check;
    return this.#onOwnSql ? ownSqlTimeout(timeoutMs) : timeoutFailure(this.#session.phase, timeoutMs);
  }

  async ask(): Promise<Part> {
    const session = this.#session;
    const ownSql = this.#check.writable;
    this.#onOwnSql = false;
    // An open session is asked in this very turn: a stall of our event loop must not delay the question itself.
    if (session.phase !== 'idle') {
      const refused = await session.opened();
      if (refused !== null) return { kind: 'failed', failure: refused, alive: false };
    }
    let asked = await session.ask(QUESTION);
    // A promotion or a torn read of the control file can fail one query; the next one tells.
    if (asked.kind === 'failed' && asked.failure.code === 'L7STS' && session.phase === 'idle') {
      asked = await session.ask(QUESTION);
    }
    if (asked.kind === 'failed') return failedPart(asked.failure, session);
    if (asked.first === null || asked.count > 1) {
      return failedPart(failure('L7RSP', `an answer of ${asked.count} rows`), session);
    }
    const facts = readFacts(asked.first, session.version);
    if (typeof facts === 'string') return failedPart(failure('L7RSP', facts), session);
    // In recovery it takes no writes, whatever the SQL says; and there it may well be one that can't be run.
    if (ownSql === null || facts.role === 'replica') return { kind: 'answered', facts };
    this.#onOwnSql = true;
    const own = await session.ask(ownSql);
    if (own.kind === 'failed') return failedPart(ownSqlFailure(own.failure, session), session);
    const decided = ruled(facts, own.first);
    return { kind: 'answered', facts: decided, remark: decided === facts ? null : 'check.writable says no' };
  }
}

/**
 * The SQL decides who of several that take writes is the primary; one that is read-only isn't made writable by it.
 * The others are replicas to us, whatever keeps them in step.
 */
export function ruled(facts: ServerFacts, row: Row | null): ServerFacts {
  return saysYes(row?.[0]) ? facts : { ...facts, role: 'replica', writable: false };
}

/** Own SQL that is still unanswered when the time is up: the server itself is alive, it has just answered. */
function ownSqlTimeout(timeoutMs: number): Failure {
  return failure('L7STS', `check.writable: no answer within ${timeoutMs} ms`);
}

/**
 * An error of the operator's SQL says nothing of the server, whatever its code would mean at a login; nor does an answer
 * that isn't read here (COPY, a row of megabytes). A session that was lost amid it is lost all the same.
 */
function ownSqlFailure(reason: Failure, session: Session): Failure {
  const isOfServer = session.phase !== 'idle' && reason.code !== 'L7RSP' && reason.code !== 'L7STS';
  return isOfServer ? reason : failure('L7STS', `check.writable: ${reason.detail}`);
}

function failedPart(reason: Failure, session: Session): Part {
  return { kind: 'failed', failure: reason, alive: session.phase === 'idle' };
}
