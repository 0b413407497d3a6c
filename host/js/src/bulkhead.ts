// A bulkhead: so many calls of one operation at once, so many waiting, each for so long, so that one slow operation can't take all that
// a process has.

/** Calls at once at most, and callers that wait at most: beyond, a bulkhead bounds nothing. */
const CALLERS_MAX = 1_000_000;
/** The longest wait in the queue. */
const QUEUE_TIMEOUT_MS_MAX = 24 * 60 * 60 * 1000;

/** How an operation is bounded. */
export interface BulkheadOptions {
  /** Calls at once: 1 to 1,000,000. */
  concurrentMax: number;
  /** Callers that wait for a place: up to 1,000,000. Default 0: nobody waits. */
  queueMax?: number;
  /** How long each of them waits, in milliseconds: up to 24 hours. Default 30,000. */
  queueTimeoutMs?: number;
}

/** The bounds of the breakers for LLMs that came before Softfuse. */
export const BULKHEAD_PRESETS: Readonly<Record<'chat' | 'embeddings' | 'tools', Readonly<Required<BulkheadOptions>>>> = Object.freeze({
  chat: Object.freeze({ concurrentMax: 10, queueMax: 100, queueTimeoutMs: 30_000 }),
  embeddings: Object.freeze({ concurrentMax: 20, queueMax: 100, queueTimeoutMs: 10_000 }),
  tools: Object.freeze({ concurrentMax: 5, queueMax: 100, queueTimeoutMs: 30_000 }),
});

/** All places are taken, and no further caller may wait. It is no outcome of any breaker, since nothing was called. */
export class BulkheadFullError extends Error {
  override readonly name = 'BulkheadFullError';

  constructor(
    /** The bulkhead's name. */
    readonly bulkhead: string,
    readonly concurrentMax: number,
    /** Callers that were waiting. */
    readonly waiting: number,
    readonly queueMax: number,
  ) {
    super(`the bulkhead "${bulkhead}" is full: it takes ${concurrentMax} calls at once, and ${waiting} of at most ${queueMax} callers wait`);
  }
}

/** The caller waited in the queue, and no place came in time. It is no outcome of any breaker, since nothing was called. */
export class BulkheadTimeoutError extends Error {
  override readonly name = 'BulkheadTimeoutError';

  constructor(
    /** The bulkhead's name. */
    readonly bulkhead: string,
    readonly concurrentMax: number,
    /** How long the caller was to wait, in milliseconds. */
    readonly waitedMs: number,
  ) {
    super(`the bulkhead "${bulkhead}": no place within ${waitedMs} ms; it takes ${concurrentMax} calls at once`);
  }
}

/** What goes on in a bulkhead, and what went on since it was made. */
export interface BulkheadCounts {
  /** Places that are taken. */
  inUse: number;
  /** Callers that wait. */
  waiting: number;
  /** Callers that were refused, since it was full. */
  refused: number;
  /** Callers that waited in vain. */
  timedOut: number;
}

/** The right to one of the calls that a bulkhead allows at once. */
export interface Place {
  /** Gives it back; once, however often it is called. */
  leave(): void;
  [Symbol.dispose](): void;
}

interface Waiting {
  come: () => void;
}

function bound(value: unknown, least: number, most: number, what: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw new RangeError(`${what} is ${String(value)}: a whole number from ${least} to ${most} is expected`);
  }
  return value;
}

/**
 * Bounds how many calls of one operation are made at once. It stands outside the breaker: `bulkhead.run(() => ask(question))` takes a
 * place first, so that waiting is no latency of the service, no probe is kept meanwhile, and a refusal of the bulkhead is no outcome.
 * Who comes first is served first.
 */
export class Bulkhead {
  /** Its bounds. */
  readonly options: Readonly<Required<BulkheadOptions>>;
  private inUse = 0;
  private refused = 0;
  private timedOut = 0;
  /** In the order in which they came. */
  private readonly queue = new Set<Waiting>();

  constructor(
    /** Its name, which stands in its errors. */
    readonly name: string,
    options: BulkheadOptions,
  ) {
    const known = ['concurrentMax', 'queueMax', 'queueTimeoutMs'];
    for (const key of Object.keys(options)) {
      if (!known.includes(key)) throw new TypeError(`there is no option "${key}" of a bulkhead: there are ${known.join(', ')}`);
    }
    const { concurrentMax, queueMax = 0, queueTimeoutMs = 30_000 } = options;
    this.options = Object.freeze({
      concurrentMax: bound(concurrentMax, 1, CALLERS_MAX, 'concurrentMax'),
      queueMax: bound(queueMax, 0, CALLERS_MAX, 'queueMax'),
      queueTimeoutMs: bound(queueTimeoutMs, 0, QUEUE_TIMEOUT_MS_MAX, 'queueTimeoutMs'),
    });
  }

  /** What goes on in it. */
  get counts(): BulkheadCounts {
    return { inUse: this.inUse, waiting: this.queue.size, refused: this.refused, timedOut: this.timedOut };
  }

  /** Takes a place if one is free and nobody waits for it. Throws {@link BulkheadFullError}. */
  tryEnter(): Place {
    const { concurrentMax, queueMax } = this.options;
    if (this.inUse >= concurrentMax) {
      this.refused += 1;
      throw new BulkheadFullError(this.name, concurrentMax, this.queue.size, queueMax);
    }
    this.inUse += 1;
    return this.place();
  }

  /**
   * Takes a place, and waits for one where none is free: for as long as the options say, and until the signal is aborted, with whose
   * reason it rejects then. Otherwise it rejects with {@link BulkheadFullError} at once, or {@link BulkheadTimeoutError} later.
   */
  async enter({ signal }: { signal?: AbortSignal } = {}): Promise<Place> {
    signal?.throwIfAborted();
    const { concurrentMax, queueMax, queueTimeoutMs } = this.options;
    if (this.inUse < concurrentMax || this.queue.size >= queueMax) return this.tryEnter();
    return new Promise<Place>((resolve, reject) => {
      const waiting: Waiting = {
        come: () => {
          gone();
          resolve(this.place());
        },
      };
      const gone = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', aborted);
        this.queue.delete(waiting);
      };
      const aborted = (): void => {
        gone();
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        gone();
        this.timedOut += 1;
        reject(new BulkheadTimeoutError(this.name, concurrentMax, queueTimeoutMs));
      }, queueTimeoutMs);
      signal?.addEventListener('abort', aborted, { once: true });
      this.queue.add(waiting);
    });
  }

  /** Makes a call in a place, which is free again when the call has ended, however it ends. Rejects as {@link enter} does, or as the call. */
  async run<R>(call: () => R | PromiseLike<R>, options: { signal?: AbortSignal } = {}): Promise<R> {
    const place = await this.enter(options);
    try {
      return await call();
    } finally {
      place.leave();
    }
  }

  private place(): Place {
    let left = false;
    const leave = (): void => {
      if (left) return;
      left = true;
      // Handed on, so that nobody overtakes.
      for (const next of this.queue) return next.come();
      this.inUse -= 1;
    };
    return { leave, [Symbol.dispose]: leave };
  }
}
