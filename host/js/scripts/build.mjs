// Builds the package into dist/: the breaker component by jco, then TypeScript.

import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { dirname, join, resolve } from 'node:path';

const here = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const root = resolve(here, '../..');
const components = process.env.SOFTFUSE_COMPONENTS ?? join(root, 'target/components');
const component = join(components, 'breaker.wasm');
if (!existsSync(component)) {
  console.error(
    `${component} is missing. Make the components first, from the repository's root:\n\n  cargo run --release -- components target/components\n`,
  );
  process.exit(1);
}

const dist = join(here, 'dist');
const generated = join(here, 'src/component');
rmSync(dist, { recursive: true, force: true });
rmSync(generated, { recursive: true, force: true });
mkdirSync(generated, { recursive: true });

const { transpile } = await import('@bytecodealliance/jco');
const { files } = await transpile(readFileSync(component), { name: 'breaker', instantiation: 'sync', noNodejsCompat: true });
for (const [name, bytes] of Object.entries(files)) {
  const path = join(generated, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
}

const require = createRequire(import.meta.url);
const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin/tsc');
execFileSync(process.execPath, [tsc, '-p', join(here, 'tsconfig.json')], { stdio: 'inherit' });
cpSync(generated, join(dist, 'component'), { recursive: true });
cpSync(join(root, 'LICENSE'), join(here, 'LICENSE'));
console.log(`built ${dist}`);
