// The package in browsers: the component is fetched from beside this file, before whoever imports this goes on.

import { setCoreModule } from './component.js';

const url = new URL('./component/breaker.core.wasm', import.meta.url);

async function load(): Promise<WebAssembly.Module> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the breaker component can't be loaded from ${url.href}: status ${response.status}`);
  // A server that doesn't know the type of .wasm files does no harm.
  const type = response.headers.get('content-type');
  if (type?.startsWith('application/wasm') === true) return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await response.arrayBuffer());
}

setCoreModule(await load());

export * from './index.js';
