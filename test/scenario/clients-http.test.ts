// curl, autocannon and Node's own HTTP clients through Pointsman: the same as without it, on each engine; what they see while
// there is no server for them; and that the death of a server costs nobody a request.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { formatAddress, type Address } from '../../src/core/address.ts';
import { Fleet, onEachEngine, type EngineName } from '../support/fleet.ts';
import { HttpBackend } from '../support/http-backend.ts';
import { startNginx } from '../support/nginx.ts';
import { pace } from '../support/pace.ts';
import { run, type Ended } from '../support/program.ts';
import { sleep, until } from '../support/wait.ts';
import { PIECE, PIECES, startWebApp, type WebApp } from '../support/web-app.ts';

const MIB = 1024 * 1024;
const BRIEF_MS = 300;
const SMALL = 2;
/** Far below the usual hold. */
const SOON_MS = 10_000 * pace;
const AUTOCANNON_SECONDS = 2;
/** 20 new connections per second. */
const TICK_MS = 50;
const SLOW_MS = 100 * pace;
const SLOW_START_MS = 2000;
/** Kills, each this long at most after requests went out: some are on their way, some with the server. */
const KILLS = 5;
const AMID_MS = 4;

const url = (at: Address, path = '/'): string => `http://${formatAddress(at)}${path}`;

/** curl without the user's own settings. */
const curl = (args: readonly string[], input?: Buffer): Promise<Ended> =>
  run('curl', ['-q', '-sS', '--max-time', '30', ...args], input === undefined ? {} : { input });

interface Asked {
  readonly engine: EngineName | 'direct';
  readonly at: number;
  readonly tookMs: number;
  /** The server that answered, or what was wrong. */
  readonly outcome: string;
}

/** One request over a connection of its own. */
async function askOnce(engine: Asked['engine'], { host, port }: Address): Promise<Asked> {
  const at = performance.now();
  const outcome = await new Promise<string>(resolve => {
    const asked = request({ host, port, path: '/health', agent: false }, response => {
      text(response).then(
        body =>
          resolve(response.statusCode === 200 ? (JSON.parse(body) as { backend: string }).backend : body),
        (thrown: unknown) => resolve(String(thrown)),
      );
    });
    asked.on('error', error => resolve(String(error)));
    asked.end();
  });
  return { engine, at, tookMs: performance.now() - at, outcome };
}

describe('HTTP clients through Pointsman', () => {
  const owned: (() => unknown)[] = [];
  const file = randomBytes(20 * MIB);
  let app: WebApp;
  let web1: HttpBackend;
  let web2: HttpBackend;
  let all: Fleet;
  const fleet = (): Fleet => all;
  before(async () => {
    web1 = new HttpBackend({ name: 'web1', port: 0, database: null });
    web2 = new HttpBackend({ name: 'web2', port: 0, database: null });
    owned.push(
      () => web1.kill(),
      () => web2.kill(),
    );
    app = await startWebApp();
    owned.push(() => app.close());
    const nginx = await startNginx(file);
    owned.push(() => nginx.close());
    await Promise.all([web1.start(), web2.start()]);
    const pair = { backend: 'pair', route: 'any' };
    all = await Fleet.start({
      frontends: {
        app: { backend: 'app', route: 'any' },
        nginx: { backend: 'nginx', route: 'any' },
        both: { backend: 'both', route: 'any' },
        small: { backend: 'app', route: 'any', max_connections: SMALL },
        pair,
        twins: { backend: 'twins', route: 'any' },
        brief: { ...pair, hold: `${BRIEF_MS}ms` },
      },
      backends: {
        app: { protocol: 'http', servers: { app: formatAddress(app.address) } },
        nginx: { protocol: 'http', servers: { nginx: formatAddress(nginx.address) } },
        both: {
          protocol: 'http',
          servers: { app: formatAddress(app.address), nginx: formatAddress(nginx.address) },
        },
        pair: {
          protocol: 'http',
          check: { path: '/health', json: { status: 'ok' }, interval: '200ms' },
          slow_start: `${SLOW_START_MS}ms`,
          servers: { web1: formatAddress(web1.address), web2: formatAddress(web2.address) },
        },
        twins: {
          protocol: 'http',
          check: { path: '/health', interval: '200ms' },
          servers: { web1: formatAddress(web1.address), web2: formatAddress(web2.address) },
        },
      },
    });
    owned.push(() => all.stop());
  });
  after(async () => {
    for (const end of owned.splice(0).reverse()) await end();
  });

  onEachEngine(
    'curl: two URLs over one connection, HEAD, chunks, a range of a large file',
    fleet,
    async ({ at }) => {
      const twice = await curl(['-w', '%{num_connects}\n', url(at('app')), url(at('app'))]);
      assert.deepEqual([twice.code, twice.stdout.toString()], [0, 'hello\n1\nhello\n0\n'], twice.stderr);
      const head = await curl(['-I', url(at('app'))]);
      assert.match(head.stdout.toString(), /^HTTP\/1\.1 200 OK\r\nContent-Length: 6\r\n/);
      const pieces = await curl(['-i', url(at('app'), '/pieces')]);
      assert.match(pieces.stdout.toString('latin1'), /^Transfer-Encoding: chunked\r$/m);
      assert.ok(pieces.stdout.toString('latin1').endsWith(`\r\n\r\n${PIECE.repeat(PIECES)}`));
      const whole = await curl([url(at('nginx'), '/file')]);
      assert.ok(file.equals(whole.stdout), `${whole.stdout.length} bytes`);
      const range = await curl(['-r', '1000-1999', url(at('nginx'), '/file')]);
      assert.ok(file.subarray(1000, 2000).equals(range.stdout));
      const missing = await curl(['-f', url(at('nginx'), '/missing')]);
      assert.deepEqual(
        [missing.code, missing.stderr],
        [22, 'curl: (22) The requested URL returned error: 404\n'],
      );
    },
  );

  onEachEngine(
    'curl: a body of 5 MB goes up after 100 Continue, or in chunks, and comes back',
    fleet,
    async ({ at }) => {
      const body = randomBytes(5 * MIB);
      const sum = JSON.stringify({
        size: body.length,
        sha256: createHash('sha256').update(body).digest('hex'),
      });
      const post = ['-v', '-H', 'Content-Type: application/octet-stream', '--data-binary', '@-'];
      const expecting = await curl([...post, url(at('app'), '/sum')], body);
      assert.equal(expecting.stdout.toString(), sum);
      assert.match(expecting.stderr, /^> Expect: 100-continue\r$/m);
      assert.match(expecting.stderr, /^< HTTP\/1\.1 100 Continue\r$/m);
      const chunked = await curl(['-v', '-T', '-', '-X', 'POST', url(at('app'), '/back')], body);
      assert.match(chunked.stderr, /^> Transfer-Encoding: chunked\r$/m);
      assert.ok(body.equals(chunked.stdout), `${chunked.stdout.length} bytes`);
    },
  );

  onEachEngine(
    'an upgraded connection carries bytes both ways, until the client ends it',
    fleet,
    async ({ at }) => {
      const { host, port } = at('app');
      const asked = request({ host, port, headers: { Connection: 'Upgrade', Upgrade: 'echo' } });
      asked.end();
      const [response, socket] = (await once(asked, 'upgrade')) as [IncomingMessage, Socket];
      assert.equal(response.statusCode, 101);
      const noise = randomBytes(MIB);
      socket.end(noise);
      const chunks: Buffer[] = [];
      for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
      assert.ok(noise.equals(Buffer.concat(chunks)));
    },
  );

  onEachEngine('fetch: 100 requests at once, a streamed body, an aborted answer', fleet, async ({ at }) => {
    const answers = await Promise.all(
      Array.from({ length: 100 }, async (_, index) => {
        const response = await fetch(url(at('app'), '/back'), { method: 'POST', body: `number ${index}` });
        return response.text();
      }),
    );
    assert.deepEqual(
      answers,
      answers.map((_, index) => `number ${index}`),
    );
    const streamed = await fetch(url(at('app'), '/sum'), {
      method: 'POST',
      body: new Blob([file.subarray(0, 2 * MIB)]).stream(),
      duplex: 'half',
    });
    assert.equal(((await streamed.json()) as { size: number }).size, 2 * MIB);
    const aborted = await fetch(url(at('nginx'), '/file'));
    await aborted.body?.cancel();
    assert.equal(await (await fetch(url(at('nginx')))).text(), 'hello\n');
  });

  test('autocannon: 20 clients on each engine at once; no error, and 200 is all that it sees', async () => {
    const program = fileURLToPath(import.meta.resolve('autocannon'));
    const cannon = [program, '--json', '--no-progress', '-c', '20', '-d', String(AUTOCANNON_SECONDS)];
    const before = app.connections();
    await fleet().each(async ({ at, engine }) => {
      const { code, stdout, stderr } = await run(process.execPath, [...cannon, url(at('both'))]);
      assert.equal(code, 0, stderr);
      const seen = JSON.parse(stdout.toString()) as Record<string, number>;
      const { errors, timeouts, mismatches, non2xx } = seen;
      assert.deepEqual(
        { errors, timeouts, mismatches, non2xx },
        { errors: 0, timeouts: 0, mismatches: 0, non2xx: 0 },
      );
      assert.ok((seen['2xx'] ?? 0) > 500, `${engine}: ${stdout.toString()}`);
    });
    assert.ok(app.connections() > before, 'both servers had a part in it');
  });

  onEachEngine(
    'max_connections: the one above the limit gets 503, once he has asked',
    fleet,
    async ({ at }, t) => {
      const inside = Array.from({ length: SMALL }, () => connect(at('small')));
      t.after(() => inside.forEach(socket => socket.destroy()));
      await Promise.all(inside.map(socket => once(socket, 'connect')));
      const refused = await until('the limit to be reached', async () => {
        const { stdout } = await curl(['-i', url(at('small'))]);
        return stdout.includes(' 503 ') && stdout.toString();
      });
      assert.match(refused, /"error":"max-connections"/);
      assert.match(refused, /frontend small has its 2 connections \(max_connections\)/);
      inside.pop()?.destroy();
      await until('room for one', async () =>
        (await curl([url(at('small'))])).stdout.equals(Buffer.from('hello\n')),
      );
    },
  );

  test('kill -9 amid requests, again and again: not one fails', async () => {
    const asked: Promise<Asked>[] = [];
    const tick = (): void => {
      for (const { engine, at } of fleet().members) asked.push(askOnce(engine, at('twins')));
    };
    const twins = async (): Promise<void> => {
      await fleet().each(({ pointsman, engine }) =>
        until(`both to be up on ${engine}`, async () =>
          (await pointsman.state()).backends
            .find(({ name }) => name === 'twins')
            ?.servers.every(({ health }) => health === 'up'),
        ),
      );
    };
    for (let kills = 0; kills < KILLS; kills += 1) {
      await twins();
      const victim = kills % 2 === 0 ? web1 : web2;
      for (let before = 0; before < 2; before += 1) tick();
      await sleep(Math.random() * AMID_MS);
      const dead = victim.kill();
      for (let after = 0; after < 3; after += 1) {
        tick();
        await sleep(TICK_MS);
      }
      await dead;
      await victim.start();
    }
    await twins();
    const failed = (await Promise.all(asked)).filter(({ outcome }) => !['web1', 'web2'].includes(outcome));
    assert.deepEqual(failed, []);
    const unanswered = await fleet().each(({ pointsman }) => pointsman.metrics());
    const seen = /^pointsman_server_connect_errors_total\{.*reason="(unanswered|refused)".*\} [1-9]/m;
    assert.ok(
      unanswered.some(text => seen.test(text)),
      'some met a dying server',
    );
  });

  test('kill -9 under 20 new connections a second: no failed and no slow request; back again it gets its share by and by', async () => {
    const asked: Asked[] = [];
    /** One request on each engine, and one around Pointsman, which tells how fast this machine is just now. */
    async function tick(): Promise<void> {
      const ways: [Asked['engine'], Address][] = fleet().members.map(({ engine, at }) => [
        engine,
        at('pair'),
      ]);
      const round = await Promise.all(
        [...ways, ['direct', web2.address] as const].map(([engine, at]) => askOnce(engine, at)),
      );
      asked.push(...round);
    }
    /** Ticks at the pace, whether earlier ones are answered or not. */
    async function ticks(durationMs: number): Promise<void> {
      const startedAt = performance.now();
      const rounds: Promise<void>[] = [];
      for (let due = 0; due < durationMs; due += TICK_MS) {
        await sleep(startedAt + due - performance.now());
        rounds.push(tick());
      }
      await Promise.all(rounds);
    }
    const under = ticks(1500);
    await sleep(500 + Math.random() * TICK_MS);
    await web1.kill();
    const killedAt = performance.now();
    await under;
    await web1.start();
    const backAt = performance.now();
    await ticks(SLOW_START_MS + 1500);

    const through = asked.filter(({ engine }) => engine !== 'direct');
    const failed = through.filter(({ outcome }) => outcome !== 'web1' && outcome !== 'web2');
    assert.deepEqual(failed, []);
    for (const { engine, tookMs, at } of through) {
      const direct = asked.filter(each => each.engine === 'direct' && Math.abs(each.at - at) < TICK_MS);
      const usualMs = Math.max(...direct.map(each => each.tookMs));
      assert.ok(tookMs < usualMs + SLOW_MS, `${engine}: ${tookMs} ms, where ${usualMs} ms are usual`);
    }
    for (const { engine } of fleet().members) {
      const own = through.filter(each => each.engine === engine);
      const share = (from: number, to: number): number => {
        const some = own.filter(({ at }) => at >= from && at < to);
        return some.filter(({ outcome }) => outcome === 'web1').length / some.length;
      };
      assert.equal(share(killedAt, backAt), 0, engine);
      const first = own.find(({ at, outcome }) => at >= backAt && outcome === 'web1');
      assert.ok(first, `${engine}: web1 is asked again`);
      const early = share(first.at, first.at + SLOW_START_MS / 2);
      const late = share(first.at + SLOW_START_MS, Infinity);
      assert.ok(early < 0.4, `${engine}: ${early} of the requests at first`);
      assert.ok(late > 0.4 && late < 0.6, `${engine}: ${late} of the requests in the end`);
    }
  });

  test('no server: 503 with the reason when the hold is over, and not a byte before; who waits longer is served', async t => {
    await Promise.all([web1.kill(), web2.kill()]);
    await fleet().each(async ({ at, pointsman }) => {
      const down = ({ health }: { health: string }): boolean => health === 'down';
      await until('both to be down', async () =>
        (await pointsman.state()).backends.find(({ name }) => name === 'pair')?.servers.every(down),
      );
      const mute = connect(at('brief'));
      t.after(() => mute.destroy());
      let heard = '';
      mute.setEncoding('utf8').on('data', (chunk: string) => (heard += chunk));
      const startedAt = performance.now();
      const { stdout, stderr } = await curl(['-i', url(at('brief'))]);
      const tookMs = performance.now() - startedAt;
      assert.ok(tookMs >= BRIEF_MS && tookMs < SOON_MS, `refused after ${tookMs} ms`);
      const [head = '', body = ''] = stdout.toString().split('\r\n\r\n');
      assert.match(head, /^HTTP\/1\.1 503 Service Unavailable\r\n/, stderr);
      assert.match(head, /^Retry-After: 1\r?$/m);
      assert.match(head, /^Content-Type: application\/json\r?$/m);
      const { error, message } = JSON.parse(body) as { error: string; message: string };
      assert.equal(error, 'hold-timeout');
      assert.match(message, /^pointsman: no server in backend pair for \d+ m?s$/);

      const large = ['-w', '%{http_code}', '-H', 'Expect:', '--data-binary', '@-', '-o', '/dev/null'];
      const posted = await curl([...large, url(at('brief'))], file.subarray(0, 5 * MIB));
      assert.equal(posted.stdout.toString(), '503', posted.stderr);
      assert.equal((await fetch(url(at('brief')))).status, 503);

      assert.deepEqual([heard, mute.readyState], ['', 'open'], 'nobody is told what he has not asked');
      mute.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      await once(mute, 'close');
      assert.match(heard, /^HTTP\/1\.1 503 [^]*"error":"hold-timeout"/);
    });
    const waits = fleet().members.map(({ at }) => curl([url(at('pair'), '/health')]));
    await fleet().each(({ pointsman }) =>
      until('one to wait', async () => {
        const { frontends } = await pointsman.state();
        return frontends.find(({ name }) => name === 'pair')?.held === 1;
      }),
    );
    await web2.start();
    for (const { stdout, stderr } of await Promise.all(waits)) {
      assert.deepEqual(JSON.parse(stdout.toString() || '{}'), { status: 'ok', backend: 'web2' }, stderr);
    }
  });
});
