// What a command says of an answer that is none of Pointsman's, and of a token that is none.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { callAdmin } from '../../../src/cli/admin-client.ts';

const shape = { changed: 'boolean', reasons: 'array' } as const;

/** Answers everything with this text; `asked` counts. */
async function answering(t: TestContext, status: number, body: string) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers.authorization ?? '');
    response.writeHead(status).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

for (const body of ['{}', 'null', '[]', '7', '{"changed":true,"reasons":{}}', '<html>']) {
  test(`admin client: an answer ${body} is no Pointsman's`, async t => {
    const { url } = await answering(t, 200, body);
    const answer = await callAdmin({ url, token: null }, 'POST', '/', shape);
    assert.deepEqual(answer, { ok: false, why: `what answers at ${url} is no Pointsman (HTTP 200)` });
  });
}

test('admin client: an answer with the keys that are awaited is one, and so is a refusal without them', async t => {
  const good = await answering(t, 200, '{"changed":false,"reasons":[],"more":1}');
  assert.equal((await callAdmin({ url: good.url, token: 't' }, 'POST', '/', shape)).ok, true);
  assert.deepEqual(good.asked, ['Bearer t']);
  const refused = await answering(t, 409, '{"error":"no"}');
  assert.deepEqual(await callAdmin({ url: refused.url, token: 't' }, 'POST', '/', shape), {
    ok: true,
    status: 409,
    body: { error: 'no' },
  });
});

for (const token of ['secret\nX-Other: 1', 'sécret', 'two secrets']) {
  test(`admin client: ${JSON.stringify(token)} is no token, isn't sent and isn't repeated`, async t => {
    const { url, asked } = await answering(t, 200, '{}');
    const answer = await callAdmin({ url, token }, 'POST', '/', shape);
    assert.match(answer.ok ? '' : answer.why, /^POINTSMAN_TOKEN is not a token/);
    assert.doesNotMatch(JSON.stringify(answer), /s.?cret/);
    assert.deepEqual(asked, []);
  });
}
