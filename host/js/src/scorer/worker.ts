// Runs one scorer in a worker, which its host ends when it takes too long. Nothing here trusts the component.

import { boundMemory } from './bounds.js';
import { emptyWasi } from './empty-wasi.js';
import type { Order, Prepared, Reply, ScorerFailureKind, StreamOrder, WireExchange, WireHead } from './protocol.js';

interface Face {
  configure(config: string): void;
  score(exchange: WireExchange): unknown;
}

/** An answer that is being streamed: a resource of the component's. */
interface Answer {
  push(piece: Uint8Array): unknown;
  finish(complete: boolean): unknown;
}

interface Instance {
  scorer: Face;
  /** Undefined where it takes no streams. */
  Answer: (new (head: WireHead, contentType: string) => Answer) | undefined;
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
/** Each has an instance to itself, so that one that breaks off costs one answer. */
const streams = new Map<number, { instance: Instance; answer: Answer }>();
/** One that a stream has left behind. */
let spare: Instance | undefined;

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
    const face = (name: string): unknown => root[name] ?? Object.entries(root).find(([full]) => full.startsWith(`softfuse:scorer/${name}`))?.[1];
    const scorer = face('scorer') as Face | undefined;
    if (typeof scorer?.score !== 'function' || typeof scorer.configure !== 'function') throw new Error('it exports no softfuse:scorer/scorer');
    scorer.configure(order.config);
    return { scorer, Answer: (face('streaming') as Partial<Instance> | undefined)?.Answer };
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
  return { is: 'started', streams: instance.Answer !== undefined };
}

function verdictOf(said: unknown): Reply {
  const verdict = said as { tag?: unknown; val?: unknown } | undefined;
  if (verdict?.tag === 'abstain') return { is: 'abstained', text: String(verdict.val).slice(0, TEXT_CHARS_MAX) };
  if (verdict?.tag !== 'score' || typeof verdict.val !== 'number') return failed('other', 'its verdict is neither a score nor an abstention');
  if (!(verdict.val >= -1e6 && verdict.val <= 1e6)) return failed('invalid-score', `it said ${verdict.val}, which is no score`);
  return { is: 'score', score: verdict.val };
}

/** What it says by an error; undefined where it broke off, and can't be entered again. */
function errorOf(thrown: unknown): Reply | undefined {
  const payload = payloadOf(thrown) as { tag?: unknown; val?: unknown } | undefined;
  return payload?.tag === 'malformed' || payload?.tag === 'other' ? failed(payload.tag, String(payload.val)) : undefined;
}

function score(exchange: WireExchange): Reply {
  if (make === undefined) return failed('other', 'it was never started');
  try {
    const scorer = instance ?? make();
    instance = fresh ? undefined : scorer;
    return verdictOf(scorer.scorer.score(exchange));
  } catch (error) {
    const said = errorOf(error);
    if (said === undefined) instance = undefined;
    return said ?? failed('trap', messageOf(error));
  }
}

/** Has an instance ready for a stream that begins. */
function ready(): Reply {
  if (make === undefined) return failed('other', 'it was never started');
  try {
    spare ??= make();
    return { is: 'heard' };
  } catch (error) {
    return failed('trap', messageOf(error));
  }
}

function begin(stream: number, { head, contentType }: NonNullable<StreamOrder['begin']>): void {
  const made = spare;
  spare = undefined;
  if (made?.Answer === undefined) throw new Error('it takes no streams');
  streams.set(stream, { instance: made, answer: new made.Answer(head, contentType) });
}

/** Lets a stream go, and its instance where that is whole. */
function end(stream: number, whole: boolean): void {
  const held = streams.get(stream);
  streams.delete(stream);
  if (held === undefined) return;
  try {
    // In any case, or it would be done when nobody expects it.
    const { [Symbol.dispose ?? Symbol.for('dispose')]: dispose } = held.answer as Partial<Disposable>;
    dispose?.call(held.answer as Answer & Disposable);
    if (whole && !fresh) spare ??= held.instance;
  } catch {
    // The instance goes with it.
  }
}

function streamed({ stream, begin: beginning, piece, end: ending }: StreamOrder): Reply {
  try {
    if (beginning !== undefined) begin(stream, beginning);
    const answer = streams.get(stream)?.answer;
    if (answer === undefined) return ending === 'forgotten' ? { is: 'heard' } : failed('other', 'there is no such stream');
    let said: unknown = piece.length === 0 ? undefined : answer.push(piece);
    if (said === undefined) {
      if (ending === undefined) return { is: 'heard' };
      said = ending === 'forgotten' ? undefined : (answer.finish(ending === 'complete') ?? null);
    }
    end(stream, true);
    return said === undefined ? { is: 'heard' } : verdictOf(said);
  } catch (error) {
    const said = errorOf(error);
    end(stream, said !== undefined);
    return said ?? failed('trap', messageOf(error));
  }
}

/** Carries an order out. */
export async function obey(order: Order): Promise<Reply> {
  try {
    if (order.do === 'prepare') return await prepare(order);
    if (order.do === 'start') return await start(order);
    if (order.do === 'ready') return ready();
    if (order.do === 'stream') return streamed(order);
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
