// `npm test`: every test, run by node's own runner from a folder into which the packed package was installed.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { here, installed, root } from './install.mjs';

if (!existsSync(join(here, 'node_modules'))) {
  console.error('The development dependencies are missing: run `npm ci` first.');
  process.exit(1);
}
for (const name of ['SOFTFUSE_COMPONENTS', 'SOFTFUSE_SCORERS']) if (process.env[name] !== undefined) process.env[name] = resolve(process.env[name]);
const folder = installed(
  ['test'],
  [
    'smol-toml',
    'fast-check',
    'pure-rand',
    'typescript',
    '@typescript',
    '@types',
    'undici-types',
    'puppeteer-core',
    'miniflare',
    '@bytecodealliance/jco-transpile',
    '@bytecodealliance/preview2-shim',
    'esbuild',
    'openai',
    '@anthropic-ai/sdk',
  ],
);
const wanted = process.argv.slice(2);
const files = readdirSync(join(folder, 'test')).filter(
  (name) => name.endsWith('.test.mjs') && (wanted.length === 0 || wanted.some((part) => name.includes(part))),
);
if (files.length === 0) {
  console.error(`no test file's name has any of: ${wanted.join(', ')}`);
  process.exit(1);
}
// The tests run elsewhere.
const more = (process.env.SOFTFUSE_VECTORS ?? '').split(delimiter).filter((path) => path !== '');
const { status, error } = spawnSync(process.execPath, ['--test', '--test-concurrency=2', ...files.map((name) => join('test', name))], {
  cwd: folder,
  stdio: 'inherit',
  env: { ...process.env, SOFTFUSE_ROOT: root, SOFTFUSE_JS: here, SOFTFUSE_VECTORS: more.map((path) => resolve(path)).join(delimiter) },
});
if (error !== undefined) throw error;
if (process.env.SOFTFUSE_KEEP === undefined) rmSync(folder, { recursive: true, force: true });
else console.log(`kept ${folder}`);
process.exit(status ?? 1);
