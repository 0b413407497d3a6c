// Runs one scorer in a worker, which its host ends when it takes too long. Nothing here trusts the component.

import { boundMemory } from './bounds.js';
import { emptyWasi } from './empty-wasi.js';
import type { Order, Prepared, Reply, ScorerFailureKind, WireExchange } from './protocol.js';

interface Instance {
  configure(config: string): void;
  score(exchange: WireExchange): unknown;
}

type Instantiate = (
  getCoreModule: (name: string) => WebAssembly.Module,
  imports: object,
  instantiateCore: (module: WebAssembly.Module, imports: WebAssembly.Imports) => WebAssembly.Instance,
) => Record<string, unknown>;

/** What is kept of a text of the component's, in characters. */
const TEXT_CHARS_MAX = 1024;

let make: (() => Instance) | undefined;
let instance: Instance | undefined;
let fresh = false;

const failed = (kind: ScorerFailureKind, message: string): Reply => ({ is: 'failed', kind, message: message.slice(0, TEXT_CHARS_MAX) });

async function prepare(order: Order & { do: 'prepare' }): Promise<Reply> {
  const { generate, $init } = (await import(order.transpiler)) as {
    generate: (component: Uint8Array, options: object) => { files: [string, Uint8Array][] };
    $init?: Promise<void>;
  };
  await $init;
  let files: [string, Uint8Array][];
  try {
    ({ files } = generate(order.component, {
      name: 'scorer',
      noTypescript: true,
      noNodejsCompat: true,
      instantiation: { tag: 'sync' },
      validLiftingOptimization: false,
    }));
  } catch (error) {
    return failed('refused', `it is no component: ${messageOf(error)}`);
  }
  const prepared: Prepared = { code: '', modules: new Map() };
  try {
    for (const [name, bytes] of files) {
      if (name.endsWith('.wasm')) prepared.modules.set(name, new WebAssembly.Module(boundMemory(bytes, order.memoryBytesMax) as BufferSource));
      else if (name === 'scorer.js') prepared.code = new TextDecoder().decode(bytes);
    }
  } catch (error) {
    return failed('refused', messageOf(error));
  }
  return { is: 'prepared', prepared };
}

/** What a thrown thing says; a component's own errors carry a payload. */
function payloadOf(thrown: unknown): unknown {
  return thrown instanceof Error && Object.hasOwn(thrown, 'payload') ? (thrown as Error & { payload: unknown }).payload : undefined;
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

async function start(order: Order & { do: 'start' }): Promise<Reply> {
  const { code, modules } = order.prepared;
  // Code of the transpiler's, not of the component's.
  const url = `data:text/javascript;base64,${btoa(Array.from(new TextEncoder().encode(code), (byte) => String.fromCharCode(byte)).join(''))}`;
  const { instantiate } = (await import(url)) as { instantiate: Instantiate };
  const getModule = (name: string): WebAssembly.Module => {
    const module = modules.get(name);
    if (module === undefined) throw new Error(`it asks for the module ${name}, which it doesn't have`);
    return module;
  };
  make = () => {
    const root = instantiate(getModule, emptyWasi(), (module, imports) => new WebAssembly.Instance(module, imports));
    const face = (root.scorer ?? Object.entries(root).find(([name]) => name.startsWith('softfuse:scorer/scorer'))?.[1]) as Instance | undefined;
    if (typeof face?.score !== 'function' || typeof face.configure !== 'function') throw new Error('it exports no softfuse:scorer/scorer');
    face.configure(order.config);
    return face;
  };
  fresh = order.fresh;
  try {
    instance = make();
  } catch (error) {
    const problems = payloadOf(error);
    if (!Array.isArray(problems)) return failed('refused', messageOf(error));
    const lines = problems
      .slice(0, 100)
      .map(({ key, message }: { key: unknown; message: unknown }) => `${key === '' ? '' : `${String(key)}: `}${String(message)}`);
    return failed('refused', `its configuration is wrong: ${lines.join('; ')}`);
  }
  return { is: 'started' };
}

function score(exchange: WireExchange): Reply {
  if (make === undefined) return failed('other', 'it was never started');
  try {
    const scorer = instance ?? make();
    instance = fresh ? undefined : scorer;
    const verdict = scorer.score(exchange) as { tag?: unknown; val?: unknown };
    if (verdict?.tag === 'abstain') return { is: 'abstained', text: String(verdict.val).slice(0, TEXT_CHARS_MAX) };
    if (verdict?.tag !== 'score' || typeof verdict.val !== 'number') return failed('other', 'its verdict is neither a score nor an abstention');
    if (!(verdict.val >= -1e6 && verdict.val <= 1e6)) return failed('invalid-score', `it said ${verdict.val}, which is no score`);
    return { is: 'score', score: verdict.val };
  } catch (error) {
    const payload = payloadOf(error) as { tag?: unknown; val?: unknown } | undefined;
    if (payload?.tag === 'malformed') return failed('malformed', String(payload.val));
    if (payload?.tag === 'other') return failed('other', String(payload.val));
    // An instance that broke off can't be entered again.
    instance = undefined;
    return failed('trap', messageOf(error));
  }
}

/** Carries an order out. */
export async function obey(order: Order): Promise<Reply> {
  try {
    if (order.do === 'prepare') return await prepare(order);
    if (order.do === 'start') return await start(order);
    return score(order.exchange);
  } catch (error) {
    return failed('other', messageOf(error));
  }
}

const parent = globalThis as unknown as { onmessage: ((event: { data: Order }) => void) | null; postMessage?: (reply: Reply) => void };
if (typeof parent.postMessage === 'function' && globalThis.process?.versions?.node === undefined) {
  parent.onmessage = ({ data }) => void obey(data).then((reply) => parent.postMessage?.(reply));
} else {
  const { parentPort } = await import('node:worker_threads');
  parentPort?.on('message', (order: Order) => void obey(order).then((reply) => parentPort.postMessage(reply)));
}
