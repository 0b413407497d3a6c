// The package in workerd (Cloudflare Workers), which compiles no bytes at run time: the component is a module that is imported.

// @ts-ignore: workerd and its bundlers know what a .wasm module is: a WebAssembly.Module.
import breakerModule from './component/breaker.core.wasm';
import { setCoreModule } from './component.js';
import { type CallStorage, setCallStorage } from './quality.js';

setCoreModule(breakerModule as WebAssembly.Module);
try {
  // With the flag `nodejs_als` or `nodejs_compat`.
  const hooks: { AsyncLocalStorage: new () => CallStorage } = await import('node:async_hooks');
  setCallStorage(new hooks.AsyncLocalStorage());
} catch {
  // Without it, reportQuality() finds a call until its first await.
}

export * from './index.js';
