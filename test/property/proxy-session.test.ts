// A small world of servers, clients and probes, driven by random events, in which the real session, router, hold,
// registry and failover order run. After every step the safety rules are checked against the world itself.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Protocol, type Route } from '../../src/config/schema.ts';
import { HELD_CLIENT_MAX_BYTES } from '../../src/core/limits.ts';
import { applyChange, type ChangeListener } from '../../src/proxy/failover.ts';
import { HoldQueue } from '../../src/proxy/hold.ts';
import { SessionRegistry, type JoinedSession } from '../../src/proxy/registry.ts';
import { decide, hasServer, type RoutePolicy } from '../../src/proxy/router.ts';
import {
  type Progress,
  type SessionAction,
  type SessionEvent,
  type SessionState,
} from '../../src/proxy/session-model.ts';
import { newSession, step } from '../../src/proxy/session.ts';
import { Suspects } from '../../src/proxy/suspects.ts';
import { type ProbeResult } from '../../src/health/result.ts';
import { type BackendView, type ServerView } from '../../src/topology/model.ts';
import { cancelPacket, sslRequest, startupPacket } from '../support/tcp-packets.ts';
import { joined } from '../support/joined.ts';
import { backend, fail, FRESHNESS_MS, pass, passReplica, server, up } from '../support/views.ts';

const SERVERS = ['pg1', 'pg2', 'pg3'];
const HOLD_MAX = 4;

interface Client {
  readonly id: number;
  state: SessionState;
  deadline: number | null;
  dial: { readonly number: number; readonly server: string; readonly port: number } | null;
  /** Aborted dials that may still report. */
  readonly ghosts: number[];
  joined: JoinedSession | null;
  joinedPort: number;
  /** What it sent before it had a server; how much of it and since; whether it has ended its half. */
  said: string;
  sent: number;
  ended: boolean;
  /** Bytes of the server that it is joined to. */
  heard: number;
  repeats: number;
  closes: number;
  inHold: boolean;
}

class World implements ChangeListener {
  now = 0;
  view: BackendView = backend(
    SERVERS.map(name => server(name, null)),
    { epoch: 0 },
  );
  readonly registry = new SessionRegistry();
  readonly hold = new HoldQueue<Client>(() => HOLD_MAX);
  readonly clients: Client[] = [];
  readonly suspects = new Suspects();
  readonly #policy: RoutePolicy;
  readonly protocol: Protocol;
  #turn = 0;
  #held = 0;
  splices = 0;
  answers = 0;
  repeats = 0;

  constructor(protocol: Protocol, route: Route) {
    this.protocol = protocol;
    this.#policy = {
      route,
      balance: 'roundrobin',
      limits: [],
      synchronousOnly: false,
      zone: null,
      isFallbackCapped: false,
    };
  }

  accept(refuse: 'max-connections' | null): void {
    const client: Client = {
      id: this.clients.length,
      state: newSession,
      deadline: null,
      dial: null,
      ghosts: [],
      joined: null,
      joinedPort: 0,
      said: '',
      sent: 0,
      ended: false,
      heard: 0,
      repeats: 0,
      closes: 0,
      inHold: false,
    };
    this.clients.push(client);
    this.tell(client, { kind: 'accepted', at: this.now, refuse, announces: false });
  }

  tell(client: Client, event: SessionEvent): void {
    const rules = { ...this.#policy, protocol: this.protocol, holdMs: 1000, connectTimeoutMs: 200 };
    if (event.kind === 'received') {
      client.said += Buffer.from(event.bytes).toString('latin1');
      client.sent += event.bytes.length;
    }
    if (event.kind === 'client-ended') client.ended = true;
    const { state, actions } = step(client.state, event, rules);
    client.state = state;
    const follow = actions.flatMap(action => this.#perform(client, action));
    for (const next of follow) this.tell(client, next);
  }

  #perform(client: Client, action: SessionAction): SessionEvent[] {
    const at = this.now;
    assert.equal(client.closes, 0, 'nothing is done after the close');
    switch (action.kind) {
      case 'route': {
        this.#turn += 1;
        const draws = [0, 0] as const;
        const context = { turn: this.#turn, load: () => 0, draws, client: '::1', now: at, slowStartMs: 0 };
        const wait = !action.waited && this.hold.size > 0;
        const decision = wait
          ? { kind: 'hold' as const }
          : decide(
              this.#policy,
              this.view,
              at,
              server => this.#isDoubted(server),
              () => context,
            );
        if (decision.kind === 'candidates') {
          const { servers } = decision;
          const firstDoubted = servers.findIndex(server => this.#isDoubted(server));
          assert.ok(
            firstDoubted === -1 || servers.slice(firstDoubted).every(server => this.#isDoubted(server)),
            'the doubted come last',
          );
        }
        return [{ kind: 'routed', at, decision, epoch: this.view.epoch }];
      }
      case 'hold':
        if (action.pause) this.hold.pause(at);
        if (action.again) this.hold.giveBack(client);
        else if (!this.hold.join(client)) return [{ kind: 'hold-full', at }];
        else {
          this.#held += 1;
          client.inHold = true;
        }
        return [];
      case 'unhold':
        assert.ok(client.inHold, 'only a held client leaves the hold');
        client.inHold = false;
        this.#held -= 1;
        assert.ok(this.#held >= 0);
        if (action.outcome === 'served') this.hold.connected(client, at);
        else this.hold.leave(client);
        return [];
      case 'dial':
        assert.equal(client.dial, null, 'one dial at a time');
        client.dial = {
          number: action.dial,
          server: action.target.name,
          port: action.target.address.port,
        };
        return [];
      case 'abort-dial':
        assert.equal(client.dial?.number, action.dial);
        client.ghosts.push(action.dial);
        client.dial = null;
        return [];
      case 'relay':
        if (client.said.length < HELD_CLIENT_MAX_BYTES) {
          assert.equal(
            Buffer.from(action.first).toString('latin1'),
            client.said,
            'every server gets all of it',
          );
        }
        this.#join(client, action.target.name, action.target.address.port);
        return [];
      case 'unjoin': {
        const { joined, heard, sent, said, ended } = client;
        assert.ok(joined !== null, 'who is parted was joined');
        assert.equal(this.protocol, 'http');
        assert.ok(said === wholeGet.toString() || said === wholeHead.toString(), 'only what changes nothing');
        assert.deepEqual({ heard, sent, ended }, { heard: 0, sent: said.length, ended: false });
        client.repeats += 1;
        assert.ok(client.repeats <= SERVERS.length);
        this.repeats += 1;
        this.registry.remove(joined);
        client.joined = null;
        this.suspects.of('app', joined.server).failed(at);
        return [];
      }
      case 'deadline':
        client.deadline = action.at;
        return [];
      case 'close':
        client.closes += 1;
        assert.equal(client.dial, null, 'no dial outlives its client');
        assert.equal(client.inHold, false, 'no wait outlives its client');
        assert.equal(client.joined !== null, action.outcome.kind === 'session');
        if (client.joined !== null) this.registry.remove(client.joined);
        client.joined = null;
        if (action.mode === 'answer') this.#answered(client);
        return [];
      default:
        return [];
    }
  }

  #isDoubted(server: ServerView): boolean {
    return this.#policy.route !== 'primary' && this.suspects.isDoubted(server, this.view, this.now);
  }

  #answered({ said, joined }: Client): void {
    assert.equal(joined, null, 'nobody is told no after yes');
    if (this.protocol === 'tcp') assert.fail('nobody knows what the client would understand');
    if (this.protocol !== 'mysql') assert.ok(said !== '', 'who has not asked is not answered');
    this.answers += 1;
  }

  /** The rules of design, in the words of the world: not through the code that is to keep them. */
  #join(client: Client, name: string, port: number): void {
    const { route } = this.#policy;
    client.dial = null;
    client.joinedPort = port;
    client.heard = 0;
    this.splices += 1;
    const target = this.view.servers.find(view => view.name === name);
    assert.equal(target?.address.port, port, 'the name still stands for the address that was dialed');
    assert.ok(
      target?.result?.code === 'L7OK' && target.health.kind === 'up',
      'the newest result is an answer',
    );
    assert.ok(this.now - target.result.at <= FRESHNESS_MS, 'the newest result is fresh');
    if (route === 'primary') {
      assert.ok(target.result.facts.writable, 'rule 1: writable');
      assert.equal(name, this.view.primary, 'rule 2: the one primary');
      const elsewhere = this.clients.filter(other => other.joined !== null && other.joined.server !== name);
      assert.deepEqual(elsewhere, [], 'rule 3: old sessions are closed before');
    }
    if (route === 'replica') assert.equal(target.result.facts.role, 'replica');
    client.joined = joined({
      server: name,
      route,
      evict: reason => {
        this.tell(client, { kind: 'evicted', at: this.now, reason, ...progress(client) });
        return client.closes > 0;
      },
    });
    this.registry.add(client.joined);
  }

  snapshotChanged(): void {
    for (const client of this.clients) {
      if (client.dial !== null)
        this.tell(client, { kind: 'snapshot-changed', at: this.now, view: this.view });
    }
  }

  release(): void {
    if (!hasServer(this.#policy, this.view, this.now)) return;
    for (const client of this.hold.take(this.now)) this.tell(client, { kind: 'released', at: this.now });
  }

  change(
    results: readonly (ProbeResult | null)[],
    primary: number | null,
    left: number | null,
    moved: number | null,
  ): void {
    const name = primary === null ? null : (SERVERS[primary] ?? null);
    const all = SERVERS.map((server_, index) => {
      const result = results[index] ?? null;
      const doubtful = result?.code === 'L7BUSY' || result?.code === 'L7TOUT';
      const view = server(server_, result, doubtful ? up : undefined);
      return moved === index ? { ...view, address: { ...view.address, port: 6000 } } : view;
    });
    const servers = all.filter((_, index) => index !== left || index === primary);
    const epoch = this.view.epoch + (name === this.view.primary ? 0 : 1);
    const before = this.view;
    this.view = backend(servers, { primary: name, epoch });
    const onOldPrimary = this.clients.filter(({ joined }) => joined?.server === before.primary);
    applyChange({ before, after: this.view }, this.registry, [this], () => undefined);
    if (before.primary !== name) {
      const still = onOldPrimary.filter(({ joined }) => joined?.server === before.primary);
      assert.ok(
        before.primary === null || still.length === 0,
        'rule 3: every session to the old primary is closed',
      );
    }
    for (const { joined, joinedPort } of this.clients) {
      if (joined === null) continue;
      const member = this.view.servers.find(({ name: of }) => of === joined.server);
      assert.equal(member?.address.port, joinedPort, 'no session outlives the membership of its server');
      assert.notEqual(member.health.kind, 'down', 'no session outlives the mark-down of its server');
      if (joined.route === 'primary') assert.equal(joined.server, name, 'no writer outlives a demotion');
    }
  }
}

const progress = ({ sent, heard }: Client): Progress => ({ fromClient: sent, fromServer: heard });

const result = fc.constantFrom('writer', 'replica', 'lost', 'busy', 'slow', 'unheard');
const pick = fc.nat();
/** Of the servers, one at most. */
const seldom = fc.constantFrom(0, 1, 2, ...Array<null>(9).fill(null));
const happening = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('accept' as const),
      over: fc.constantFrom(true, ...Array<boolean>(5).fill(false)),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('packet' as const), pick, which: fc.nat(6) }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('dialed' as const), pick, good: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('ghost' as const), pick }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('client' as const), pick, reset: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('server' as const), pick, reset: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('traffic' as const), pick, down: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.constantFrom(1, 10, 100, 1100, 3000) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('release' as const) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('change' as const),
      results: fc.tuple(result, result, result),
      primary: fc.option(fc.nat(2)),
      left: seldom,
      moved: seldom,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('shutdown' as const) }) },
);
type Happening = typeof happening extends fc.Arbitrary<infer T> ? T : never;

function probed(word: string, at: number): ProbeResult | null {
  switch (word) {
    case 'writer':
      return pass({}, at);
    case 'replica':
      return passReplica({}, at);
    case 'lost':
      return fail('L4CON', at);
    case 'busy':
      return fail('L7BUSY', at);
    case 'slow':
      return fail('L7TOUT', at);
    default:
      return null;
  }
}

const hello = startupPacket();
const wholeGet = Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
const wholeHead = Buffer.from('HEAD / HTTP/1.0\r\n\r\n');
const packets = [
  hello,
  hello,
  sslRequest,
  hello.subarray(0, 5),
  cancelPacket(1, 2),
  Buffer.from('GET /'),
  Buffer.from([0x16, 3, 1]),
];
const post = Buffer.from('POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n');
const requests = [wholeGet, wholeGet, wholeGet, wholeHead, wholeHead, post, Buffer.from('GET /')];

function happen(world: World, event: Happening): void {
  const at = world.now;
  const among = (kind: (client: Client) => boolean, index: number): Client | undefined => {
    const matching = world.clients.filter(kind);
    return matching[index % Math.max(1, matching.length)];
  };
  switch (event.kind) {
    case 'accept':
      return world.accept(event.over ? 'max-connections' : null);
    case 'packet': {
      const client = among(
        ({ state }) => ['greeting', 'refusing', 'holding', 'dialing'].includes(state.kind),
        event.pick,
      );
      const bytes = (world.protocol === 'http' ? requests : packets)[event.which];
      if (client !== undefined) world.tell(client, { kind: 'received', at, bytes: bytes ?? hello });
      return;
    }
    case 'dialed': {
      const client = among(({ dial }) => dial !== null, event.pick);
      const dial = client?.dial?.number;
      if (client === undefined || dial === undefined) return;
      if (event.good) return world.tell(client, { kind: 'connected', at, dial, view: world.view });
      world.suspects.of('app', client.dial?.server ?? '').failed(at);
      client.dial = null;
      return world.tell(client, { kind: 'connect-failed', at, dial, error: 'refused' });
    }
    case 'ghost': {
      const client = among(({ ghosts, closes }) => ghosts.length > 0 && closes === 0, event.pick);
      const dial = client?.ghosts.pop();
      if (client !== undefined && dial !== undefined) {
        world.tell(client, { kind: 'connected', at, dial, view: world.view });
      }
      return;
    }
    case 'client': {
      const client = among(({ closes }) => closes === 0, event.pick);
      if (client !== undefined)
        world.tell(client, { kind: event.reset ? 'client-reset' : 'client-ended', at });
      return;
    }
    case 'server': {
      const client = among(({ joined }) => joined !== null, event.pick);
      if (client === undefined) return;
      const kind = event.reset ? 'server-reset' : 'server-ended';
      return world.tell(client, { kind, at, ...progress(client) });
    }
    case 'traffic': {
      const client = among(({ joined }) => joined !== null, event.pick);
      if (client === undefined) return;
      if (!event.down) client.sent += 1;
      else {
        client.heard += 1;
        if (client.heard === 1) world.tell(client, { kind: 'answered', at });
      }
      return;
    }
    case 'time':
      world.now += event.ms;
      for (const client of world.clients) {
        if (client.deadline === null || client.deadline > world.now) continue;
        client.deadline = null;
        world.tell(client, { kind: 'deadline', at: world.now });
      }
      return;
    case 'release':
      return world.release();
    case 'change':
      return world.change(
        event.results.map(word => probed(word, world.now)),
        event.primary,
        event.left,
        event.moved,
      );
    case 'shutdown': {
      for (const client of world.clients) world.tell(client, { kind: 'shutdown', at, reason: 'shutdown' });
    }
  }
}

const worlds: readonly (readonly [Protocol, Route])[] = [
  ['postgres', 'primary'],
  ['postgres', 'replica'],
  ['postgres', 'replica-or-primary'],
  ['postgres', 'any'],
  ['mysql', 'primary'],
  ['redis', 'replica-or-primary'],
  ['http', 'any'],
  ['tcp', 'any'],
];

for (const [protocol, route] of worlds) {
  test(`session: the safety rules hold for ${protocol} on route ${route}, whatever happens in whatever order`, () => {
    let splices = 0;
    let answers = 0;
    let repeats = 0;
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 120, size: 'max' }), events => {
        const world = new World(protocol, route);
        for (const event of events) happen(world, event);
        // The end of the world: every client goes, and each has been closed exactly once.
        for (const client of world.clients) {
          world.tell(client, { kind: 'client-reset', at: world.now });
          if (client.closes === 0) world.tell(client, { kind: 'cancel-done', at: world.now });
          assert.equal(client.closes, 1, `client ${client.id} is closed once`);
        }
        assert.equal(world.hold.size, 0);
        for (const name of SERVERS) assert.equal(world.registry.count('app', name), 0);
        splices += world.splices;
        answers += world.answers;
        repeats += world.repeats;
      }),
      { numRuns: 1000 },
    );
    assert.ok(splices > 50, `the world must be lively enough to prove anything: ${splices} splices`);
    assert.ok(protocol === 'tcp' || answers > 50, `and turn enough away: ${answers} answers`);
    assert.ok(protocol !== 'http' || repeats > 50, `and leave enough unanswered: ${repeats} repeats`);
  });
}
