// `pointsman runbook plan BACKEND`: prints what the books of a configuration would do, without doing any of it, and without
// what came out of the environment or of files. Asks nobody. The words are runbook/describe.ts's.

import { readFileSync } from 'node:fs';
import { describeError } from '../core/errors.ts';
import { planText } from '../runbook/describe.ts';
import { type BookName } from '../runbook/model.ts';
import { redactor, secretsOf } from '../runbook/redact.ts';
import { ConfigFile, readConfig } from './config-file.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { complain, out } from './output.ts';

export function runbookPlan(name: string, book: BookName | null, file: string): ExitCode {
  const config = readConfig(new ConfigFile(file));
  if (config === null) return exitCodes.no;
  const backend = Object.hasOwn(config.backends, name) ? config.backends[name] : undefined;
  const runbook = Object.hasOwn(config.runbooks, name) ? config.runbooks[name] : undefined;
  if (backend === undefined || runbook === undefined) {
    complain(`pointsman runbook plan: there is no runbook for ${JSON.stringify(name)} in ${file}`);
    return exitCodes.no;
  }
  const lines = planText({ name, runbook, backend }, book);
  if (lines.length === 0) {
    complain(`pointsman runbook plan: the runbook of ${name} has no book${book === null ? '' : ` ${book}`}`);
    return exitCodes.no;
  }
  const passwords = Object.values(runbook.steps).flatMap(step => secretsOf(step, runbook.login, backend));
  const [hide, redact] = [hider(readFileSync(file, 'utf8')), redactor(passwords)];
  for (const line of lines) out(redact(hide(line)));
  return exitCodes.done;
}

/** Puts `${NAME}` back where its value stands. */
function hider(text: string): (line: string) => string {
  const references = [...text.matchAll(/(?<!\$)\$\{(?:file:(\/[^{}]*)|(\w+))\}/g)];
  const values = references.flatMap(([reference, path, variable]): [string, string][] => {
    const value = path === undefined ? process.env[variable ?? ''] : contentOf(path);
    return value === undefined || value === '' ? [] : [[value, reference]];
  });
  const longestFirst = values.sort(([one], [other]) => other.length - one.length);
  return line => longestFirst.reduce((rest, [value, reference]) => rest.replaceAll(value, reference), line);
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  } catch (thrown) {
    complain(`${path}: ${describeError(thrown).message}`);
    return '';
  }
}
