// Architecture: who may import whom, checked on the real tree, and on a small bad tree so that the check itself
// is known to see. dependency-cruiser finds nothing, without a word, when it doesn't understand the TypeScript
// version: that is why the numbers of modules and dependencies are asserted.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { cruise, type ICruiseResult } from 'dependency-cruiser';
import ts from 'typescript';
import { readRepositoryFile, repositoryFiles, repositoryRoot } from '../support/repository.ts';
import { addressHelpers, addressReaders, importRules } from './import-rules.ts';

async function cruiseSources(baseDir: string): Promise<ICruiseResult> {
  const { output } = await cruise(['src'], {
    baseDir,
    validate: true,
    ruleSet: importRules,
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
  });
  assert.ok(typeof output === 'object', 'dependency-cruiser returned text instead of its result');
  return output;
}

const violationsOf = (result: ICruiseResult): string[] =>
  result.summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} -> ${to}`).sort();

/** A tree with one file per entry, beside the repository's package.json. */
function temporaryTree(t: TestContext, files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'pointsman-arch-'));
  t.after(() => rmSync(root, { recursive: true }));
  cpSync(join(repositoryRoot, 'package.json'), join(root, 'package.json'));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

test('import rules: the tree keeps the directions of the architecture', async () => {
  const result = await cruiseSources(repositoryRoot);
  assert.deepEqual(violationsOf(result), []);
});

test('import rules: the check sees every source and its imports, types included', async () => {
  const { modules } = await cruiseSources(repositoryRoot);
  const seen = modules.map(module => module.source).filter(path => path.startsWith('src/'));
  assert.deepEqual(
    seen.sort(),
    repositoryFiles('src').filter(path => path.endsWith('.ts')),
  );
  const dependencies = modules.flatMap(module => module.dependencies);
  assert.ok(dependencies.length > 100, `only ${dependencies.length} dependencies seen`);
  assert.ok(dependencies.some(({ dependencyTypes }) => dependencyTypes.includes('type-only')));
});

test('import rules: each forbidden import is caught', async t => {
  const root = temporaryTree(t, {
    'src/main.ts': `import './cli/cli.ts';`,
    'src/cli/cli.ts': `import '../app/app.ts'; import '../proxy/good.ts'; import 'knip';`,
    'node_modules/knip/package.json': `{ "name": "knip", "main": "index.js" }`,
    'node_modules/knip/index.js': ``,
    'src/app/app.ts': `import '../cli/cli.ts'; import 'node:net';`,
    'src/core/clock.ts': `import { type Health } from '../health/state.ts'; export type Clock = Health;`,
    'src/health/state.ts': `import 'node:net'; export type Health = 1;`,
    'src/health/probers/tcp.ts': `import 'node:net';`,
    'src/health/monitor.ts': `export const monitor = 1;`,
    'src/topology/elect.ts': `import { monitor } from '../health/monitor.ts'; export const x = monitor;`,
    'src/proxy/good.ts': `import '../topology/elect.ts';`,
    'src/proxy/bad.ts': `import { type Health } from '../health/state.ts'; import '../main.ts'; export type X = Health;`,
    'src/protocol/bad.ts': `import '../config/schema-values.ts'; import './gone.ts';`,
    'src/config/schema-values.ts': `import { isIP } from 'node:net'; import '../../test/x.ts'; export const x = isIP;`,
    'src/metrics/bad.ts': `import '../admin/server.ts';`,
    'src/admin/server.ts': `import '../proxy/good.ts'; import { type X } from '../proxy/bad.ts'; export type Y = X;`,
    'src/elsewhere/new.ts': `import '../core/clock.ts';`,
    'test/x.ts': `export {};`,
  });
  assert.deepEqual(violationsOf(await cruiseSources(root)), [
    'admin-imports-types-only: src/admin/server.ts -> src/proxy/good.ts',
    'app-does-not-import-cli: src/app/app.ts -> src/cli/cli.ts',
    'core-imports-only-what-it-may: src/core/clock.ts -> src/health/state.ts',
    'every-folder-has-its-directions: src/elsewhere/new.ts -> src/core/clock.ts',
    'every-import-resolves: src/protocol/bad.ts -> ./gone.ts',
    'metrics-imports-only-what-it-may: src/metrics/bad.ts -> src/admin/server.ts',
    'no-cycles: src/app/app.ts -> src/cli/cli.ts',
    'no-development-packages-at-run-time: src/cli/cli.ts -> node_modules/knip/index.js',
    'nobody-imports-main: src/proxy/bad.ts -> src/main.ts',
    'protocol-imports-only-what-it-may: src/protocol/bad.ts -> src/config/schema-values.ts',
    'proxy-imports-only-what-it-may: src/proxy/bad.ts -> src/health/state.ts',
    'proxy-imports-only-what-it-may: src/proxy/bad.ts -> src/main.ts',
    'sockets-only-at-the-edges: src/health/state.ts -> net',
    'src-imports-no-tests: src/config/schema-values.ts -> test/x.ts',
    'topology-imports-only-what-it-may: src/topology/elect.ts -> src/health/monitor.ts',
  ]);
});

test('import rules: a module that reads addresses takes only address helpers from node:net', () => {
  for (const path of addressReaders) {
    const source = ts.createSourceFile(path, readRepositoryFile(path), ts.ScriptTarget.ES2023);
    const taken = source.statements
      .filter(ts.isImportDeclaration)
      .filter(
        ({ moduleSpecifier }) => ts.isStringLiteral(moduleSpecifier) && moduleSpecifier.text === 'node:net',
      )
      .flatMap(({ importClause }) => {
        const bindings = importClause?.namedBindings;
        assert.ok(bindings !== undefined && ts.isNamedImports(bindings), `${path}: import node:net by names`);
        return bindings.elements.map(element => (element.propertyName ?? element.name).text);
      });
    assert.ok(taken.length > 0, `${path} no longer uses node:net: take it off the list`);
    assert.deepEqual(
      taken.filter(name => !addressHelpers.includes(name)),
      [],
      path,
    );
  }
});
