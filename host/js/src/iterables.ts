// Async iterables as answers: whoever reads them is watched, by whichever of their methods. The object stays the one that it is, since its
// private parts know no other; only what reads it is put before its own.

import type { Watch } from './stream.js';

/** Calls whose answer one object may be before it is read: nested guards, and an answer that is handed out again. */
const WATCHES_MAX = 16;

type Source = AsyncIterable<unknown>;

/** What a client's stream has besides: that of OpenAI and Anthropic is aborted by its controller. */
interface Controlled {
  controller?: Partial<AbortController>;
}

/** A stream of Node's. */
interface NodeReadable {
  emit(event: string, ...given: unknown[]): unknown;
  pipe: unknown;
  destroyed?: boolean;
  readableEnded?: boolean;
}

/**
 * A stream that reads itself and tells of it by events, as `messages.stream()` of Anthropic's client and `chat.completions.stream()` and
 * `responses.stream()` of OpenAI's.
 */
interface EventStream {
  on(event: string, told: (said: unknown) => void): unknown;
  done(): Promise<unknown>;
  ended: boolean;
  aborted?: boolean;
}

/** The events by which those clients hand out what their iterators give. */
const PIECE_EVENTS = ['chunk', 'event', 'streamEvent'] as const;

function has<T>(value: object, ...methods: (keyof T)[]): value is T & object {
  return methods.every((name) => typeof (value as T)[name] === 'function');
}

/** Puts methods before an object's own; false where it takes none. */
function shadow(target: object, methods: Record<PropertyKey, unknown>): boolean {
  const keys = Reflect.ownKeys(methods);
  const free = (key: PropertyKey): boolean => Object.getOwnPropertyDescriptor(target, key)?.configurable !== false;
  if (!Object.isExtensible(target) || !keys.every(free)) return false;
  for (const key of keys) {
    const enumerable = Object.getOwnPropertyDescriptor(target, key)?.enumerable ?? false;
    Object.defineProperty(target, key, { value: methods[key as string], enumerable, writable: true, configurable: true });
  }
  return true;
}

/** Drops those whose calls have ended. */
function prune(watches: Watch[]): void {
  for (let at = watches.length - 1; at >= 0; at -= 1) if (watches[at]?.over === true) watches.splice(at, 1);
}

/** One object that is an answer. */
class Answer {
  /** Those that wait for the first reader. */
  private readonly watches: Watch[] = [];
  private readonly tells: boolean;

  private constructor(private readonly source: Source & Controlled) {
    this.tells = has<EventStream>(source, 'on', 'done') && typeof source.ended === 'boolean';
  }

  /** Puts what is needed before the object's own methods; undefined where it can't be watched. */
  static of(source: Source): Answer | undefined {
    const answer = new Answer(source);
    let methods: Record<PropertyKey, unknown>;
    if (has<AsyncIterator<unknown>>(source, 'next')) {
      methods = answer.stepping(source);
    } else {
      methods = answer.iterating();
      if (has<NodeReadable>(source, 'emit', 'pipe')) methods.emit = answer.emitting(source.emit);
    }
    return shadow(source, methods) ? answer : undefined;
  }

  /** Whether the call is watched from here on. */
  add(watch: Watch): boolean {
    const { source, watches } = this;
    prune(watches);
    const { destroyed, readableEnded } = source as Partial<NodeReadable>;
    if (watches.length >= WATCHES_MAX || destroyed === true || readableEnded === true) return false;
    watches.push(watch);
    if (this.tells) this.listen(watch, source as Source & EventStream);
    else this.heed(watch, source.controller?.signal);
    return true;
  }

  /** Whoever aborts has had enough. */
  private heed(watch: Watch, signal: AbortSignal | undefined): void {
    if (typeof signal?.addEventListener !== 'function') return;
    const gaveUp = (): void => watch.gaveUp();
    signal.addEventListener('abort', gaveUp, { once: true });
    watch.whenOver(() => signal.removeEventListener('abort', gaveUp));
  }

  private listen(watch: Watch, source: EventStream): void {
    let seen = false;
    const piece = (said: unknown): void => {
      if (!this.watches.includes(watch)) return;
      seen = true;
      watch.piece(said);
    };
    const ended = (): void => {
      // An iterator may be behind, and says itself how it ends.
      if (!this.watches.includes(watch)) return;
      // What it has failed with it says nowhere else; and asked before its end, it would take its errors for heeded.
      source.done().then(
        () => (seen ? watch.endedUntold() : watch.endedUnseen()),
        (error: unknown) => this.failed(watch, error),
      );
    };
    if (source.ended) return ended();
    for (const event of PIECE_EVENTS) source.on(event, piece);
    source.on('end', ended);
  }

  private failed(watch: Watch, error: unknown): void {
    if (this.tells && (this.source as Partial<EventStream>).aborted === true) watch.left();
    else watch.failed(error);
  }

  /** Steps of an iterator, told to those who watch it. The list is the caller's, and may grow. */
  private steps(iterator: AsyncIterator<unknown>, watches: Watch[]): AsyncIterator<unknown> {
    const stop = (reason: unknown): unknown => {
      // A generator that waits for its source returns no sooner than that answers.
      this.source.controller?.abort?.(reason);
      return iterator.return?.(reason);
    };
    const passOn = async (step: () => Promise<IteratorResult<unknown>>): Promise<IteratorResult<unknown>> => {
      prune(watches);
      const watching = [...watches];
      let pull = step;
      for (const watch of watching) {
        const inner = pull;
        pull = () => watch.next(inner, stop);
      }
      try {
        const result = await pull();
        for (const watch of watching) {
          if (result.done === true) watch.ended();
          else watch.piece(result.value);
        }
        return result;
      } catch (error) {
        for (const watch of watching) this.failed(watch, error);
        throw error;
      }
    };
    const left = (): void => watches.forEach((watch) => watch.left());
    return {
      next: (...given) => passOn(() => iterator.next(...given)),
      async return(value) {
        left();
        return iterator.return === undefined ? { done: true, value } : iterator.return(value);
      },
      async throw(error) {
        left();
        if (iterator.throw === undefined) throw error;
        return iterator.throw(error);
      },
    };
  }

  /** What makes iterators: the usual method, and the one that `tee()` of OpenAI's client takes. Who reads it again isn't watched. */
  private iterating(): Record<PropertyKey, unknown> {
    const { source } = this;
    const answer = this;
    const making = (make: (this: unknown, ...given: unknown[]) => unknown) =>
      function (this: unknown, ...given: unknown[]): unknown {
        // Taken first: either method may call the other.
        const watches = answer.watches.splice(0);
        let read = false;
        try {
          const iterator = make.apply(this, given);
          read = typeof iterator === 'object' && iterator !== null && has<AsyncIterator<unknown>>(iterator, 'next');
          if (!read || watches.length === 0) return iterator;
          return {
            ...answer.steps(iterator as AsyncIterator<unknown>, watches),
            [Symbol.asyncIterator]() {
              return this;
            },
          };
        } finally {
          if (!read) answer.watches.push(...watches);
        }
      };
    const methods: Record<PropertyKey, unknown> = { [Symbol.asyncIterator]: making(source[Symbol.asyncIterator]) };
    const { iterator } = source as { iterator?: unknown };
    if (Object.hasOwn(source, 'iterator') && typeof iterator === 'function') methods.iterator = making(iterator as () => unknown);
    return methods;
  }

  /** What an iterator is read by, a generator say. */
  private stepping(source: AsyncIterator<unknown>): Record<PropertyKey, unknown> {
    const own: AsyncIterator<unknown> = {
      next: source.next.bind(source),
      ...(source.return && { return: source.return.bind(source) }),
      ...(source.throw && { throw: source.throw.bind(source) }),
    };
    return { ...this.steps(own, this.watches) };
  }

  /** A stream of Node's tells of all that is read of it, by whomever, and how it ends. */
  private emitting(emit: NodeReadable['emit']): unknown {
    const { watches } = this;
    return function (this: unknown, event: string, ...given: unknown[]): unknown {
      for (const watch of watches) {
        if (event === 'data') watch.piece(given[0]);
        else if (event === 'error') watch.failed(given[0]);
        else if (event === 'close') watch.left();
        // An end that came too early counts; those who listen for it can't be told.
        else if (event === 'end') watch.endedUntold();
      }
      return emit.call(this, event, ...given);
    };
  }
}

const answers = new WeakMap<object, Answer>();

/** The same iterable, watched; undefined where it can't be, because it is frozen, or has ended. @internal */
export function watchedIterable(source: AsyncIterable<unknown>, watch: Watch): unknown {
  const answer = answers.get(source) ?? Answer.of(source);
  if (answer === undefined) return undefined;
  answers.set(source, answer);
  return answer.add(watch) ? source : undefined;
}
