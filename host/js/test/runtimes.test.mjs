// The installed package elsewhere than in Node: Bun, Deno, workerd and Chromium, each with every vector and the smoke test.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { Miniflare } from 'miniflare';
import { chromium } from './kit/chromium.mjs';
import { inner, packageFolder } from './kit/inner.mjs';
import { leaseVectors, root, timelines } from './kit/load.mjs';
import { serve } from './kit/serve.mjs';

const folder = fileURLToPath(new URL('..', import.meta.url));
const source = process.env.SOFTFUSE_JS;
const vectors = timelines().filter((vector) => !vector.raw);
const expected = `ran ${2 * vectors.length + leaseVectors().length} vectors`;
/** A value as JavaScript: JSON knows no NaN and no infinities. */
function literal(value) {
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  if (Array.isArray(value)) return `[${value.map(literal).join(',')}]`;
  if (typeof value === 'object' && value !== null)
    return `{${Object.entries(value)
      .map(([key, inner]) => `${JSON.stringify(key)}:${literal(inner)}`)
      .join(',')}}`;
  return JSON.stringify(value);
}
writeFileSync(join(folder, 'test/portable/data.mjs'), `export default ${literal({ timelines: vectors, leaseVectors: leaseVectors() })};\n`);

function program(name, args) {
  const bin = join(source, 'node_modules/.bin', name);
  assert.ok(existsSync(bin), `${name} is missing: \`npm ci\` in host/js installs it`);
  const { status, stdout, stderr, error } = spawnSync(bin, [...args, 'test/portable/main.mjs'], { cwd: folder, encoding: 'utf8', timeout: 120_000 });
  assert.equal(status, 0, `${error ?? ''} ${stdout} ${stderr}`);
  assert.equal(stdout.trim(), expected);
}

test('Bun', () => program('bun', ['run']));

test('Deno', () => program('deno', ['run', '--allow-read', '--no-prompt', '--node-modules-dir=manual', '--cached-only']));

test('workerd', async () => {
  const dist = readdirSync(join(packageFolder, 'dist'), { recursive: true });
  const modules = [
    ['ESModule', 'test/portable/worker.mjs'],
    ['ESModule', 'test/portable/run.mjs'],
    ['ESModule', 'test/portable/data.mjs'],
    ['ESModule', 'test/kit/lease-vectors.mjs'],
    ['ESModule', 'test/kit/subject.mjs'],
    ['ESModule', 'test/kit/vectors.mjs'],
    ...dist
      .filter((name) => name.endsWith('.js') && !/scorer|entry-(node|web)/.test(name))
      .map((name) => ['ESModule', `node_modules/softfuse/dist/${name}`]),
    ['CompiledWasm', 'node_modules/softfuse/dist/component/breaker.core.wasm'],
  ].map(([type, path]) => ({
    type,
    path: join(folder, path),
    contents: readFileSync(join(folder, path), type === 'CompiledWasm' ? undefined : 'utf8'),
  }));
  const worker = new Miniflare({ modules, modulesRoot: folder, compatibilityDate: '2026-06-01', compatibilityFlags: ['nodejs_compat'] });
  try {
    const response = await worker.dispatchFetch('http://localhost/');
    assert.equal(await response.text(), expected);
  } finally {
    await worker.dispose();
  }
});

test('Chromium, a scorer in a worker of it among them', async () => {
  const { build } = await import('esbuild');
  // The transpiler as an application bundles it: its modules in one, its .wasm files beside that.
  const vendor = join(source, 'node_modules/@bytecodealliance/jco-transpile/vendor');
  const bundle = join(folder, 'transpiler');
  mkdirSync(bundle);
  await build({
    entryPoints: [join(vendor, 'js-component-bindgen-component.js')],
    bundle: true,
    format: 'esm',
    target: 'esnext',
    conditions: ['browser'],
    outfile: join(bundle, 'index.js'),
    external: ['node:*'],
    logLevel: 'error',
  });
  for (const name of readdirSync(vendor).filter((file) => file.endsWith('.wasm'))) cpSync(join(vendor, name), join(bundle, name));
  const components = process.env.SOFTFUSE_COMPONENTS ?? join(root, 'target/components');
  const server = await serve({
    '/node_modules': join(folder, 'node_modules'),
    '/test': join(folder, 'test'),
    '/transpiler': bundle,
    '/text.wasm': join(components, 'scorers/text.wasm'),
  });
  const browser = await chromium();
  try {
    const page = await browser.newPage();
    const problems = [];
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text());
    });
    await page.goto(`${server.origin}/test/portable/page.html`);
    await page.waitForFunction('window.result !== undefined', { timeout: 120_000 });
    assert.equal(await page.evaluate('window.result'), expected, problems.join('\n'));
    assert.deepEqual(problems, []);
  } finally {
    await browser.close();
    server.close();
  }
});

test('each environment gets its own entry', () => {
  const { exports } = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8'));
  const conditions = Object.keys(exports['.']);
  // What comes first wins: Bun and Deno know `node`, too, and workerd's bundlers `browser`.
  assert.deepEqual(conditions, ['types', 'workerd', 'bun', 'deno', 'node', 'browser', 'default']);
  for (const path of Object.values(exports['.'])) assert.ok(existsSync(join(packageFolder, path)), path);
  assert.equal(typeof inner, 'function');
});
