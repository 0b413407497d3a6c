// Builds dist/NAME.wasm, by the name in package.json: bundles the scorer with its libraries, and makes a component of it that imports nothing.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { componentize } from '@bytecodealliance/componentize-js';
import { build } from 'esbuild';

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const { name, config } = JSON.parse(readFileSync(path('package.json'), 'utf8'));
const bundled = await build({
  entryPoints: [path('scorer.js')],
  bundle: true,
  format: 'esm',
  write: false,
  target: 'es2022',
  // Some libraries ask where their page is.
  define: { 'self.location': 'undefined' },
  absWorkingDir: path('.'),
});
const { component, imports } = await componentize(bundled.outputFiles[0].text, {
  witPath: path(config.wit),
  worldName: 'answer-scorer',
  // A scorer gets no clock, no randomness, no network and no streams; so it needn't ask for them.
  disableFeatures: ['clocks', 'random', 'http', 'stdio', 'fetch-event'],
});
mkdirSync(path('dist'), { recursive: true });
writeFileSync(path(`dist/${name}.wasm`), component);
console.log(`dist/${name}.wasm: ${component.length} bytes, imports: ${imports.map(([module]) => module).join(', ') || 'none'}`);
