// What happens, as it happens: each change of the topology that is worth a sentence, to everybody who listens, as
// server-sent events (WHATWG HTML, 9.2). Keeps nothing: who was away asks for the state. Made by routes.ts.

import { type Clock } from '../core/clock.ts';
import { ADMIN_STREAMS_MAX } from '../core/limits.ts';
import { type Topic } from '../core/topic.ts';
import { describeChange } from '../topology/describe.ts';
import { type BackendChange } from '../topology/model.ts';
import { type Reply, type StreamReply } from './route.ts';
import { json } from './server.ts';

/** Proxies between here and the reader end what is silent for longer, usually after 30 or 60 s. */
const HEARTBEAT_MS = 15_000;

export function createEvents(changes: Topic<BackendChange>, clock: Clock): () => Reply | StreamReply {
  const readers = new Set<(chunk: string) => void>();
  changes.subscribe(change => {
    if (readers.size === 0) return;
    const event = eventOf(change, clock);
    if (event === null) return;
    for (const send of readers) send(event);
  });
  return () => {
    if (readers.size >= ADMIN_STREAMS_MAX) {
      return json({ error: `${ADMIN_STREAMS_MAX} listen to events already` }, 503, { 'retry-after': '10' });
    }
    return {
      type: 'text/event-stream; charset=utf-8',
      open(send) {
        readers.add(send);
        send(': what changes from now on\n\n');
        let timer = clock.schedule(HEARTBEAT_MS, beat);
        function beat(): void {
          send(': still here\n\n');
          timer = clock.schedule(HEARTBEAT_MS, beat);
        }
        return () => {
          timer.cancel();
          readers.delete(send);
        };
      },
    };
  };
}

function eventOf(change: BackendChange, clock: Clock): string | null {
  const sentences = describeChange(change);
  if (sentences.length === 0) return null;
  const { name, primary, epoch, splitBrain } = change.after;
  const data = {
    at: new Date(clock.wall()).toISOString(),
    backend: name,
    primary,
    epoch,
    split_brain: splitBrain,
    sentences,
  };
  return `event: change\ndata: ${JSON.stringify(data)}\n\n`;
}
