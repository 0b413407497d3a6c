// Builds dist/json-schema.wasm: bundles the scorer with its library, and makes a component of it that imports nothing.

import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { componentize } from '@bytecodealliance/componentize-js';
import { build } from 'esbuild';

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const bundled = await build({
  entryPoints: [path('scorer.js')],
  bundle: true,
  format: 'esm',
  write: false,
  target: 'es2022',
  define: { 'self.location': 'undefined' },
  absWorkingDir: path('.'),
});
const { component, imports } = await componentize(bundled.outputFiles[0].text, {
  witPath: process.env.SOFTFUSE_WIT ?? path('../../../wit/scorer'),
  worldName: 'answer-scorer',
  // A scorer gets no clock, no randomness, no network and no streams; so it needn't ask for them.
  disableFeatures: ['clocks', 'random', 'http', 'stdio', 'fetch-event'],
});
mkdirSync(path('dist'), { recursive: true });
writeFileSync(path('dist/json-schema.wasm'), component);
console.log(`dist/json-schema.wasm: ${component.length} bytes, imports: ${imports.map(([name]) => name).join(', ') || 'none'}`);
