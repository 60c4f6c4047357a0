// One Sentinel, asked over a session that stays open: which server is the primary of a service, and which are its replicas.
// A second session listens to what it publishes, so that a failover is known as it happens and not at the next question.
// Not a prober (a Sentinel isn't a server of the backend) and no opinion: topology/sources/sentinel.ts weighs the answers.
// Made by app/orchestrators.ts, one for each address. Commands: redis.io, "High availability with Redis Sentinel".

import { formatAddress, type Address } from '../../../core/address.ts';
import { type SentinelConfig } from '../../../config/schema.ts';
import { type Clock } from '../../../core/clock.ts';
import { readCount, readPairs, type Fields } from '../../../protocol/redis/fields.ts';
import { type Reply } from '../../../protocol/redis/reply.ts';
import { Asking, type Round } from '../../asking.ts';
import { type SentinelAnswer } from '../../result.ts';
import { failure, type Failure, timeoutFailure } from '../failures.ts';
import { replyFailure } from '../redis/failures.ts';
import { Session } from '../redis/session.ts';

export interface SentinelClientOptions {
  readonly address: Address;
  readonly sentinel: Pick<SentinelConfig, 'master' | 'user' | 'password' | 'tls'>;
  /** Between two questions while all is well. */
  readonly intervalMs: number;
  /** While a failover is under way, or it can't be heard. */
  readonly fastIntervalMs: number;
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** Told after each question: the answer, or why there is none. */
export type SentinelHeard = (answer: SentinelAnswer | null, detail: string) => void;

/** Flags of a primary: seen as down by this Sentinel, by a quorum, or being replaced. */
const doubts = ['s_down', 'o_down', 'failover_in_progress'];

const closing = failure('L4LOST', 'the question was ended');

export class SentinelClient {
  readonly #options: SentinelClientOptions;
  readonly #heard: SentinelHeard;
  #session: Session | null = null;
  #ear: Session | null = null;
  /** The ear is subscribed. */
  #listening = false;
  readonly #asking: Asking;

  constructor(options: SentinelClientOptions, heard: SentinelHeard) {
    this.#options = options;
    this.#heard = heard;
    this.#asking = new Asking(options.clock, () => this.#ask());
  }

  start(): void {
    this.#listen();
    this.#asking.start();
  }

  stop(): void {
    this.#asking.stop();
    this.#session?.end(closing);
    this.#ear?.end(closing);
  }

  /** At once, or as soon as the question under way is answered. */
  askNow(): void {
    this.#asking.askNow();
  }

  async #ask(): Promise<Round> {
    const { timeoutMs, intervalMs, fastIntervalMs } = this.#options;
    const kept = this.#session;
    const session: Session = kept ?? this.#connect(() => this.#lost(session));
    this.#session = session;
    const limit = this.#limit(session, timeoutMs);
    const answer = await this.#question(session);
    limit();
    if (session.phase === 'ended') this.#session = null;
    // An open session that was lost amid the question shows only that; a new one tells whether the Sentinel is gone.
    const lost = 'code' in answer && kept !== null && answer.code === 'L4LOST';
    if (lost && !this.#asking.isStopped) return this.#ask();
    const tell = (): void => {
      if ('code' in answer) return this.#heard(null, answer.detail);
      this.#heard(answer, '');
      if (!this.#listening) this.#listen();
    };
    const moving = !('code' in answer) && (answer.doubts || !this.#listening);
    return { pauseMs: moving ? fastIntervalMs : intervalMs, tell };
  }

  async #question(session: Session): Promise<SentinelAnswer | Failure> {
    if (session.phase !== 'idle') {
      const refused = await session.opened();
      if (refused !== null) return refused;
    }
    const { master } = this.#options.sentinel;
    const asked = await session.ask(
      ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', master],
      ['SENTINEL', 'MASTER', master],
      ['SENTINEL', 'REPLICAS', master],
    );
    return asked.kind === 'failed' ? asked.failure : readSentinelAnswer(asked.replies, master);
  }

  /** Ends the session after the time for one question; returns how to call that off. */
  #limit(session: Session, timeoutMs: number): () => void {
    const { clock } = this.#options;
    let timer = clock.schedule(timeoutMs, () => {
      timer = clock.afterInput(() => session.end(timeoutFailure(session.phase, timeoutMs)));
    });
    return () => timer.cancel();
  }

  #connect(lost: (detail: string) => void, message?: (reply: Reply) => void): Session {
    const { address, sentinel, clock } = this.#options;
    const { user, password, tls } = sentinel;
    const events = message === undefined ? { lost } : { lost, message };
    return new Session({ address, user, password, tls, clock }, events);
  }

  /** A Sentinel that hung up is asked again at once, which tells whether it is gone. */
  #lost(session: Session): void {
    if (this.#session !== session) return;
    this.#session = null;
    this.askNow();
  }

  #listen(): void {
    if (this.#ear !== null) return;
    const ear = this.#connect(
      () => this.#deaf(ear),
      // What exactly happened tells the answer; messages about other services cost one question.
      () => this.askNow(),
    );
    this.#ear = ear;
    const limit = this.#limit(ear, this.#options.timeoutMs);
    void this.#subscribe(ear).then(subscribed => {
      limit();
      if (this.#ear !== ear) return;
      if (!subscribed) return this.#deaf(ear);
      this.#listening = true;
      // What happened before it listened is heard of no other way.
      this.askNow();
    });
  }

  async #subscribe(ear: Session): Promise<boolean> {
    if ((await ear.opened()) !== null) return false;
    const asked = await ear.ask(['PSUBSCRIBE', '*']);
    return asked.kind === 'replies' && asked.replies[0]?.kind === 'list';
  }

  /** It is tried again with the next answer of this Sentinel. */
  #deaf(ear: Session): void {
    ear.end(closing);
    if (this.#ear !== ear) return;
    this.#ear = null;
    if (this.#listening) {
      this.#listening = false;
      this.askNow();
    }
  }
}

/** The replies to the three commands of a question. */
function readSentinelAnswer(replies: readonly Reply[], master: string): SentinelAnswer | Failure {
  const [named, state, list] = replies;
  if (named?.kind === 'null') return failure('L7STS', `it watches no service called ${master}`);
  const error = replies.find(reply => reply.kind === 'error');
  if (error?.kind === 'error') return replyFailure(error.text);
  const [host, port] = named?.kind === 'list' ? named.items : [];
  const primary = readAddress(textOf(host), textOf(port));
  const fields = readPairs(state);
  const flags = fields.get('flags')?.split(',');
  if (primary === null || flags === undefined || list?.kind !== 'list') {
    return failure('L7RSP', 'an answer that is none of a Sentinel');
  }
  return {
    primary,
    configEpoch: readCount(fields.get('config-epoch')) ?? 0,
    runId: fields.get('runid') || null,
    doubts: doubts.some(flag => flags.includes(flag)),
    replicas: membersIn([fields, ...list.items.map(readPairs)], primary),
  };
}

/** All that it lists but the primary it names: amid a failover the old one is still listed as the primary. */
function membersIn(instances: readonly Fields[], primary: Address): readonly Address[] {
  return instances.flatMap(fields => {
    const address = readAddress(fields.get('ip'), fields.get('port'));
    return address === null || formatAddress(address) === formatAddress(primary) ? [] : [address];
  });
}

const textOf = (reply: Reply | undefined): string | undefined =>
  reply?.kind === 'text' ? reply.text : undefined;

function readAddress(host: string | undefined, port: string | undefined): Address | null {
  const number = readCount(port);
  if (host === undefined || host === '' || number === null || number < 1 || number > 65_535) return null;
  return { host, port: number };
}
