// Answers that come in pieces, watched as they pass: how long the first may take, and the next; failures inside of a stream that began well;
// streams that end before their end. The call has ended when its stream has.

import { StreamError } from './errors.js';
import { EventReader, type StreamEvent, type StreamFailure, modelError, modelPieceError } from './events.js';
import { watchedIterable } from './iterables.js';

/** What is kept of an answer for its scorer, in bytes, unless the options say otherwise. */
const ANSWER_BYTES_MAX = 65_536;

/** How an answer is watched that is a `Response` with a body, a `ReadableStream`, or an async iterable. */
export interface StreamOptions {
  /** How long the call may take till the first piece, in milliseconds. Default: as long as it likes. */
  firstPieceMs?: number;
  /** How long each further piece may take, in milliseconds. Time that the reader takes for itself doesn't count. Default: as long as it likes. */
  stallMs?: number;
  /**
   * With one of which a `Response` of `text/event-stream` ends: an event's data, or its name. One that ends without any has broken off. Default:
   * it may end anywhere.
   */
  endMarks?: readonly string[];
  /** Says of an event of such a response what it counts as, where it tells of an error. */
  errorOf?: (event: StreamEvent) => StreamFailure | undefined;
  /** Says of a piece of an async iterable, or of a `ReadableStream` of values, what it counts as, where it tells of an error. */
  pieceErrorOf?: (piece: any) => StreamFailure | undefined;
  /**
   * Says of a piece of an async iterable, or of a `ReadableStream` of values, whether it is the last, so that one that ends before has broken
   * off. It isn't asked of bytes, which are cut anywhere, and so never of a `Response`'s: its end is told by `endMarks`, or nothing.
   */
  isLast?: (piece: any) => boolean;
  /** The text of such a piece, for the scorer. Bytes and strings are their own. */
  textOf?: (piece: any) => string | undefined;
  /** What is kept for the scorer, in bytes. Default 65,536. */
  answerBytesMax?: number;
}

/**
 * For services for language models: a minute for the first piece, half a minute for each further one, the end marks of OpenAI's and
 * Anthropic's streams, and their errors.
 */
export function modelStream(more: StreamOptions = {}): StreamOptions {
  return {
    firstPieceMs: 60_000,
    stallMs: 30_000,
    endMarks: ['[DONE]', 'message_stop', 'response.completed', 'response.incomplete'],
    errorOf: modelError,
    pieceErrorOf: modelPieceError,
    ...more,
  };
}

const KEYS: ReadonlySet<string> = new Set<keyof StreamOptions>([
  'firstPieceMs',
  'stallMs',
  'endMarks',
  'errorOf',
  'pieceErrorOf',
  'isLast',
  'textOf',
  'answerBytesMax',
]);

/** Throws where these are no options. @internal */
export function checkStreamOptions(options: StreamOptions): void {
  for (const key of Object.keys(options)) {
    if (!KEYS.has(key)) throw new TypeError(`there is no option "${key}" of a stream: there are ${[...KEYS].join(', ')}`);
  }
  for (const key of ['firstPieceMs', 'stallMs', 'answerBytesMax'] as const) {
    const value = options[key];
    if (value !== undefined && !(value > 0 && value < 2 ** 31)) throw new RangeError(`${key} is ${String(value)}: a number above 0, below 2^31, is expected`);
  }
  for (const key of ['errorOf', 'pieceErrorOf', 'isLast', 'textOf'] as const) {
    if (options[key] !== undefined && typeof options[key] !== 'function') throw new TypeError(`${key} is ${String(options[key])}: a function is expected`);
  }
}

/** What the call comes to. @internal */
export interface StreamEnd {
  /** A piece of what a scorer may see. Whether it is taken: it is kept otherwise. */
  piece(bytes: Uint8Array): boolean;
  /** It has come to its end, or its reader has had enough; with what came, as far as it is kept: undefined where nobody has seen it. */
  ended(answer: Uint8Array | undefined, complete: boolean): void;
  /** It has failed. */
  failed(error: unknown): void;
  /** A hook of the user's threw. */
  fault(failure: unknown): void;
}

/** A piece's bytes, where it is of bytes. */
function bytesOf(piece: unknown): Uint8Array | undefined {
  if (piece instanceof Uint8Array) return piece;
  if (ArrayBuffer.isView(piece)) return new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength);
  return piece instanceof ArrayBuffer ? new Uint8Array(piece) : undefined;
}

/** Watches one stream. @internal */
export class Watch {
  private isOver = false;
  private toDoAtEnd: (() => void)[] = [];
  /** Pieces that are waited for. */
  private pulls = 0;
  private isGivenUp = false;
  private pieces = 0;
  private marked = false;
  /** Its pieces are bytes. */
  private isBytes = false;
  /** Some piece had bytes, or a text. */
  private isSeen = false;
  private readonly kept: Uint8Array[] = [];
  private keptBytes = 0;
  private cut = false;
  private reader: EventReader | undefined;
  private readonly decoder = new TextDecoder();
  private failure: StreamError | undefined;

  constructor(
    private readonly options: StreamOptions,
    private readonly end: StreamEnd,
    /** What the call has taken so far, in milliseconds. */
    private readonly tookMs: number,
  ) {}

  /** The pieces are the bytes of a response of this content type. */
  readResponse(contentType: string | null): void {
    this.isBytes = true;
    if (contentType?.startsWith('text/event-stream') !== true) return;
    const { endMarks = [], errorOf } = this.options;
    if (endMarks.length === 0 && errorOf === undefined) return;
    this.reader = new EventReader((event) => {
      this.marked ||= endMarks.includes(event.data) || (event.event !== '' && endMarks.includes(event.event));
      this.tells(this.asked(() => errorOf?.(event)));
    });
  }

  private tells(failure: StreamFailure | undefined): void {
    if (failure !== undefined) this.failure ??= new StreamError(failure.kind, `an error in the stream: ${failure.message}`, failure.retryAfterMs);
  }

  private asked<R>(ask: () => R): R | undefined {
    try {
      return ask();
    } catch (failure) {
      this.end.fault(failure);
      return undefined;
    }
  }

  /** Its call has ended. */
  get over(): boolean {
    return this.isOver;
  }

  /** Something to do when its call has ended. */
  whenOver(toDo: () => void): void {
    this.toDoAtEnd.push(toDo);
  }

  /** Waits for the next piece, no longer than it may take. */
  async next<R>(pull: () => Promise<R>, stop: (reason: unknown) => unknown): Promise<R> {
    const { firstPieceMs, stallMs } = this.options;
    const first = this.pieces === 0;
    const most = first ? firstPieceMs : stallMs;
    let timer: ReturnType<typeof setTimeout> | undefined;
    this.pulls += 1;
    try {
      if (most === undefined) return await pull();
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(
          () => reject(new StreamError('timeout', `no ${first ? 'first' : 'further'} piece of the answer within ${most} ms`)),
          Math.max(0, first ? most - this.tookMs : most),
        );
      });
      return await Promise.race([pull(), late]);
    } catch (error) {
      if (error instanceof StreamError) void Promise.resolve(this.asked(() => stop(error))).catch(() => undefined);
      throw error;
    } finally {
      clearTimeout(timer);
      this.pulls -= 1;
    }
  }

  /** A piece has come. */
  piece(piece: unknown): void {
    this.pieces += 1;
    const bytes = bytesOf(piece);
    if (bytes !== undefined) {
      this.isBytes = true;
      this.keep(bytes);
      this.reader?.read(this.decoder.decode(bytes, { stream: true }));
    } else {
      const { isLast, pieceErrorOf, textOf } = this.options;
      this.tells(this.asked(() => pieceErrorOf?.(piece)));
      if (isLast !== undefined) this.marked ||= this.asked(() => isLast(piece)) === true;
      const text = typeof piece === 'string' ? piece : this.asked(() => textOf?.(piece));
      if (typeof text === 'string') this.keep(new TextEncoder().encode(text));
    }
    // An error inside is the reader's to read; the breaker needn't wait for the end.
    if (this.failure !== undefined) this.failed(this.failure);
    if (this.isGivenUp) this.left();
  }

  private keep(bytes: Uint8Array): void {
    this.isSeen = true;
    if (this.isOver || this.asked(() => this.end.piece(bytes)) === true) return;
    const room = (this.options.answerBytesMax ?? ANSWER_BYTES_MAX) - this.keptBytes;
    this.cut ||= bytes.length > room;
    if (room <= 0) return;
    const kept = bytes.slice(0, room);
    this.kept.push(kept);
    this.keptBytes += kept.length;
  }

  /** The stream has ended by itself. Throws where that was too early. */
  ended(): void {
    this.reader?.end();
    const { isLast, endMarks = [] } = this.options;
    const asks = this.reader === undefined ? isLast !== undefined && !this.isBytes : endMarks.length > 0;
    if (asks && !this.marked && !this.isGivenUp) this.failure ??= new StreamError('error', 'the stream ended without its end mark');
    if (this.failure === undefined) return this.finish(!this.isGivenUp);
    // What was told of inside has been read already.
    const told = this.over;
    this.failed(this.failure);
    if (!told) throw this.failure;
  }

  /** The same, where nobody can be told that it was too early. */
  endedUntold(): void {
    try {
      this.ended();
    } catch {
      // It counts, and that is all.
    }
  }

  /** It has ended well; what it was nobody has seen. */
  endedUnseen(): void {
    if (this.endOnce()) this.end.ended(undefined, true);
  }

  /** Its reader has had enough, which is nobody's failure. */
  left(): void {
    this.finish(false);
  }

  /**
   * Its reader has aborted the source. If a piece is waited for, what that comes to says more: a client whose stream has failed aborts it,
   * and then tells why.
   */
  gaveUp(): void {
    this.isGivenUp = true;
    if (this.pulls === 0) this.left();
  }

  failed(error: unknown): void {
    if (this.endOnce()) this.end.failed(error);
  }

  /** Whether this is its end, and not one after it. */
  private endOnce(): boolean {
    if (this.isOver) return false;
    this.isOver = true;
    for (const toDo of this.toDoAtEnd.splice(0)) toDo();
    return true;
  }

  private finish(complete: boolean): void {
    if (!this.endOnce()) return;
    const answer = new Uint8Array(this.keptBytes);
    let at = 0;
    for (const part of this.kept) {
      answer.set(part, at);
      at += part.length;
    }
    // Pieces of which no text is known say nothing of the answer.
    this.end.ended(this.isSeen || this.pieces === 0 ? answer : undefined, complete && !this.cut);
  }
}

/** A body that passes the source's pieces on; or lets go of the source, as long as nothing was read. */
function watchedBody(source: ReadableStream, watch: Watch): { body: ReadableStream; letGo: () => void } {
  const reader = source.getReader();
  const body = new ReadableStream(
    {
      async pull(controller) {
        try {
          const { done, value } = await watch.next(
            () => reader.read(),
            (reason) => reader.cancel(reason),
          );
          if (done) {
            watch.ended();
            controller.close();
          } else {
            watch.piece(value);
            controller.enqueue(value);
          }
        } catch (error) {
          watch.failed(error);
          throw error;
        }
      },
      cancel(reason) {
        watch.left();
        return reader.cancel(reason);
      },
    },
    // Nothing is read ahead, so that the reader's own time doesn't count.
    { highWaterMark: 0 },
  );
  return { body, letGo: () => reader.releaseLock() };
}

function isBody(value: unknown): value is ReadableStream {
  return typeof value === 'object' && value !== null && typeof (value as { getReader?: unknown }).getReader === 'function';
}

/** The same response with its body watched; undefined where none can be made of it. */
function watchedResponse(source: Response, body: ReadableStream, watch: Watch): Response | undefined {
  const { headers, status, statusText, url, redirected, type } = source;
  // Somebody has read it, or is at it: that reader's, not ours.
  if (source.bodyUsed || body.locked) return undefined;
  watch.readResponse(headers.get('content-type'));
  let response: Response;
  const passing = watchedBody(body, watch);
  try {
    response = new Response(passing.body, { status, statusText, headers });
  } catch {
    // What only looks like a response may have a status that none with a body has.
    passing.letGo();
    return undefined;
  }
  // What a response that was made by hand can't say.
  for (const [key, said] of Object.entries({ url, redirected, type })) Object.defineProperty(response, key, { value: said, configurable: true });
  return response;
}

/**
 * The same answer, watched; undefined where it doesn't come in pieces, or its pieces are somebody else's already: a body that is locked, or
 * was read. `tookMs` is what the call has taken so far.
 * @internal
 */
export function watched(value: unknown, options: StreamOptions, tookMs: number, end: StreamEnd): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  const watch = new Watch(options, end, tookMs);
  if (isBody(value)) return value.locked ? undefined : watchedBody(value, watch).body;
  const { body, headers } = value as Response;
  if (isBody(body) && typeof headers?.get === 'function') return watchedResponse(value as Response, body, watch);
  if (typeof (value as AsyncIterable<unknown>)[Symbol.asyncIterator] === 'function') return watchedIterable(value as AsyncIterable<unknown>, watch);
  return undefined;
}
