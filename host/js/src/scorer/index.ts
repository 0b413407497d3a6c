// Users' scorers: components that are loaded at run time and run in a worker, within bounds of time and memory. One that loops,
// breaks off, eats memory or says nonsense harms no call: there is no score then.
//
// They are made ready by jco's transpiler, `@bytecodealliance/jco-transpile`, which is installed beside this package where
// scorers are used.

import type { Order, Prepared, Reply, ScorerFailureKind, WireBody, WireExchange, WireHead } from './protocol.js';
import { ScoreStream, type StreamHost } from './stream.js';

export { ScoreStream, type Spoken } from './stream.js';

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

/** What is known of a call whose answer comes in pieces. Of the answer that is its content type at most. */
export interface StreamedExchange extends Omit<Exchange, 'answer'> {
  answer?: { contentType?: string };
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
  /**
   * Answers that it may be shown at once as their pieces pass, each in an instance of its own, where it takes streams. The pieces of others are
   * collected up to `bodyBytesMax`, and it is shown them at the end; so are those of one that had none for a minute, where another wants its
   * place. Default 8.
   */
  streamsMax?: number;
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
    // Nor does it get the process's options: modules that are loaded first are no business of it, and `--input-type` is refused with a file.
    const worker = new Worker(url, { env: {}, execArgv: [], stdout: false, stderr: false });
    worker.on('message', onReply);
    worker.on('error', onError);
    worker.on('exit', () => onError(new Error('its worker has ended')));
    // Last, since who listens to messages keeps the process alive. While an answer is waited for, the deadline's timer does.
    worker.unref();
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
  /** What to ask; undefined for nothing any more. */
  make: (worker: number) => Order | undefined;
  /** What it takes: a worker that is there, or else there is nothing to ask; one in any case; one with an instance that is ready for a stream. */
  needs: 'there' | 'started' | 'ready';
  resolve: (reply: Reply | undefined) => void;
  reject: (error: ScorerError) => void;
}

/** How long a stream keeps its place without a piece, where another wants it. */
const IDLE_MS = 60_000;

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
  /** How many workers it has had. */
  private workers = 0;
  private takesStreams = false;
  /** Streams that have an instance, and when they had their last piece; the one that had none for longest first. */
  private readonly passing = new Map<ScoreStream, number>();
  private readonly host: StreamHost;

  private constructor(
    private readonly options: ScorerOptions,
    private readonly bounds: Record<'deadlineMs' | 'startDeadlineMs' | 'bodyBytesMax' | 'waitingMax' | 'memoryBytesMax' | 'streamsMax', number>,
  ) {
    this.name = options.name ?? 'scorer';
    this.host = this.streamHost();
  }

  /** Loads a component's bytes, starts it, and has it read its configuration. Throws {@link ScorerError} where it can't be. */
  static async load(component: Uint8Array, options: ScorerOptions = {}): Promise<Scorer> {
    const scorer = new Scorer(options, {
      deadlineMs: bound(options.deadlineMs, 1000, HOUR_MS, 'deadlineMs'),
      startDeadlineMs: bound(options.startDeadlineMs, 30_000, HOUR_MS, 'startDeadlineMs'),
      bodyBytesMax: bound(options.bodyBytesMax, 1 << 20, 2 ** 31, 'bodyBytesMax'),
      waitingMax: bound(options.waitingMax, 64, 65_536, 'waitingMax'),
      streamsMax: bound(options.streamsMax, 8, 1024, 'streamsMax'),
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
  async score(exchange: Exchange): Promise<number | undefined> {
    return this.scoreWire(this.wire(exchange));
  }

  private async scoreWire(exchange: WireExchange): Promise<number | undefined> {
    // Orders of streams are bounded by those.
    const waiting = this.waiting.filter(({ needs }) => needs === 'started').length;
    if (waiting >= this.bounds.waitingMax)
      throw new ScorerError('busy', `${waiting} answers wait for the scorer "${this.name}" already: \`waitingMax\` sets the bound`);
    const reply = await this.inTurn(() => ({ do: 'score', exchange }), 'started');
    return reply && this.scoreOf(reply);
  }

  /** Whether it takes answers in pieces, as they pass. */
  get streams(): boolean {
    return this.takesStreams;
  }

  /**
   * Begins to score an answer that comes in pieces, as they pass. For a scorer that takes no streams, and beyond `streamsMax`, they are collected up to
   * `bodyBytesMax`, and it is shown them at the end.
   */
  stream(exchange: StreamedExchange = {}): ScoreStream {
    return new ScoreStream(this.host, this.wireHead(exchange), exchange.answer?.contentType ?? '');
  }

  private streamHost(): StreamHost {
    const { passing, bounds } = this;
    const alive = (stream: ScoreStream): void => {
      passing.delete(stream);
      passing.set(stream, Date.now());
    };
    return {
      bodyBytesMax: bounds.bodyBytesMax,
      alive,
      mayBegin: (stream) => {
        if (!this.takesStreams || this.closed) return false;
        const [idle] = passing;
        if (passing.size >= bounds.streamsMax && idle !== undefined && Date.now() - idle[1] > IDLE_MS) idle[0].collect();
        if (passing.size >= bounds.streamsMax) return false;
        alive(stream);
        return true;
      },
      letGo: (stream) => void passing.delete(stream),
      order: (make, begins) => this.inTurn(make, begins ? 'ready' : 'there'),
      scoreOf: (reply) => this.scoreOf(reply),
      whole: (exchange) => this.scoreWire(exchange),
    };
  }

  private scoreOf(reply: Reply): number | undefined {
    if (reply.is === 'score') return reply.score;
    if (reply.is === 'abstained') return undefined;
    throw this.failure(reply);
  }

  /** Ends the scorer and its worker. What waits gets no score. */
  close(): void {
    this.closed = true;
    this.endWorker();
    for (const { reject } of this.waiting.splice(0)) reject(this.closedError());
  }

  private closedError(): ScorerError {
    return new ScorerError('closed', `the scorer "${this.name}" was closed`);
  }

  private inTurn(make: Waiting['make'], needs: Waiting['needs']): Promise<Reply | undefined> {
    return new Promise((resolve, reject) => {
      if (this.closed) return reject(this.closedError());
      this.waiting.push({ make, needs, resolve, reject });
      void this.work();
    });
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
        next.resolve(await this.turn(next));
      } catch (error) {
        next.reject(error instanceof ScorerError ? error : new ScorerError('other', String(error)));
      }
    }
    this.busy = false;
  }

  private async turn({ make, needs }: Waiting): Promise<Reply | undefined> {
    if (this.worker === undefined) {
      if (needs === 'there') return undefined;
      await this.start();
    }
    if (needs === 'ready') {
      const ready = await this.ask({ do: 'ready' }, this.bounds.startDeadlineMs);
      if (ready.is === 'failed') return ready;
    }
    const order = make(this.workers);
    return order && this.ask(order, this.bounds.deadlineMs);
  }

  private async start(): Promise<void> {
    if (this.prepared === undefined) throw new ScorerError('other', 'it was never made ready');
    const { config = '', fresh = false } = this.options;
    const reply = await this.ask({ do: 'start', prepared: this.prepared, config, fresh }, this.bounds.startDeadlineMs);
    if (reply.is === 'started') {
      this.workers += 1;
      this.takesStreams = reply.streams;
      return;
    }
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

  private wireHead(exchange: Omit<Exchange, 'answer'>): WireHead {
    const { operation = '', model = '', request, metadata = {} } = exchange;
    const pairs = Object.entries(metadata).map(([key, value]): [string, string] => [key, String(value)]);
    return { operation, model, request: this.body(request), metadata: pairs };
  }

  private wire(exchange: Exchange): WireExchange {
    return { head: this.wireHead(exchange), answer: this.body(exchange.answer) };
  }
}
