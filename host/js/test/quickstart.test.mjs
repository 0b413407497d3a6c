// The quickstart by the installed package, word for word as expected; and in the README as in its file.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { packageFolder } from './kit/inner.mjs';
import { root } from './kit/load.mjs';
import { bytes } from './kit/scorers.mjs';

const program = readFileSync(join(root, 'examples/quickstart/js/main.mjs'), 'utf8');

test('the quickstart prints what it prints in every language', () => {
  const folder = mkdtempSync(join(tmpdir(), 'softfuse-quickstart-'));
  cpSync(join(root, 'examples/quickstart/js'), join(folder, 'quickstart/js'), { recursive: true });
  cpSync(join(root, 'examples/policies'), join(folder, 'policies'), { recursive: true });
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(packageFolder, join(folder, 'node_modules/softfuse'));
  const printed = execFileSync(process.execPath, [join(folder, 'quickstart/js/main.mjs')], { encoding: 'utf8', timeout: 60_000 });
  assert.equal(printed, readFileSync(join(root, 'examples/quickstart/expected.txt'), 'utf8'));
});

test('the README has the quickstart as it is', () => {
  const readme = readFileSync(join(packageFolder, 'README.md'), 'utf8');
  assert.ok(readme.includes(program), 'host/js/README.md, "Quickstart", differs from examples/quickstart/js/main.mjs');
  const order = [
    'Install',
    'Quickstart',
    'Policies',
    'Scores and scorers',
    'Fallbacks',
    'Events and metrics',
    'Keyed breakers',
    'The clock and tests',
    'How fast it is',
    'Differences from opossum and cockatiel',
  ];
  assert.deepEqual(
    [...readme.matchAll(/^## (.*)$/gm)].map((match) => match[1]),
    order,
  );
});

test('every example in the README runs', async () => {
  const readme = readFileSync(join(packageFolder, 'README.md'), 'utf8');
  const blocks = [...readme.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map((match) => match[1]).filter((block) => block !== program);
  assert.ok(blocks.length >= 12, `${blocks.length} examples`);
  const [prelude, ...others] = blocks;
  assert.match(prelude, /^const askModel = .*\n$/);
  for (const block of others) {
    const folder = mkdtempSync(join(tmpdir(), 'softfuse-readme-'));
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(packageFolder, join(folder, 'node_modules/softfuse'));
    cpSync(join(root, 'examples/policies/llm.toml'), join(folder, 'llm.toml'));
    writeFileSync(join(folder, 'text.wasm'), bytes('text.wasm'));
    // One that doesn't end, for a scorer that keeps it alive, fails.
    execFileSync(process.execPath, ['--input-type=module', '-e', prelude + block], {
      cwd: folder,
      encoding: 'utf8',
      timeout: 60_000,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }
});
