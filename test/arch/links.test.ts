// Every link of our pages leads somewhere: the file is there, and so is the heading.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { repositoryFiles, repositoryRoot } from '../support/repository.ts';

const pages = repositoryFiles()
  .filter(path => path.endsWith('.md'))
  .map(path => join(repositoryRoot, path));

/** As GitHub makes them: lower case, spaces to dashes, no punctuation. */
function anchorsOf(text: string): ReadonlySet<string> {
  const headings = text.matchAll(/^#{1,6} (.+)$/gm);
  return new Set(
    [...headings].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

/** Links of a page, without those in code and those to elsewhere. */
function linksOf(text: string): readonly string[] {
  const prose = text.replace(/^```.*?^```$/gms, '').replace(/`[^`\n]*`/g, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link = '']) => link)
    .filter(link => !/^[a-z]+:/.test(link));
}

function faultOf(page: string, text: string, link: string): string | null {
  const [path = '', anchor] = link.split('#');
  const target = path === '' ? page : resolve(dirname(page), path);
  if (!existsSync(target)) return `${link}: no such file`;
  if (anchor === undefined) return null;
  const its = path === '' ? text : readFileSync(target, 'utf8');
  return anchorsOf(its).has(anchor) ? null : `${link}: no such heading`;
}

test('links: each leads to a file that is there, and to a heading in it', () => {
  let looked = 0;
  const faults = pages.flatMap(page => {
    const text = readFileSync(page, 'utf8');
    return linksOf(text).flatMap(link => {
      looked += 1;
      const fault = faultOf(page, text, link);
      return fault === null ? [] : [`${relative(repositoryRoot, page)}: ${fault}`];
    });
  });
  assert.deepEqual(faults, []);
  assert.ok(looked > 50, `only ${looked} links were looked at`);
});

test('links: what leads nowhere is found', () => {
  const page = join(repositoryRoot, 'README.md');
  assert.equal(faultOf(page, '# A b', '#a-b'), null);
  assert.equal(faultOf(page, '# A b', '#a-c'), '#a-c: no such heading');
  assert.equal(faultOf(page, '', 'docs/none.md'), 'docs/none.md: no such file');
  assert.deepEqual(linksOf('[a](b.md) `[c](d.md)` [e](https://f)\n```\n[g](h)\n```\n'), ['b.md']);
});
