// Users' scorers: components that are loaded at run time and run in a worker, within bounds of time and memory. One that loops,
// breaks off, eats memory or says nonsense harms no call: there is no score then.
//
// They are made ready by jco's transpiler, `@bytecodealliance/jco-transpile`, which is installed beside this package where
// scorers are used.

import type { Order, Prepared, Reply, ScorerFailureKind, WireBody, WireExchange } from './protocol.js';

/** A request's or an answer's content. */
export interface Body {
  /** A media type, as in `application/json`; empty where it isn't known. */
  contentType?: string;
  /** Bytes, or text, which becomes UTF-8. */
  content: Uint8Array | string;
  /** Whether it was cut, or broke off. */
  truncated?: boolean;
}

/** One call and its answer, as a scorer sees it. Bodies may be given as text alone. */
export interface Exchange {
  /** What was asked for: `chat`, `embeddings`, `classify`. */
  operation?: string;
  model?: string;
  request?: Body | string;
  answer: Body | string;
  /** Whatever else there is to know, by name. */
  metadata?: Readonly<Record<string, string>>;
}

/** A scorer's bounds and settings. */
export interface ScorerOptions {
  /** For events and metrics. Default `scorer`. */
  name?: string;
  /** Text in a format of the scorer's own. Default empty. */
  config?: string;
  /** How long it may take for one answer, its waiting not counted. Default 1,000; at most an hour. */
  deadlineMs?: number;
  /** How long it may take to be made ready, to start, and to read its configuration: each. Default 30,000. */
  startDeadlineMs?: number;
  /** What each of an instance's memories may have. Default 256 MiB. */
  memoryBytesMax?: number;
  /** What is shown of a body; it is cut beyond. Default 1 MiB. */
  bodyBytesMax?: number;
  /** Answers that may wait; beyond, they are dropped. Default 64. */
  waitingMax?: number;
  /** Whether every answer gets an instance of its own. Default no. */
  fresh?: boolean;
  /** Where the transpiler is imported from. Default `@bytecodealliance/jco-transpile/component`; in a browser without an import map, its address. */
  transpiler?: string;
}

/** Why a scorer gave no score. */
export class ScorerError extends Error {
  override readonly name = 'ScorerError';

  constructor(
    readonly kind: ScorerFailureKind,
    message: string,
  ) {
    super(message);
  }
}

interface Thread {
  post(order: Order): void;
  end(): void;
}

const HOUR_MS = 3_600_000;

/** A worker. Of one that was ended nothing more is heard. */
async function thread(replied: (reply: Reply) => void, broke: (error: unknown) => void): Promise<Thread> {
  let ended = false;
  const onReply = (reply: Reply): void => {
    if (!ended) replied(reply);
  };
  const onError = (error: unknown): void => {
    if (!ended) broke(error);
    ended = true;
  };
  const url = new URL('./worker.js', import.meta.url);
  if (globalThis.process?.versions?.node !== undefined) {
    const { Worker } = await import('node:worker_threads');
    const worker = new Worker(url, { env: {}, stdout: false, stderr: false });
    worker.unref();
    worker.on('message', onReply);
    worker.on('error', onError);
    worker.on('exit', () => onError(new Error('its worker has ended')));
    return {
      post: (order) => worker.postMessage(order),
      end: () => {
        ended = true;
        void worker.terminate();
      },
    };
  }
  if (typeof globalThis.Worker !== 'function')
    throw new ScorerError('refused', "there are no workers here, and a scorer that can't be stopped is not run");
  const worker = new globalThis.Worker(url, { type: 'module' });
  worker.onmessage = ({ data }: { data: Reply }) => onReply(data);
  worker.onerror = (event) => onError(new Error(event.message));
  return {
    post: (order) => worker.postMessage(order),
    end: () => {
      ended = true;
      worker.terminate();
    },
  };
}

interface Waiting {
  exchange: WireExchange;
  resolve: (score: number | undefined) => void;
  reject: (error: ScorerError) => void;
}

function bound(value: number | undefined, byDefault: number, most: number, what: string): number {
  const given = value ?? byDefault;
  if (typeof given !== 'number' || !(given > 0) || given > most)
    throw new RangeError(`${what} is ${String(value)}: a number above 0, at most ${most}, is expected`);
  return given;
}

/** A scorer at work. */
export class Scorer {
  readonly name: string;
  private readonly waiting: Waiting[] = [];
  private worker: Thread | undefined;
  private answered: ((reply: Reply) => void) | undefined;
  private broke: ((error: unknown) => void) | undefined;
  private prepared: Prepared | undefined;
  private busy = false;
  private closed = false;

  private constructor(
    private readonly options: ScorerOptions,
    private readonly bounds: { deadlineMs: number; startDeadlineMs: number; bodyBytesMax: number; waitingMax: number; memoryBytesMax: number },
  ) {
    this.name = options.name ?? 'scorer';
  }

  /** Loads a component's bytes, starts it, and has it read its configuration. Throws {@link ScorerError} where it can't be. */
  static async load(component: Uint8Array, options: ScorerOptions = {}): Promise<Scorer> {
    const scorer = new Scorer(options, {
      deadlineMs: bound(options.deadlineMs, 1000, HOUR_MS, 'deadlineMs'),
      startDeadlineMs: bound(options.startDeadlineMs, 30_000, HOUR_MS, 'startDeadlineMs'),
      bodyBytesMax: bound(options.bodyBytesMax, 1 << 20, 2 ** 31, 'bodyBytesMax'),
      waitingMax: bound(options.waitingMax, 64, 65_536, 'waitingMax'),
      memoryBytesMax: bound(options.memoryBytesMax, 256 << 20, 2 ** 32, 'memoryBytesMax'),
    });
    try {
      const transpiler = options.transpiler ?? scorer.ownTranspiler();
      const reply = await scorer.ask(
        { do: 'prepare', component, memoryBytesMax: scorer.bounds.memoryBytesMax, transpiler },
        scorer.bounds.startDeadlineMs,
      );
      if (reply.is !== 'prepared') throw scorer.failure(reply);
      scorer.prepared = reply.prepared;
      await scorer.start();
      return scorer;
    } catch (error) {
      scorer.close();
      throw error;
    }
  }

  private ownTranspiler(): string {
    const name = '@bytecodealliance/jco-transpile/component';
    try {
      // Browsers resolve by their import map, which workers don't have.
      return import.meta.resolve(name);
    } catch (error) {
      throw new ScorerError(
        'refused',
        `scorers need the package @bytecodealliance/jco-transpile: npm install @bytecodealliance/jco-transpile@0.15 (${String(error)})`,
      );
    }
  }

  /** Scores an answer. Undefined where the scorer abstains. Throws {@link ScorerError}. */
  score(exchange: Exchange): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      if (this.closed) return reject(new ScorerError('closed', `the scorer "${this.name}" was closed`));
      if (this.waiting.length >= this.bounds.waitingMax)
        return reject(
          new ScorerError('busy', `${this.waiting.length} answers wait for the scorer "${this.name}" already: \`waitingMax\` sets the bound`),
        );
      try {
        this.waiting.push({ exchange: this.wire(exchange), resolve, reject });
      } catch (error) {
        return reject(error);
      }
      void this.work();
    });
  }

  /** Ends the scorer and its worker. What waits gets no score. */
  close(): void {
    this.closed = true;
    this.endWorker();
    for (const { reject } of this.waiting.splice(0)) reject(new ScorerError('closed', `the scorer "${this.name}" was closed`));
  }

  private endWorker(): void {
    this.worker?.end();
    this.worker = undefined;
    this.broke?.(new ScorerError('closed', 'its worker has ended'));
  }

  private async work(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift()) {
      try {
        if (this.worker === undefined) await this.start();
        const reply = await this.ask({ do: 'score', exchange: next.exchange }, this.bounds.deadlineMs);
        if (reply.is === 'score') next.resolve(reply.score);
        else if (reply.is === 'abstained') next.resolve(undefined);
        else next.reject(this.failure(reply));
      } catch (error) {
        next.reject(error instanceof ScorerError ? error : new ScorerError('other', String(error)));
      }
    }
    this.busy = false;
  }

  private async start(): Promise<void> {
    if (this.prepared === undefined) throw new ScorerError('other', 'it was never made ready');
    const { config = '', fresh = false } = this.options;
    const reply = await this.ask({ do: 'start', prepared: this.prepared, config, fresh }, this.bounds.startDeadlineMs);
    if (reply.is === 'started') return;
    this.endWorker();
    throw this.failure(reply);
  }

  private failure(reply: Reply): ScorerError {
    if (reply.is === 'failed') return new ScorerError(reply.kind, `the scorer "${this.name}": ${reply.message}`);
    return new ScorerError('other', `the scorer "${this.name}" answered ${reply.is} out of turn`);
  }

  /** Asks the worker, which is ended if it takes too long. */
  private async ask(order: Order, deadlineMs: number): Promise<Reply> {
    this.worker ??= await thread(
      (reply) => this.answered?.(reply),
      (error) => this.broke?.(error),
    );
    const { worker } = this;
    return new Promise<Reply>((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        this.answered = this.broke = undefined;
      };
      const timer = setTimeout(() => {
        end();
        this.endWorker();
        reject(new ScorerError('timeout', `the scorer "${this.name}" took longer than ${deadlineMs} ms`));
      }, deadlineMs);
      this.answered = (reply) => {
        end();
        resolve(reply);
      };
      this.broke = (error) => {
        end();
        this.worker = undefined;
        reject(
          error instanceof ScorerError
            ? error
            : new ScorerError('trap', `the scorer "${this.name}": ${error instanceof Error ? error.message : String(error)}`),
        );
      };
      worker.post(order);
    });
  }

  private body(given: Body | string | undefined): WireBody {
    const { contentType = '', content, truncated = false }: Body = typeof given === 'string' ? { content: given } : (given ?? { content: '' });
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
    if (!(bytes instanceof Uint8Array)) throw new ScorerError('other', "an exchange's content is text or a Uint8Array");
    const { bodyBytesMax } = this.bounds;
    return { contentType, bytes: bytes.slice(0, bodyBytesMax), truncated: truncated || bytes.length > bodyBytesMax };
  }

  private wire(exchange: Exchange): WireExchange {
    const { operation = '', model = '', request, answer, metadata = {} } = exchange;
    const pairs = Object.entries(metadata).map(([key, value]): [string, string] => [key, String(value)]);
    return { head: { operation, model, request: this.body(request), metadata: pairs }, answer: this.body(answer) };
  }
}
