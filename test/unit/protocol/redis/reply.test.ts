import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeCommands } from '../../../../src/protocol/redis/command.ts';
import { readInfo, readPairs } from '../../../../src/protocol/redis/fields.ts';
import { decodeReply, type Reply } from '../../../../src/protocol/redis/reply.ts';

const decode = (text: string) => decodeReply(Buffer.from(text));

function valueOf(text: string): Reply {
  const decoded = decode(text);
  assert.equal(decoded.kind, 'ok', JSON.stringify(decoded));
  assert.ok(decoded.kind === 'ok');
  assert.equal(decoded.consumed, Buffer.byteLength(text));
  return decoded.value;
}

const text = (value: string): Reply => ({ kind: 'text', text: value });

test('redis replies: every type of RESP2 and RESP3 is read', () => {
  assert.deepEqual(valueOf('+OK\r\n'), text('OK'));
  assert.deepEqual(valueOf('-ERR no\r\n'), { kind: 'error', text: 'ERR no' });
  assert.deepEqual(valueOf('!6\r\nERR no\r\n'), { kind: 'error', text: 'ERR no' });
  assert.deepEqual(valueOf(':-12\r\n'), { kind: 'integer', value: -12 });
  assert.deepEqual(valueOf('$5\r\na\r\nbé\r\n'.replace('é', 'c')), text('a\r\nbc'));
  assert.deepEqual(valueOf('$0\r\n\r\n'), text(''));
  assert.deepEqual(valueOf('=8\r\ntxt:info\r\n'), text('info'));
  for (const nothing of ['$-1\r\n', '*-1\r\n', '_\r\n']) assert.deepEqual(valueOf(nothing), { kind: 'null' });
  assert.deepEqual(valueOf('#t\r\n'), text('t'));
  assert.deepEqual(valueOf(',1.5\r\n'), text('1.5'));
  assert.deepEqual(valueOf('(123\r\n'), text('123'));
  assert.deepEqual(valueOf('*2\r\n*1\r\n+a\r\n~1\r\n+b\r\n'), {
    kind: 'list',
    items: [
      { kind: 'list', items: [text('a')] },
      { kind: 'list', items: [text('b')] },
    ],
  });
  assert.deepEqual(valueOf('%1\r\n+a\r\n+b\r\n'), { kind: 'list', items: [text('a'), text('b')] });
  assert.deepEqual(valueOf('>1\r\n+a\r\n'), { kind: 'push', items: [text('a')] });
  assert.deepEqual(valueOf('|1\r\n+ttl\r\n:1\r\n+a\r\n'), text('a'));
});

test('redis replies: any part of a reply asks for more, and never for more than the rest', () => {
  const whole = Buffer.from('*3\r\n$5\r\nhello\r\n%1\r\n+k\r\n:1\r\n_\r\n');
  for (let length = 0; length < whole.length; length += 1) {
    const decoded = decodeReply(whole.subarray(0, length));
    assert.equal(decoded.kind, 'need', `after ${length} bytes`);
    assert.ok(decoded.kind === 'need' && decoded.bytes >= 1 && decoded.bytes <= whole.length - length);
  }
});

test('redis replies: what is not of the protocol is refused', () => {
  for (const bytes of [
    'HTTP/1.1 400 Bad Request\r\n',
    '\r\n',
    'x\n',
    '+OK\n',
    ':one\r\n',
    '$x\r\n',
    '$?\r\n',
    '*?\r\n',
    '$-2\r\n',
    '$2\r\nabc\r\n',
    '*1\r\nx',
  ]) {
    const decoded = decode(bytes);
    if (bytes === '*1\r\nx') assert.equal(decoded.kind, 'need');
    else assert.equal(decoded.kind, 'bad', JSON.stringify(bytes));
  }
});

test('redis replies: what will be too large is refused as soon as it is announced', () => {
  const endless = '*1\r\n'.repeat(20);
  for (const bytes of [
    '$999999\r\n',
    '$99999999\r\n',
    '*9999\r\n',
    '%5000\r\n',
    '>8192\r\n',
    endless,
    'x'.repeat(262_145),
  ]) {
    assert.equal(decode(bytes).kind, 'bad', bytes.slice(0, 20));
  }
  assert.equal(decode(`+${'x'.repeat(1000)}`).kind, 'need');
});

test('redis commands: lengths are those of bytes', () => {
  assert.equal(
    encodeCommands([['AUTH', 'é'], ['PING']]).toString(),
    '*2\r\n$4\r\nAUTH\r\n$2\r\né\r\n*1\r\n$4\r\nPING\r\n',
  );
});

test('redis fields: from the text of INFO and from a list of pairs; what is odd is not there', () => {
  assert.deepEqual(
    [...readInfo('# Replication\r\nrole:master\r\nslave0:ip=::1,port=1\r\n\r\nodd\r\n')],
    [
      ['role', 'master'],
      ['slave0', 'ip=::1,port=1'],
    ],
  );
  assert.deepEqual([...readPairs(valueOf('*5\r\n+a\r\n+1\r\n+b\r\n:2\r\n+c\r\n'))], [['a', '1']]);
  assert.equal(readPairs(undefined).size, 0);
});
