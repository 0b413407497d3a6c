// The package's types, by the compiler, on a user's file: strict, with every way that modules are resolved.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin/tsc');
const file = fileURLToPath(new URL('types/consumer.ts', import.meta.url));

for (const [module, resolution] of [
  ['nodenext', 'nodenext'],
  ['esnext', 'bundler'],
]) {
  test(`a user's file compiles, and its mistakes don't: ${resolution}`, () => {
    const options = [
      '--noEmit',
      '--strict',
      '--exactOptionalPropertyTypes',
      '--noUncheckedIndexedAccess',
      '--target',
      'es2022',
      '--lib',
      'es2023,dom,esnext.disposable',
      '--types',
      'node',
    ];
    const { status, stdout } = spawnSync(process.execPath, [tsc, ...options, '--module', module, '--moduleResolution', resolution, file], {
      encoding: 'utf8',
    });
    assert.equal(status, 0, stdout);
  });
}
