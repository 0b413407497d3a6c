// The package in Node, Bun and Deno: the component is read from the package's folder.

import { AsyncLocalStorage } from 'node:async_hooks';
import { readFileSync } from 'node:fs';
import { setCoreModule } from './component.js';
import type { Permit } from './permit.js';
import { setCallStorage } from './quality.js';

setCoreModule(new WebAssembly.Module(readFileSync(new URL('./component/breaker.core.wasm', import.meta.url))));
setCallStorage(new AsyncLocalStorage<Permit>());

export * from './index.js';
