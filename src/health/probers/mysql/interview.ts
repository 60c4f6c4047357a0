// All that a probe asks of one session: once, what the server knows of; then, at every probe, its variables, its cluster and
// its replication, and the operator's own SQL. Not the sockets (session.ts), not the meaning (facts.ts). Used by the prober.

import { type CheckConfig } from '../../../config/schema.ts';
import { failure, type Failure, timeoutFailure } from '../failures.ts';
import { saysYes } from '../own-sql.ts';
import { type Interview as SessionInterview } from '../session-prober.ts';
import { type Part } from '../verdict.ts';
import { channelQuestions, isMariadb, readChannels } from './channels.ts';
import {
  galeraMembership,
  galeraNotReady,
  galeraUnsettled,
  GALERA_QUESTION,
  GALERA_READY_QUESTION,
  groupMembership,
  GROUP_QUESTION,
  isGaleraNode,
  isGroupMember,
  type Membership,
} from './clusters.ts';
import { type Rows } from './driver.ts';
import { readFacts, type Reading } from './facts.ts';
import { NO_PRIVILEGE } from './failures.ts';
import { Session, type SessionOptions } from './session.ts';
import {
  NAMES_QUESTION,
  pairsOf,
  sessionSettings,
  textsOf,
  variablesQuestion,
  type Texts,
} from './variables.ts';

const SYNTAX_ERROR = 1064;
const TABLE_DENIED = 1142;
/** "WSREP has not yet prepared node for application use". */
const NOT_PREPARED = 1047;

/** Thrown and caught in this file only: the first failure ends the questions. */
class Stop {
  readonly failure: Failure;

  constructor(reason: Failure) {
    this.failure = reason;
  }
}

type InterviewCheck = CheckConfig<'mysql'>;

/** One session, and what has been learnt over it. */
export class Interview implements SessionInterview {
  readonly #session: Session;
  readonly #check: InterviewCheck;
  #variables: string | null = null;
  /** What replication is asked by; `null`: it may not be seen. */
  #channels: readonly string[] | null = [];
  /** Of a Galera cluster. */
  #clusterId: string | null = null;
  /** It refused a statement when it was last asked. */
  #refuses = false;
  #onOwnSql = false;

  constructor(
    options: SessionOptions & { readonly check: InterviewCheck },
    onIdleLoss: (detail: string) => void,
  ) {
    this.#check = options.check;
    this.#session = new Session(options, onIdleLoss);
  }

  get hasEnded(): boolean {
    return this.#session.phase === 'ended';
  }

  get mustBeWaitedFor(): boolean {
    return this.#session.amidHandshake;
  }

  end(reason: Failure): void {
    this.#session.end(reason);
  }

  /** What it means that there is no answer by now. */
  timeout(): Failure {
    const { timeoutMs } = this.#check;
    // The server itself is alive, it has just answered.
    if (this.#onOwnSql) return failure('L7STS', `check.writable: no answer within ${timeoutMs} ms`);
    return timeoutFailure(this.#session.phase, timeoutMs);
  }

  /** Never rejects. */
  async ask(): Promise<Part> {
    this.#onOwnSql = false;
    try {
      return await this.#questions();
    } catch (thrown) {
      if (!(thrown instanceof Stop)) throw thrown;
      return { kind: 'failed', failure: thrown.failure, alive: this.#session.phase === 'idle' };
    }
  }

  async #questions(): Promise<Part> {
    // An open session is asked in this very turn: a stall of our event loop must not delay the question itself.
    if (this.#session.phase !== 'idle') {
      const refused = await this.#session.opened();
      if (refused !== null) throw new Stop(refused);
    }
    const variables = await this.#one(this.#variables ?? (await this.#prepare()));
    const membership = await this.#membership(variables);
    const channels = await this.#channelRows();
    const { facts, remark } = readFacts({
      version: this.#session.version,
      variables,
      membership,
      channels: channels === null ? null : readChannels(channels, variables),
    });
    const { writable } = this.#check;
    // A read-only server isn't asked: it takes no writes whatever the SQL says, and may well be one that can't run it.
    if (writable === null || !facts.writable) return { kind: 'answered', facts, remark };
    return this.#ruled({ facts, remark }, await this.#ownSql(writable));
  }

  /** Learns which variables there are, and sets up the session. */
  async #prepare(): Promise<string> {
    const known = new Set(pairsOf((await this.#rows(NAMES_QUESTION)).rows).keys());
    if (!known.has('read_only')) throw new Stop(failure('L7RSP', 'a server without the variable read_only'));
    await this.#must(sessionSettings(known, this.#check.timeoutMs));
    this.#channels = channelQuestions(this.#session.version);
    this.#variables = variablesQuestion(known);
    return this.#variables;
  }

  async #membership(variables: Texts): Promise<Membership | null> {
    if (isGaleraNode(variables)) return this.#galera(variables);
    if (isMariadb(this.#session.version) || !isGroupMember(variables)) return null;
    const members = await this.#session.ask(GROUP_QUESTION);
    if (members.kind === 'failed') {
      if (members.errno !== TABLE_DENIED) throw new Stop(members.failure);
      return groupMembership(null, variables);
    }
    return groupMembership(allTexts(members.answer), variables);
  }

  /** A node that leaves its cluster refuses statements at once, but may take a second to tell its status: bad news goes first. */
  async #galera(variables: Texts): Promise<Membership> {
    const asked = await this.#session.ask(GALERA_READY_QUESTION);
    const refuses = asked.kind === 'failed' && asked.errno === NOT_PREPARED;
    if (asked.kind === 'failed' && !refuses) throw new Stop(asked.failure);
    const isNews = refuses && !this.#refuses;
    this.#refuses = refuses;
    if (isNews) return galeraNotReady(this.#clusterId);
    const status = pairsOf((await this.#rows(GALERA_QUESTION)).rows);
    const unsettled = galeraUnsettled(status);
    if (unsettled !== null) throw new Stop(failure('L7START', unsettled));
    const membership = galeraMembership(status, variables);
    this.#clusterId = membership.id;
    return refuses && membership.role !== 'none' ? galeraNotReady(membership.id) : membership;
  }

  async #channelRows(): Promise<readonly Texts[] | null> {
    for (const question of this.#channels ?? []) {
      const asked = await this.#session.ask(question);
      if (asked.kind === 'rows') {
        this.#channels = [question];
        return allTexts(asked.answer);
      }
      if (asked.errno === NO_PRIVILEGE) {
        // Asked again with the next session: the right may be granted meanwhile.
        this.#channels = null;
      } else if (asked.errno !== SYNTAX_ERROR) {
        throw new Stop(asked.failure);
      }
    }
    return null;
  }

  /** The first value of the first row; `undefined` where there is none. */
  async #ownSql(sql: string): Promise<Uint8Array | null | undefined> {
    this.#onOwnSql = true;
    const asked = await this.#session.ask(sql);
    this.#onOwnSql = false;
    if (asked.kind === 'rows') return asked.answer?.rows[0]?.[0];
    // An error of the operator's SQL says nothing of the server, whatever its number would mean at a login; nor does an
    // answer that isn't read here. A session that was lost amid it is lost all the same.
    const { code, detail } = asked.failure;
    const isOfServer = this.#session.phase !== 'idle' && code !== 'L7RSP';
    throw new Stop(isOfServer ? asked.failure : failure('L7STS', `check.writable: ${detail}`));
  }

  /** The SQL decides who of several that take writes is the primary; the others are replicas to us. */
  #ruled({ facts, remark }: Reading, value: Uint8Array | null | undefined): Part {
    if (saysYes(value)) {
      const { history, channels } = facts;
      const apart = this.#channels !== null && channels.length === 0 && history?.kind === 'gtid';
      return {
        kind: 'answered',
        facts: apart ? { ...facts, history: { ...history, apart } } : facts,
        remark,
      };
    }
    const words = 'check.writable says no';
    return {
      kind: 'answered',
      facts: { ...facts, role: 'replica', writable: false },
      remark: remark === null ? words : `${words}; ${remark}`,
    };
  }

  async #one(sql: string): Promise<Texts> {
    const { columns, rows } = await this.#rows(sql);
    const [row] = rows;
    if (row === undefined) throw new Stop(failure('L7RSP', 'an answer without a row'));
    return textsOf(columns, row);
  }

  async #rows(sql: string): Promise<Rows> {
    const answer = await this.#must(sql);
    if (answer === null) throw new Stop(failure('L7RSP', 'an answer without rows'));
    return answer;
  }

  async #must(sql: string): Promise<Rows | null> {
    const asked = await this.#session.ask(sql);
    if (asked.kind === 'failed') throw new Stop(asked.failure);
    return asked.answer;
  }
}

function allTexts(answer: Rows | null): readonly Texts[] {
  return answer === null ? [] : answer.rows.map(row => textsOf(answer.columns, row));
}
