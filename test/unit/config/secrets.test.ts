import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIssue } from '../../../src/config/load.ts';
import { VALID, issuesOf, load, variant, type Surroundings } from './kit.ts';
import { keyPaths, malformed } from './mutations.ts';

const SECRET = 'hunter2';

function everythingSaid(text: string, around: Surroundings): string {
  const result = load(text, around);
  return [...issuesOf(result), ...result.warnings].map(formatIssue).join('\n');
}

test('secrets: a password in the file is not in any message, whatever else is wrong with the file', () => {
  for (const { name, text } of malformed()) {
    const withSecret = text.replaceAll('${PROBE_PASSWORD}', SECRET);
    assert.ok(!everythingSaid(withSecret, {}).includes(SECRET), name);
  }
});

test('secrets: what stands below password is not in any message, whatever its form', () => {
  const forms = [
    `{ ${SECRET}: 1 }`,
    `{ ${SECRET}: 1, ${SECRET}: 2 }`,
    `[${SECRET}, *${SECRET}]`,
    `!${SECRET} x`,
    `"${SECRET}`,
    `'${SECRET}' ${SECRET}`,
    `${SECRET}: ${SECRET}: x`,
    `@${SECRET}`,
    `\${${SECRET}-x}`,
    `\${${SECRET}`,
    `*${SECRET}`,
    `&${SECRET} &${SECRET} x`,
    `"\\q${SECRET}"`,
    `{ ${SECRET}`,
    `|\n        ${SECRET}\n      ${SECRET}`,
    `"${SECRET}${'x'.repeat(5000)}`,
  ];
  for (const form of forms) {
    const said = everythingSaid(variant('${PROBE_PASSWORD}', form), {});
    assert.ok(said.length > 0, form);
    assert.ok(!said.includes(SECRET), `${form}\n${said}`);
  }
});

test('secrets: what comes out of the environment or a file is not in any message, whatever key it is for', () => {
  let complaints = 0;
  for (const path of keyPaths()) {
    const lines = VALID.split('\n');
    const at = lines.findIndex(line => line.trimStart().startsWith(`${path.at(-1) ?? ''}: `));
    if (at === -1) continue;
    for (const reference of ['${LEAK}', '${file:/leak}', 'x${LEAK}']) {
      const text = lines
        .map((line, index) => (index === at ? line.replace(/: .*/, `: "${reference}"`) : line))
        .join('\n');
      const around = { env: { LEAK: SECRET, PROBE_PASSWORD: SECRET }, files: { '/leak': `${SECRET}\n` } };
      const said = everythingSaid(text, around);
      if (said !== '') complaints++;
      assert.ok(!said.includes(SECRET), said);
    }
  }
  assert.ok(complaints > 50, `only ${complaints} of the replacements were complained about`);
});

test('secrets: a wrong file, such as the password itself, is not repeated', () => {
  for (const text of [SECRET, `"${SECRET}"`, `- ${SECRET}`, `@${SECRET}`]) {
    const said = everythingSaid(text, {});
    assert.ok(said.length > 0 && !said.includes(SECRET), said);
  }
});
