// What `explain` answers: scenarios as data, on the real topology with its real election. Each question must leave the
// topology as it was.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type BackendConfig } from '../../../src/config/schema.ts';
import { type ServerFacts } from '../../../src/health/result.ts';
import { type Assumption } from '../../../src/topology/assumptions.ts';
import { explain, type Explanation } from '../../../src/topology/explain.ts';
import { type BackendSpec } from '../../../src/topology/topology.ts';
import { Topology } from '../../../src/topology/topology.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { down, fail, FRESHNESS_MS, pass, passReplica, up } from '../../support/views.ts';
import { configOf } from '../config/kit.ts';

type Words = 'primary' | 'replica' | 'writable' | 'down';

interface Scenario {
  readonly name: string;
  /** What each server last said; pg1 first. */
  readonly servers: Readonly<Record<string, Words>>;
  readonly yaml?: string;
  readonly opinion?: string | null;
  readonly assume?: string;
  readonly primary: string | null;
  /** Must be in the answer as a whole, in this order of mention or another. */
  readonly says: readonly RegExp[];
  /** Of the frontends rw (primary), ro (replica-or-primary), replicas (replica), all (any): who serves, and whose sessions end. */
  readonly served?: Readonly<Record<string, string>>;
  readonly closed?: readonly string[];
}

const pair = { pg1: 'primary', pg2: 'replica' } as const;

const scenarios: readonly Scenario[] = [
  {
    name: 'the present: who is the primary, and why',
    servers: pair,
    primary: 'pg1',
    says: [
      /^pg1 is the primary of app: pg1 is the only server that may be written to$/m,
      /^pg2 is a replica, 0 s behind$/m,
      /another takes over once pg1 is down, .* Pointsman promotes nobody/,
      /as soon as another shows a newer timeline/,
    ],
    served: { rw: 'pg1', ro: 'pg2', replicas: 'pg2', all: 'pg1,pg2' },
    closed: [],
  },
  {
    name: 'the primary down: nobody is promoted by Pointsman, writers wait, and how soon it is noticed',
    servers: pair,
    assume: 'pg1=down',
    primary: null,
    says: [
      /^app would be without a primary: pg1 is lost: assumed to be down$/m,
      /^pg1 is down: L4CON/m,
      /down means 2 failed checks: .*\(a killed process\) is down at once; .* after 3s at most \(2 × timeout/,
      /rw \(primary\): new clients wait, 30s at most; 3 sessions to pg1 closed \(server-down\)/,
    ],
    served: { rw: '', ro: 'pg2', replicas: 'pg2', all: 'pg2' },
    closed: ['rw pg1 server-down 3', 'all pg1 server-down 1'],
  },
  {
    name: 'the primary down and the other promoted',
    servers: pair,
    assume: 'pg1=down pg2=promoted',
    primary: 'pg2',
    says: [/^pg2 would become the primary of app/m, /ro \(replica-or-primary\): new clients go to pg2/],
    served: { rw: 'pg2', ro: 'pg2', replicas: '', all: 'pg2' },
    closed: ['rw pg1 server-down 3', 'replicas pg2 promotion 2', 'all pg1 server-down 1'],
  },
  {
    name: 'a promotion beside a primary that is well is followed by its newer timeline',
    servers: pair,
    assume: 'pg2=promoted',
    primary: 'pg2',
    says: [
      /pg2 has the newest timeline, 2/,
      /pg1 says that it is writable, and gets nobody: pg2 is the primary/,
    ],
    closed: ['rw pg1 demotion 3', 'replicas pg2 promotion 2', 'all pg1 demotion 1'],
  },
  {
    name: 'a second writer on the same timeline changes nothing',
    servers: pair,
    assume: 'pg2=writable',
    primary: 'pg1',
    says: [/^pg1 would stay the primary of app: .*stays: it was the primary before/m],
    closed: [],
  },
  {
    name: 'under block a second writer takes the primary away',
    servers: pair,
    yaml: '    multiple_writers: block',
    assume: 'pg2=writable',
    primary: null,
    says: [/all claim to be writable; multiple_writers: block/, /pointsman maintenance app\/SERVER/],
    closed: ['rw pg1 demotion 3', 'all pg1 demotion 1'],
  },
  {
    name: 'a busy primary stays, keeps its sessions, and newcomers wait',
    servers: pair,
    assume: 'pg1=busy',
    primary: 'pg1',
    says: [/busy is not dead/, /pg1 is the primary, and can’t be seen well: L7BUSY/],
    served: { rw: '', ro: 'pg2', replicas: 'pg2', all: 'pg2' },
    closed: [],
  },
  {
    name: 'a read-only primary is given up at its word',
    servers: pair,
    assume: 'pg1=read-only',
    primary: null,
    says: [/pg1 says that it is a primary, and takes no writes/, /within 2s at most/],
    closed: ['rw pg1 demotion 3', 'all pg1 demotion 1'],
  },
  {
    name: 'maintenance of the primary gives it up and frees nobody to the replica',
    servers: pair,
    assume: 'pg1=maintenance',
    primary: null,
    says: [/app would be without a primary: pg1 is in maintenance/, /pg1 is in maintenance \(operator\)/],
    served: { rw: '', ro: 'pg2', replicas: 'pg2', all: 'pg2' },
    closed: ['rw pg1 maintenance 3', 'all pg1 maintenance 1'],
  },
  {
    name: 'drain of the primary keeps it elected and its sessions open, and newcomers wait',
    servers: pair,
    assume: 'pg1=drain',
    primary: 'pg1',
    says: [/pg1 is in drain \(operator\): the sessions it has go on/],
    served: { rw: '', ro: 'pg2', replicas: 'pg2', all: 'pg2' },
    closed: [],
  },
  {
    name: 'drain of a replica leaves readers to the primary where the route allows it',
    servers: pair,
    assume: 'pg2=drain',
    primary: 'pg1',
    says: [/replicas \(replica\): new clients wait/],
    served: { rw: 'pg1', ro: 'pg1', replicas: '', all: 'pg1' },
    closed: [],
  },
  {
    name: 'two writers that nothing tells apart: nobody, and an operator may decide',
    servers: { pg1: 'primary', pg2: 'writable' },
    primary: null,
    says: [
      /nothing tells them apart/,
      /put those that are wrong in maintenance \(pointsman maintenance app\/SERVER\)/,
    ],
    served: { rw: '', ro: '', replicas: '', all: '' },
  },
  {
    name: 'two writers, and one of them in maintenance: the other is followed',
    servers: { pg1: 'primary', pg2: 'writable' },
    assume: 'pg1=maintenance',
    primary: 'pg2',
    says: [/pg2 would become the primary/],
  },
  {
    name: 'a server that the orchestrator doesn’t name is not followed, whatever it says',
    servers: pair,
    yaml: '    patroni: { addresses: [10.0.0.1:8008] }',
    opinion: 'pg1',
    assume: 'pg1=down pg2=writable',
    primary: null,
    says: [/pg2 says that it is writable, and is not followed: .*but it names pg1/],
  },
  {
    name: 'whoever is promoted is named by the orchestrator too',
    servers: pair,
    yaml: '    patroni: { addresses: [10.0.0.1:8008] }',
    opinion: 'pg1',
    assume: 'pg1=down pg2=promoted',
    primary: 'pg2',
    says: [/the orchestrator names pg2 \(assumed\)/],
  },
  {
    name: 'a silent orchestrator changes nothing, and that is said',
    servers: pair,
    yaml: '    patroni: { addresses: [10.0.0.1:8008] }',
    opinion: null,
    primary: 'pg1',
    says: [/Patroni is asked too, and silent/],
  },
  {
    name: 'a writer that settles is believed later, and the answer says both',
    servers: { pg1: 'primary', pg2: 'down' },
    yaml: '    check: { user: probe, settle: 5s }',
    assume: 'pg1=down pg2=writable',
    primary: 'pg2',
    says: [
      /at 0: null: .*pg2 is writable again; it is believed when it has been so for 5 s/,
      /at 5000: pg2/,
      /rw \(primary\): new clients wait, 30s at most at first, and then go to pg2/,
      /believed after 5s \(check.settle\)/,
    ],
    closed: ['rw pg1 server-down 3', 'replicas pg2 promotion 2', 'all pg1 server-down 1'],
  },
];

const sessions: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  rw: { pg1: 3 },
  replicas: { pg2: 2 },
  all: { pg1: 1 },
};

function configFor(yaml: string): BackendConfig {
  const check = yaml.includes('check:') ? '' : '    check: { user: probe }\n';
  const text = `frontends:
  rw: { bind: 127.0.0.1:0, backend: app }
backends:
  app:
    protocol: postgres
${check}${yaml}
    servers: { pg1: 10.0.0.1:5432, pg2: 10.0.0.2:5432 }
`;
  const config = configOf(text).backends['app'];
  assert.ok(config);
  return config;
}

function stage({ servers, yaml = '', opinion }: Scenario): {
  topology: Topology;
  clock: FakeClock;
  config: BackendConfig;
} {
  const clock = new FakeClock();
  const config = configFor(yaml);
  assert.ok(config.protocol === 'postgres');
  const spec: BackendSpec = {
    name: 'app',
    protocol: 'postgres',
    multipleWriters: config.multipleWriters,
    settleMs: config.check.settleMs,
    servers: Object.keys(servers).map((name, index) => ({
      name,
      address: { host: `10.0.0.${index + 1}`, port: 5432 },
      weight: 100,
    })),
    freshnessMs: FRESHNESS_MS,
    slowStartMs: 0,
    ...(opinion === undefined ? {} : { orchestrator: 'Patroni' }),
  };
  const topology = new Topology([spec], clock);
  if (opinion !== undefined) topology.reportOpinion('app', opinion === null ? null : naming(opinion));
  for (const [name, words] of Object.entries(servers)) {
    if (words === 'down') topology.report('app', name, down(), fail());
    else topology.report('app', name, up, words === 'replica' ? passReplica() : pass(told(words)));
  }
  return { topology, clock, config };
}

const told = (words: Words): Partial<ServerFacts> => (words === 'writable' ? { systemId: '42' } : {});

const naming = (name: string) => ({
  words: `it names ${name}`,
  primary: { address: { host: '10.0.0.1', port: 5432 }, name },
  against: [],
  process: null,
  passive: false,
  at: 0,
});

function assumptionsIn(text: string): readonly Assumption[] {
  return text
    .split(' ')
    .filter(word => word !== '')
    .map(word => {
      const [server = '', is = ''] = word.split('=');
      return { server, is: is as Assumption['is'] };
    });
}

const routes = { rw: 'primary', ro: 'replica-or-primary', replicas: 'replica', all: 'any' } as const;

function ask(scenario: Scenario): Explanation {
  const { topology, clock, config } = stage(scenario);
  const present = topology.view('app');
  topology.changes.subscribe(() => assert.fail('a question publishes nothing'));
  const assumptions = assumptionsIn(scenario.assume ?? '');
  const question = () =>
    explain({
      present,
      assumptions,
      outlooks: topology.imagine('app', assumptions),
      config,
      frontends: Object.entries(routes).map(([name, route]) => ({
        name,
        config: { route, maxLagMs: null, maxLagBytes: null, synchronousOnly: false, holdMs: 30_000 },
        held: 0,
        sessionsTo: (server: string) => sessions[name]?.[server] ?? 0,
      })),
      now: clock.now(),
    });
  const answer = question();
  assert.equal(topology.view('app'), present, 'a question changes nothing');
  assert.deepEqual(question(), answer, 'asked twice it is answered the same: nothing was remembered');
  return answer;
}

/** Everything that the answer says, a line each. */
function textOf(answer: Explanation): string {
  return [
    answer.says,
    ...answer.steps.map(
      ({ afterMs, primary, reasons }) => `at ${afterMs}: ${primary}: ${reasons.join('; ')}`,
    ),
    ...answer.servers.map(({ says }) => says),
    ...answer.frontends.map(({ says }) => says),
    ...answer.notice,
    ...answer.takeover,
    answer.orchestrator ?? '',
  ].join('\n');
}

describe('explain', () => {
  for (const scenario of scenarios) {
    test(`explain: ${scenario.name}`, () => {
      const answer = ask(scenario);
      const text = textOf(answer);
      assert.equal(answer.primary, scenario.primary, text);
      for (const expected of scenario.says) assert.match(text, expected);
      const fates = answer.frontends;
      if (scenario.served !== undefined) {
        const served = Object.fromEntries(fates.map(({ name, servedBy }) => [name, servedBy.join()]));
        assert.deepEqual(served, scenario.served);
      }
      if (scenario.closed !== undefined) {
        const closed = fates.flatMap(fate =>
          fate.closed.map(
            ({ server, reason, sessions: count }) => `${fate.name} ${server} ${reason} ${count}`,
          ),
        );
        assert.deepEqual(closed, scenario.closed);
      }
    });
  }

  test('explain: what a question assumes is decided by the same election when it comes true', () => {
    const scenario = scenarios.find(({ assume }) => assume === 'pg2=promoted');
    assert.ok(scenario);
    const { topology } = stage(scenario);
    const [outlook] = topology.imagine('app', [{ server: 'pg2', is: 'promoted' }]);
    topology.report('app', 'pg2', up, pass({ timeline: 2 }));
    const { primary, epoch, reasons } = topology.view('app');
    assert.deepEqual(
      [outlook?.view.primary, outlook?.view.epoch, outlook?.view.reasons],
      [primary, epoch, reasons],
    );
  });
});
