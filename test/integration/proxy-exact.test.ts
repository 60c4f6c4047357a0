// Byte-exactness of joined sessions as a property: whatever pieces the bytes come in, whoever reads slowly and whoever
// ends first, each side gets all of the other's bytes, in order, and then the end.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { startupPacket } from '../support/tcp-packets.ts';
import { connectPeer, until, type Peer } from '../support/tcp-peers.ts';
import { onEngines, openStage, type Stage } from '../support/tcp-proxy.ts';
import { pass, passReplica } from '../support/views.ts';

const hello = startupPacket();
const RUNS = 40;
const bytes = randomBytes(4 * 1024 * 1024);

type Move =
  | { readonly kind: 'write'; readonly size: number }
  /** The writer lets the loop turn, so that pieces travel alone. */
  | { readonly kind: 'breathe' }
  /** The other side reads nothing for a while. */
  | { readonly kind: 'deafen'; readonly ms: number };

/** Pieces of 1 byte to 512 KiB, small ones as often as large ones. */
const size = fc
  .tuple(fc.integer({ min: 0, max: 19 }), fc.double({ min: 1, max: 2, maxExcluded: true, noNaN: true }))
  .map(([exponent, factor]) => Math.floor(factor * 2 ** exponent));
const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('write' as const), size }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'breathe' as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('deafen' as const), ms: fc.nat(15) }) },
);
const direction = fc.record({
  moves: fc.array(move, { maxLength: 24 }),
  start: fc.nat(bytes.length - 1),
  endsFirst: fc.boolean(),
});
type Direction = typeof direction extends fc.Arbitrary<infer T> ? T : never;

/** Carries out one direction; resolves to what was sent. `other`: done when the other direction has ended. */
async function speak(
  { moves, start, endsFirst }: Direction,
  from: Peer,
  to: Peer,
  other: Promise<unknown>,
): Promise<Buffer> {
  const sent: Buffer[] = [];
  for (const step of moves) {
    if (step.kind === 'write') {
      const piece = bytes.subarray(start, start + step.size);
      sent.push(piece);
      from.socket.write(piece);
    } else if (step.kind === 'breathe') {
      await new Promise(resolve => setImmediate(resolve));
    } else {
      to.socket.pause();
      setTimeout(() => to.socket.resume(), step.ms);
    }
  }
  if (!endsFirst) await other;
  from.socket.end();
  return Buffer.concat(sent);
}

async function converse(stage: Stage, up: Direction, down: Direction): Promise<void> {
  const before = stage.servers['pg1']!.peers.length;
  const client = await connectPeer(stage.at(), hello);
  const server = await stage.servers['pg1']!.peer(before);
  await server.untilBytes(hello.length);
  const bytesAtEnd = new Map<Peer, number>();
  for (const peer of [client, server]) peer.socket.once('end', () => bytesAtEnd.set(peer, peer.bytes));
  // Who is told to end second waits for the other's end; if both are, the client is the one that doesn't.
  const heardDown = until(() => client.ended, 'the end at the client');
  const heardUp = until(() => server.ended, 'the end at the server');
  const both = !up.endsFirst && !down.endsFirst;
  const [sentUp, sentDown] = await Promise.all([
    speak({ ...up, endsFirst: up.endsFirst || both }, client, server, heardDown),
    speak(down, server, client, heardUp),
  ]);
  await Promise.all([heardUp, heardDown]);
  await until(() => client.closed && server.closed, 'both to be closed');
  assert.deepEqual([client.error, server.error], [null, null]);
  const wholeUp = Buffer.concat([hello, sentUp]);
  assert.ok(server.received.equals(wholeUp), `up: ${server.bytes} of ${wholeUp.length} bytes`);
  assert.ok(client.received.equals(sentDown), `down: ${client.bytes} of ${sentDown.length} bytes`);
  assert.deepEqual([bytesAtEnd.get(server), bytesAtEnd.get(client)], [wholeUp.length, sentDown.length]);
}

onEngines('relay: any pieces, pauses and ends: every byte in order, then the end', async (t, engine) => {
  const stage = await openStage(t, { engine, initial: [{ pg1: pass(), pg2: passReplica() }, 'pg1'] });
  let sessions = 0;
  await fc.assert(
    fc.asyncProperty(direction, direction, async (up, down) => {
      await converse(stage, up, down);
      sessions += 1;
      await until(() => stage.diary.ends.length === sessions, 'the notice of its end');
      const { reason } = stage.diary.ends.at(-1)!;
      assert.ok(reason === 'client' || reason === 'server', reason);
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
  assert.equal(stage.gauge().sessions, 0);
  assert.equal(stage.diary.count('workerLost'), 0);
});
