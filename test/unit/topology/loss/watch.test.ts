import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ProbeResult, type ServerFacts } from '../../../../src/health/result.ts';
import { initialHealth, observe, type HealthState } from '../../../../src/health/state.ts';
import { IncidentRecorder, type Incident } from '../../../../src/topology/incidents.ts';
import { Topology } from '../../../../src/topology/topology.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { fail, FRESHNESS_MS, pass, passReplica } from '../../../support/views.ts';
import { wal } from './kit.ts';

/** A backend of three servers whose probe results the test dictates; each probe took 3 ms. */
function setup() {
  const clock = new FakeClock();
  const servers = ['pg1', 'pg2', 'pg3'].map((name, index) => ({
    name,
    address: { host: '127.0.0.1', port: 5001 + index },
    weight: 100,
  }));
  const rules = {
    multipleWriters: 'newest',
    freshnessMs: FRESHNESS_MS,
    slowStartMs: 0,
    settleMs: 0,
  } as const;
  const topology = new Topology([{ name: 'app', protocol: 'postgres', servers, ...rules }], clock);
  const incidents = new IncidentRecorder(clock);
  topology.changes.subscribe(change => incidents.observe(change));
  const revised: Incident[] = [];
  incidents.revised.subscribe(incident => revised.push(incident));
  const health = new Map<string, HealthState>();
  return {
    clock,
    topology,
    revised,
    loss: () => incidents.list()[0]?.loss,
    story: () => incidents.list()[0]?.events.map(({ text }) => text) ?? [],
    tell(server: string, result: ProbeResult) {
      const stamped = { ...result, at: clock.now(), wallAt: clock.wall(), durationMs: 3 };
      const next = observe(health.get(server) ?? initialHealth, stamped, { rise: 1, fall: 2 }).state;
      health.set(server, next);
      topology.report('app', server, next, stamped);
    },
  };
}

const replica = (position: string, given: Partial<ServerFacts> = {}) => passReplica({ position, ...given });
const idle = (position: string, given: Partial<ServerFacts> = {}) =>
  replica(position, { replicating: false, wal: wal(), ...given });
const newPrimary = (recoveredTo: string) =>
  pass({ timeline: 2, position: '0/8000', wal: wal({ recoveredTo }) });

/** All is well; then pg1 dies 700 ms after its last answer, at 0/1000. */
async function primaryLost(
  s: ReturnType<typeof setup>,
  given: { readonly primary?: Partial<ServerFacts>; readonly standby?: Partial<ServerFacts> } = {},
) {
  s.tell('pg2', replica('0/F00', given.standby));
  s.tell('pg3', replica('0/F00'));
  s.tell('pg1', pass({ position: '0/1000', ...given.primary }));
  assert.equal(s.topology.view('app').primary, 'pg1');
  await s.clock.advance(700);
  s.tell('pg1', fail('L4LOST'));
  s.tell('pg1', fail('L4CON'));
  assert.equal(s.topology.view('app').primary, null);
}

test('loss watch: it is measured from the last answer of the old primary, when that was asked for', async () => {
  const s = setup();
  await primaryLost(s);
  assert.equal(s.loss(), null, 'while the incident is open nobody knows');
  s.tell('pg2', idle('0/F80'));
  s.tell('pg2', newPrimary('0/F80'));
  assert.deepEqual(s.loss(), {
    kind: 'bytes',
    bytes: 0x80,
    of: 'WAL',
    atLeast: false,
    remark: null,
    unseenMs: 703,
    words:
      'pg2 lacks 128 bytes of WAL that pg1 was seen to have; what pg1 wrote after its last answer, 703 ms before the first bad sign, nobody saw',
  });
});

test('loss watch: how the standby was called is known from when it still received', async () => {
  const s = setup();
  await primaryLost(s, {
    primary: { wal: wal({ synchronousNames: 'pg2', standbys: [{ name: 'pg2', synchronous: true }] }) },
    standby: { wal: wal({ standbyName: 'pg2' }) },
  });
  s.tell('pg2', idle('0/1000'));
  s.tell('pg2', newPrimary('0/1000'));
  assert.match(s.loss()?.words ?? '', /^none: synchronous: pg1 answered no commit before pg2 had it/);
});

test('loss watch: a standby that was away on the way may have crashed as a primary, and proves no fork', async () => {
  const s = setup();
  await primaryLost(s);
  s.tell('pg2', fail('L4LOST'));
  s.tell('pg2', fail('L4CON'));
  s.tell('pg2', newPrimary('0/9000'));
  assert.match(s.loss()?.words ?? '', /^unknown: nobody saw pg2 being promoted/);
});

test('loss watch: what another standby has until there is a new primary was the old one’s', async () => {
  const s = setup();
  await primaryLost(s);
  s.tell('pg3', idle('0/1200'));
  s.tell('pg2', newPrimary('0/F00'));
  assert.equal(s.loss()?.kind === 'bytes' && s.loss()?.words.startsWith('pg2 lacks 768 bytes'), true);
});

test('loss watch: what another standby received on the new timeline does not hide what it had before', async () => {
  const s = setup();
  await primaryLost(s);
  s.tell('pg3', idle('0/1200'));
  s.tell('pg3', replica('0/7000', { timeline: 2 }));
  s.tell('pg2', newPrimary('0/F00'));
  assert.match(s.loss()?.words ?? '', /^pg2 lacks 768 bytes/);
});

test('loss watch: the timeline of a server that receives nothing is not believed once there is a newer one', async () => {
  const s = setup();
  await primaryLost(s);
  const nobody = {
    words: 'nobody is named',
    primary: null,
    against: [],
    process: null,
    passive: false,
    at: 0,
  };
  s.topology.reportOpinion('app', nobody);
  s.tell('pg2', newPrimary('0/F00'));
  assert.equal(s.topology.view('app').primary, null);
  s.tell('pg3', idle('0/9500'));
  s.topology.reportOpinion('app', null);
  assert.match(s.loss()?.words ?? '', /^pg2 lacks 256 bytes of WAL that pg1 was seen to have/);
});

test('loss watch: the old primary’s return is put on record once, though it writes on', async () => {
  const s = setup();
  await primaryLost(s);
  s.tell('pg2', newPrimary('0/F00'));
  await s.clock.advance(1000);
  s.tell('pg1', pass({ position: '0/1180' }));
  assert.equal(s.loss()?.words, 'pg1 was asked since: it has 640 bytes of WAL that pg2 lacks');
  s.tell('pg1', pass({ position: '0/5000' }));
  s.tell('pg2', newPrimary('0/F00'));
  assert.equal(s.revised.length, 1);
  assert.equal(s.loss()?.unseenMs, 703);
  assert.equal(s.story().filter(text => text.startsWith('loss: pg1 was asked since')).length, 1);
});

test('loss watch: the same primary after a doubt has lost nothing', async () => {
  const s = setup();
  await primaryLost(s);
  s.tell('pg1', pass({ position: '0/1080' }));
  assert.match(s.loss()?.words ?? '', /^none: pg1 itself goes on with all that it was seen to have/);
  s.tell('pg1', pass({ position: '0/1090' }));
  assert.equal(s.revised.length, 0);
});

test('loss watch: of a primary that was known from before a restart and never answered nothing can be told', async () => {
  const s = setup();
  const before = { ...s.topology.view('app'), primary: 'pg1' };
  s.tell('pg2', newPrimary('0/F00'));
  const [answered, elected] = [s.topology.view('app'), { ...s.topology.view('app'), primary: 'pg2' }];
  const incidents = new IncidentRecorder(s.clock);
  incidents.observe({ before, after: { ...answered, primary: 'pg1' }, at: 0 });
  incidents.observe({ before: { ...answered, primary: 'pg1' }, after: elected, at: 1 });
  const [incident] = incidents.list();
  assert.equal(incident?.outcome, 'failover');
  assert.deepEqual(
    [incident?.loss?.words, incident?.loss?.unseenMs],
    ['unknown: pg1 has not answered as the primary since Pointsman was started', null],
  );
});

test('loss watch: a return after a later failover is not put down to that', async () => {
  const s = setup();
  await primaryLost(s);
  s.tell('pg2', newPrimary('0/F00'));
  s.tell('pg3', replica('0/8000', { timeline: 2 }));
  s.tell('pg2', fail());
  s.tell('pg2', fail());
  s.tell('pg3', pass({ timeline: 3, position: '0/9000', wal: wal({ recoveredTo: '0/8000' }) }));
  const before = s.loss();
  s.tell('pg1', pass({ position: '0/5000' }));
  assert.deepEqual(s.loss(), before);
});
