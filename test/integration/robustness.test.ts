// Strangers at the door: thousands of random and mutilated byte streams, ended in every way a socket can end.
// Pointsman lives, forgets them all, and serves the next client. The seed makes the bytes the same on each run.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type Address } from '../../src/core/address.ts';
import { psql, residentMiB, runBefore, startStage, untilEmpty, type Stage } from '../support/clients.ts';
import { pace } from '../support/pace.ts';
import { type PointsmanProcess } from '../support/pointsman.ts';
import { sleep, until } from '../support/wait.ts';

const SEED = 20_251_121;
const STREAMS = 4_000;
const AT_A_TIME = 50;
const RSS_GROWTH_MAX_MIB = 100;
/** A probe session in the course of being replaced. */
const FD_SLACK = 4;
/** A peer that has ended its half must have been answered by then; Pointsman's own bounds are 5 s. */
const CLOSE_MAX_MS = 15_000 * pace;

/** mulberry32: small, fast, and the same everywhere. Each call gives an integer from 0 to `below` - 1. */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return below => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function packet(code: number, body: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(8 + body.length, 0);
  head.writeUInt32BE(code, 4);
  return Buffer.concat([head, body]);
}

const wellFormed: readonly Buffer[] = [
  packet(80_877_103, Buffer.alloc(0)), // SSLRequest
  packet(80_877_104, Buffer.alloc(0)), // GSSENCRequest
  packet(80_877_102, Buffer.from([0, 0, 48, 57, 1, 2, 3, 4])), // CancelRequest
  packet(196_608, Buffer.from('user\0postgres\0database\0postgres\0\0')), // StartupMessage, protocol 3.0
  packet(196_610, Buffer.from('user\0postgres\0_pq_.unknown\0on\0\0')), // protocol 3.2
  Buffer.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3]), // the start of a TLS ClientHello
  Buffer.from('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n'),
];

type Draw = ReturnType<typeof seeded>;

const noise = (draw: Draw, length: number): Buffer => Buffer.from(Array.from({ length }, () => draw(256)));

function mutate(bytes: Buffer, draw: Draw): Buffer {
  const copy = Buffer.from(bytes);
  switch (draw(7)) {
    case 0: // some bits turned over
      for (let i = 0; i <= draw(4); i += 1) copy[draw(copy.length)] = draw(256);
      return copy;
    case 1: // cut off
      return copy.subarray(0, draw(copy.length + 1));
    case 2: // another length
      copy.writeUInt32BE(draw(2) === 0 ? draw(12_000) : draw(2 ** 31), 0);
      return copy;
    case 3: // more than was announced
      return Buffer.concat([copy, noise(draw, draw(64))]);
    case 4: // something else follows
      return Buffer.concat([copy, wellFormed[draw(wellFormed.length)] ?? copy]);
    case 5: // much more follows
      return Buffer.concat([copy, noise(draw, 1), Buffer.alloc(draw(40_000), draw(256))]);
    default:
      return copy;
  }
}

const endings = ['end', 'reset', 'leave', 'half'] as const;

interface Visit {
  readonly bytes: Buffer;
  /** The bytes are written in two parts, cut here. */
  readonly cut: number;
  readonly ending: (typeof endings)[number];
  readonly pauseMs: number;
}

function plan(draw: Draw): Visit {
  const seedBytes = wellFormed[draw(wellFormed.length)] ?? Buffer.alloc(0);
  const bytes = draw(5) === 0 ? noise(draw, draw(200)) : mutate(seedBytes, draw);
  const ending = endings[draw(endings.length)] ?? 'end';
  return { bytes, cut: draw(bytes.length + 1), ending, pauseMs: draw(10) };
}

/** Resolves when the socket is closed; `false` if Pointsman had to be left because it didn't close in time. */
async function visit({ host, port }: Address, { bytes, cut, ending, pauseMs }: Visit): Promise<boolean> {
  const socket: Socket = connect({ host, port, allowHalfOpen: ending === 'half' });
  socket.on('error', () => undefined); // a reset is one of the answers that a stranger may get
  let closed = false;
  const over = new Promise<void>(resolve =>
    socket.once('close', () => {
      closed = true;
      resolve();
    }),
  );
  socket.resume();
  socket.write(bytes.subarray(0, cut));
  await sleep(pauseMs);
  socket.write(bytes.subarray(cut));
  if (ending === 'reset') socket.resetAndDestroy();
  else if (ending === 'leave') socket.destroy();
  else socket.end();
  const limit = setTimeout(() => socket.destroy(), CLOSE_MAX_MS);
  const startedAt = performance.now();
  await over;
  clearTimeout(limit);
  return closed && performance.now() - startedAt < CLOSE_MAX_MS;
}

/** With nobody connected a drain has nothing to wait for; its own deadline is 30 s. */
const DRAINED_MAX_MS = 10_000;

const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

describe('strangers', () => {
  let stage: Stage;
  let pointsman: PointsmanProcess;
  let at: Address;
  before(async () => {
    stage = await startStage();
    // Hundreds of logins at once may keep a slow machine busy for longer than a probe waits as a rule; that isn't the question.
    pointsman = await runBefore(stage, { check: { timeout: '10s' } });
    at = pointsman.frontend('app-rw');
  });
  after(async () => {
    await pointsman?.stop();
    await stage?.dispose();
  });

  test(`strangers: ${STREAMS} malformed streams are ended and forgotten, and the next client is served`, async () => {
    const served = async (): Promise<void> => {
      const { code, stderr } = await psql(at, 'select 1');
      assert.equal(code, 0, stderr);
    };
    await served();
    await untilEmpty(pointsman);
    const descriptorsBefore = descriptors(pointsman.pid);
    const residentBefore = residentMiB(pointsman.pid);

    const draw = seeded(SEED);
    const plans = Array.from({ length: STREAMS }, () => plan(draw));
    const visits = plans.values();
    const stuck: string[] = [];
    await Promise.all(
      Array.from({ length: AT_A_TIME }, async () => {
        for (const next of visits) {
          if (!(await visit(at, next)))
            stuck.push(`${next.ending} ${next.bytes.subarray(0, 40).toString('hex')}`);
        }
      }),
    );
    assert.deepEqual(stuck, [], 'a peer that has ended its half is let go');
    await served();
    await untilEmpty(pointsman);

    await until(
      'the descriptors to be closed',
      () => descriptors(pointsman.pid) <= descriptorsBefore + FD_SLACK,
    );
    const growth = residentMiB(pointsman.pid) - residentBefore;
    assert.ok(growth < RSS_GROWTH_MAX_MIB, `${growth} MiB more than before`);
    const metrics = await pointsman.metrics();
    const count = (pattern: RegExp): number => Number(pattern.exec(metrics)?.[1] ?? 0);
    const accepted = count(/^pointsman_frontend_connections_total\{frontend="app-rw"\} (\d+)$/m);
    // Those that left or reset the connection themselves may have done so before it was accepted.
    const patient = plans.filter(({ ending }) => ending === 'end' || ending === 'half').length;
    assert.ok(
      accepted >= patient && patient > STREAMS / 3,
      `${accepted} accepted, ${patient} waited for their end`,
    );
    assert.ok(
      count(/^pointsman_frontend_connections_rejected_total\{.*bad-first-bytes.*\} (\d+)$/m) > STREAMS / 10,
    );
    assert.deepEqual(
      pointsman.log().filter(({ level }) => level === 'error'),
      [],
    );
    const [backend] = (await pointsman.state()).backends;
    assert.deepEqual([backend?.primary, backend?.epoch], ['pg1', 1], 'the primary was never given up');

    let exit: unknown;
    void pointsman.exited.then(code => (exit = code));
    pointsman.signal('SIGTERM');
    await until('it to end: no client is left to drain', () => exit !== undefined, {
      deadlineMs: DRAINED_MAX_MS,
    });
    assert.equal(exit, 0);
  });
});
