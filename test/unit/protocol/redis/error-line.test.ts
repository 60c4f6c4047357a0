// A Redis error on the wire.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorLine } from '../../../../src/protocol/redis/error-line.ts';

test('error line: a minus, the code, the message, one line break at the end and none before', () => {
  const line = Buffer.from(errorLine('LOADING', 'not\r\nnow\nplease')).toString();
  assert.equal(line, '-LOADING not now please\r\n');
});
