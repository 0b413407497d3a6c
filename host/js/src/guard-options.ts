// What a guard does besides: what counts as a failure, fallbacks, scorers, streams.

import type { Classified, Ending } from './classify.js';
import type { CircuitOpenError } from './errors.js';
import { type StreamOptions, checkStreamOptions } from './stream.js';
import { isScore } from './types.js';

/** Why a fallback is asked. */
export type FallbackCause =
  /** The call wasn't made. */
  | { kind: 'rejected'; error: CircuitOpenError }
  /** The call failed, and opened the circuit by that. */
  | { kind: 'tripped'; error: unknown }
  /** The call succeeded, and its answer's score is under `replaceBelow`. */
  | { kind: 'bad-answer'; score: number; answer: unknown };

/** Scores answers beside the call; {@link Scorer} is one. */
export interface AnswerScorer {
  readonly name: string;
  /** The score, or undefined where the scorer abstains. It may throw, and then there is none. */
  score(exchange: any): Promise<number | undefined>;
  /** Whether it takes answers in pieces, where it has `stream`. Default: it does. */
  readonly streams?: boolean;
  /** Begins to score an answer that comes in pieces, as they pass; of the exchange's answer there is no content yet. */
  stream?(exchange: any): AnswerStream;
}

/** An answer that is scored as its pieces pass; {@link ScoreStream} is one. It is ended once. */
export interface AnswerStream {
  /** Shows the next piece, in order, and holds nobody up. */
  push(piece: Uint8Array): void;
  /** What it has said before the end; undefined as long as it hasn't. No score for an abstention, and for a failure, of which `finish` tells. */
  readonly verdict: { score: number | undefined } | undefined;
  /** The answer has ended; not complete, where it broke off, or its reader had enough. The score, or undefined where it abstains. It may throw. */
  finish(complete: boolean): Promise<number | undefined>;
  /** The score is wanted by nobody. */
  discard(): void;
}

/** What a guard does besides. */
export interface GuardOptions<F = never> {
  /** Says what a call's end means. Undefined, or a throw, leaves it to the defaults. */
  classify?: (ending: Ending<any>) => Classified;
  /** What to do instead where the call is refused, fails and opens the circuit by that, or is answered badly. It gets the cause and the call's arguments. */
  fallback?: (cause: FallbackCause, ...args: any[]) => F;
  /** A value to give instead: `undefined` and `null`, too, where the key is there. */
  fallbackValue?: F;
  /** Scores a returned value. A score that the call reports itself wins. Undefined is no score; what it throws is told and is none. */
  score?: (value: any, ...args: any[]) => number | undefined;
  /** Scores answers in a sandbox, beside the call: the score comes late. Needs `exchange`. */
  scorer?: AnswerScorer;
  /** What the scorer is shown of a call; undefined where there is nothing to score. Asked at an answer's first piece, if the scorer takes streams. */
  exchange?: (value: any, ...args: any[]) => unknown;
  /** Has the scorer's score before the answer is passed on, so that it goes into the outcome. */
  scoreBeforeAnswer?: boolean;
  /** Gives the fallback in the place of an answer whose score is under this, where the score is there by then. */
  replaceBelow?: number;
  /**
   * Watches answers that come in pieces (a `Response` with a body, a `ReadableStream`, an async iterable): the call has ended when its answer has.
   * Of an iterable the methods that read it are replaced. What can't be watched (a body that was read, a frozen object) has ended the call.
   * {@link modelStream} makes the usual options. What `exchange` gives is shown to the scorer with what came, unless it has a content.
   */
  stream?: StreamOptions;
  /** Whether `reportQuality()` finds this call. Default: where the policy looks at scores and there is no `score` or `scorer`. */
  ambient?: boolean;
  /** Whether the function is asynchronous, so that a refusal is a rejected promise even before its first call. Default: as it turns out. */
  async?: boolean;
}

/** Of one call. */
export interface CallOptions {
  /** The caller's own: where it is aborted the call is neutral, or a timeout by `AbortSignal.timeout`, and the promise rejects at once. */
  signal?: AbortSignal;
}

const KEYS: ReadonlySet<string> = new Set<keyof GuardOptions>([
  'classify',
  'fallback',
  'fallbackValue',
  'score',
  'scorer',
  'exchange',
  'scoreBeforeAnswer',
  'replaceBelow',
  'stream',
  'ambient',
  'async',
]);

/** Throws where these are no options. @internal */
export function checkGuardOptions(options: GuardOptions<unknown>): void {
  for (const key of Object.keys(options)) {
    if (!KEYS.has(key)) throw new TypeError(`there is no option "${key}" of a guard: there are ${[...KEYS].join(', ')}`);
  }
  const { classify, fallback, score, scorer, exchange, replaceBelow, stream } = options;
  for (const [key, value] of Object.entries({ classify, fallback, score, exchange })) {
    if (value !== undefined && typeof value !== 'function') {
      throw new TypeError(`${key} is ${String(value)}: a function is expected${key === 'fallback' ? '; a value is given by fallbackValue' : ''}`);
    }
  }
  if (replaceBelow !== undefined && !isScore(replaceBelow)) throw new RangeError(`replaceBelow is ${String(replaceBelow)}: a score is expected`);
  if ((scorer === undefined) !== (exchange === undefined)) throw new TypeError('scorer and exchange are given together: what the scorer is shown');
  if (stream !== undefined) checkStreamOptions(stream);
}
