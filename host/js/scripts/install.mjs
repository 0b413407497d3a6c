// Builds the package, packs it, and installs the tarball with npm into a fresh folder, as a user would.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The package's source folder. */
export const here = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** The repository's root. */
export const root = resolve(here, '../..');

const run = (command, args, cwd) => execFileSync(command, args, { cwd, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' });

/** Installs into a new folder beside which `folders` of the source are copied and `modules` of its development are linked. */
export function installed(folders, modules) {
  console.log(run(process.execPath, [join(here, 'scripts/build.mjs')], here).trim());
  const folder = mkdtempSync(join(tmpdir(), 'softfuse-js-'));
  const [{ filename, files }] = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', folder], here));
  const shipped = files.map((file) => file.path);
  for (const needed of ['dist/index.d.ts', 'dist/component/breaker.core.wasm', 'README.md', 'LICENSE']) {
    if (!shipped.includes(needed)) throw new Error(`the package lacks ${needed}`);
  }
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'a-user', private: true, type: 'module' }));
  run('npm', ['install', '--no-audit', '--no-fund', '--offline', '--ignore-scripts', '--omit=peer', join(folder, filename)], folder);
  for (const name of modules) {
    const target = join(folder, 'node_modules', name);
    mkdirSync(dirname(target), { recursive: true });
    symlinkSync(join(here, 'node_modules', name), target);
  }
  for (const name of folders) cpSync(join(here, name), join(folder, name), { recursive: true });
  return folder;
}
