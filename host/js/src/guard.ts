// Guarded calls: a permit, the call, the settlement, and a fallback where there is one.

import { untilAborted } from './abort.js';
import type { Breaker } from './breaker.js';
import { type Ending, classifyError, classifyValue, isResponse } from './classify.js';
import { CircuitOpenError } from './errors.js';
import { type CallOptions, type FallbackCause, type GuardOptions, checkGuardOptions } from './guard-options.js';
import { ADMIT, type Grant } from './lease.js';
import { Permit, SUCCESS, type Settled } from './permit.js';
import { inCall } from './quality.js';
import { Scoring } from './scoring.js';
import { type StreamEnd, watched } from './stream.js';
import { type Outcome, isOutcomeKind, isScore, scoreUnits } from './types.js';

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}

/** A breaker with all that a guarded call needs besides. Made once, used for many calls. */
export class Guard<F = never> {
  private readonly hasFallback: boolean;
  private readonly ambient: boolean;
  /** Nothing is looked at but whether the call failed. */
  private readonly plain: boolean;
  private readonly scoring: Scoring;
  /** The function is known to be asynchronous. */
  private isAsync: boolean;

  constructor(
    /** The breaker. */
    readonly breaker: Breaker,
    private readonly options: GuardOptions<F>,
  ) {
    checkGuardOptions(options);
    const { classify, fallback, scorer, score, replaceBelow, stream } = options;
    this.hasFallback = fallback !== undefined || Object.hasOwn(options, 'fallbackValue');
    this.plain = classify === undefined && scorer === undefined && replaceBelow === undefined && stream === undefined;
    this.ambient = options.ambient ?? (breaker.policy.usesScores && score === undefined && scorer === undefined);
    this.isAsync = options.async ?? false;
    this.scoring = new Scoring(breaker, options);
  }

  /** Wraps a function: `this` and the arguments pass through. */
  wrap<A extends unknown[], R, T = unknown>(run: (this: T, ...args: A) => R): (this: T, ...args: A) => R | F {
    const guard = this;
    if (this.options.async === undefined && run.constructor.name === 'AsyncFunction') this.isAsync = true;
    const guarded = function (this: T, ...args: A): R | F {
      return (guard.plain && !guard.ambient ? guard.callPlain(run, this, args) : guard.callInFull(run, this, args)) as R | F;
    };
    Object.defineProperty(guarded, 'name', { value: run.name, configurable: true });
    return guarded;
  }

  /**
   * Makes the call: the function gets the permit. A refusal is thrown; it is a rejected promise where a signal is given, or the
   * function is an `async` one: others may be either, one by one.
   */
  call<R>(run: (permit: Permit) => R, options?: CallOptions): R | F {
    const { signal } = options ?? {};
    const isAsync = this.options.async ?? (signal !== undefined || run.constructor.name === 'AsyncFunction');
    if (signal?.aborted === true) return Promise.reject(signal.reason) as R;
    let permit: Permit;
    try {
      permit = this.breaker.permit();
    } catch (error) {
      return this.refused(error, [], isAsync) as R | F;
    }
    return this.finish(permit, () => run(permit), [], signal) as R | F;
  }

  /** The way of most calls: no object is made for it but the promise. */
  private callPlain(run: (...args: any[]) => unknown, self: unknown, args: unknown[]): unknown {
    const { breaker } = this;
    const { lease, home } = breaker;
    let grant: Grant;
    let startedAt = -1;
    if (lease.timeless && lease.admission === ADMIT && home.latencies === 'as-needed') {
      grant = lease.grant;
    } else {
      startedAt = home.clock.now();
      try {
        grant = breaker.admit(startedAt);
      } catch (error) {
        return this.refused(error, args, this.isAsync);
      }
    }
    let result: unknown;
    try {
      result = run.apply(self, args);
    } catch (error) {
      return this.threw(new Permit(breaker, grant, startedAt), error, args, undefined);
    }
    if (!isThenable(result)) {
      if (isResponse(result)) return this.answered(new Permit(breaker, grant, startedAt), result, args);
      this.succeeded(grant, startedAt, result, args);
      return result;
    }
    this.isAsync = true;
    const promise = result instanceof Promise ? result : Promise.resolve(result);
    return promise.then(
      (value) => {
        if (isResponse(value)) return this.answered(new Permit(breaker, grant, startedAt), value, args);
        this.succeeded(grant, startedAt, value, args);
        return value;
      },
      (error: unknown) => this.threw(new Permit(breaker, grant, startedAt), error, args, undefined),
    );
  }

  /** A plain success. */
  private succeeded(grant: Grant, startedAt: number, value: unknown, args: unknown[]): void {
    const { breaker } = this;
    let score = NaN;
    let units = NaN;
    if (this.options.score !== undefined) {
      score = this.scoreSaid(value, args);
      if (score === score) breaker.tally.scores.add((units = scoreUnits(score)));
    }
    if (startedAt < 0 && breaker.lease.keepTimeless(grant, units, false)) return;
    const now = breaker.home.clock.now();
    const latency = startedAt < 0 || now < startedAt ? 0 : now - startedAt;
    if (startedAt >= 0) breaker.tally.latencies.add(latency);
    if (breaker.lease.keep(grant, now, latency, units, false)) return;
    breaker.record(grant, 'success', latency, score, units, false, undefined, now);
  }

  private callInFull(run: (...args: any[]) => unknown, self: unknown, args: unknown[]): unknown {
    let permit: Permit;
    try {
      permit = this.breaker.permit();
    } catch (error) {
      return this.refused(error, args, this.isAsync);
    }
    const made = (): unknown => (this.ambient ? inCall(permit, () => run.apply(self, args)) : run.apply(self, args));
    const result = this.finish(permit, made, args, undefined);
    if (isThenable(result)) this.isAsync = true;
    return result;
  }

  private finish(permit: Permit, run: () => unknown, args: unknown[], signal: AbortSignal | undefined): unknown {
    let result: unknown;
    try {
      result = run();
    } catch (error) {
      return this.threw(permit, error, args, signal);
    }
    if (!isThenable(result)) return this.answered(permit, result, args, signal);
    const promise = result instanceof Promise ? result : Promise.resolve(result);
    const awaited = signal === undefined ? promise : untilAborted(promise, signal);
    return awaited.then(
      (value) => this.answeredLater(permit, value, args, signal),
      (error: unknown) => this.threw(permit, error, args, signal),
    );
  }

  /** A refusal: the fallback, or the error, as a rejection where the function is asynchronous. */
  private refused(error: unknown, args: unknown[], isAsync: boolean): unknown {
    if (error instanceof CircuitOpenError && this.hasFallback) {
      if (!isAsync) return this.instead({ kind: 'rejected', error }, args);
      try {
        return Promise.resolve(this.instead({ kind: 'rejected', error }, args));
      } catch (thrown) {
        return Promise.reject(thrown);
      }
    }
    if (isAsync) return Promise.reject(error);
    throw error;
  }

  private instead(cause: FallbackCause, args: unknown[]): F {
    return this.options.fallback === undefined ? (this.options.fallbackValue as F) : this.options.fallback(cause, ...args);
  }

  /** The call has failed. An error that opens the circuit gives way to the fallback; any other is the caller's. */
  private threw(permit: Permit, error: unknown, args: unknown[], signal: AbortSignal | undefined): unknown {
    const outcome = this.classified({ ok: false, error }) ?? classifyError(error, signal);
    const settled = this.settle(permit, outcome);
    if (this.hasFallback && settled?.change?.reason.kind === 'tripped') return this.instead({ kind: 'tripped', error }, args);
    throw error;
  }

  private classified(ending: Ending): Outcome | undefined {
    const { classify } = this.options;
    if (classify === undefined) return undefined;
    try {
      const said = classify(ending);
      if (said === undefined) return undefined;
      const outcome: Outcome = typeof said === 'string' ? { kind: said } : said;
      const { kind, score, retryAfterMs } = outcome;
      if (!isOutcomeKind(kind)) throw new RangeError(`classify() said ${String(kind)}, which is no outcome`);
      if (score !== undefined && !isScore(score)) throw new RangeError(`classify() said the score ${String(score)}, which is none`);
      if (retryAfterMs !== undefined && !(retryAfterMs >= 0)) throw new RangeError(`classify() said retryAfterMs ${String(retryAfterMs)}`);
      return outcome;
    } catch (failure) {
      this.breaker.fault('classify', failure);
      return undefined;
    }
  }

  private settle(permit: Permit, outcome: Outcome): Settled | undefined {
    // Whoever was handed the permit may have settled it.
    return permit.settled ? undefined : permit.settle(outcome);
  }

  /** The outcome of a value, with its score where that is there. */
  private outcomeOf(permit: Permit, value: unknown, args: unknown[]): Outcome {
    const outcome = this.classified({ ok: true, value }) ?? classifyValue(value) ?? SUCCESS;
    if (
      this.options.score === undefined ||
      outcome.kind !== 'success' ||
      outcome.score !== undefined ||
      outcome.pending === true ||
      permit.reported !== undefined
    )
      return outcome;
    const said = this.scoreSaid(value, args);
    if (said === said) permit.reportQuality(said);
    return outcome;
  }

  /** What the user's function says of a value; NaN for nothing. */
  private scoreSaid(value: unknown, args: unknown[]): number {
    try {
      const said = this.options.score?.(value, ...args);
      if (said === undefined) return NaN;
      if (isScore(said)) return said;
      throw new RangeError(`score() returned ${String(said)}: a number is expected, usually from 0 to 1, or undefined`);
    } catch (failure) {
      this.breaker.fault('score', failure);
      return NaN;
    }
  }

  /** An answer that comes in pieces, if it does: the call ends when it has. */
  private streaming(permit: Permit, value: unknown, args: unknown[], signal: AbortSignal | undefined): unknown {
    const { stream } = this.options;
    if (stream === undefined || permit.settled) return undefined;
    const begins = this.classified({ ok: true, value }) ?? classifyValue(value) ?? SUCCESS;
    if (begins.kind !== 'success') return undefined;
    const now = this.breaker.home.clock.now();
    const tookMs = permit.startedAt < 0 ? 0 : (now - permit.startedAt) / 1e6;
    const scored = this.scoring.begin(permit, begins, value, args);
    const end: StreamEnd = {
      piece: (bytes) => scored.push(bytes),
      ended: (answer, complete) => {
        if (!scored.end(answer, complete)) this.settle(permit, begins);
      },
      failed: (error) => {
        scored.discard();
        this.settle(permit, this.classified({ ok: false, error }) ?? classifyError(error, signal));
      },
      fault: (failure) => this.breaker.fault('stream', failure),
    };
    let instead: unknown;
    try {
      instead = watched(value, stream, tookMs, end);
    } catch (failure) {
      // An answer that can't be looked at is handed over as it is: the call has succeeded.
      end.fault(failure);
    }
    if (instead === undefined) scored.discard();
    return instead;
  }

  private answered(permit: Permit, value: unknown, args: unknown[], signal?: AbortSignal): unknown {
    const streamed = this.streaming(permit, value, args, signal);
    if (streamed !== undefined) return streamed;
    const outcome = this.outcomeOf(permit, value, args);
    const exchange = this.scoring.exchange(permit, outcome, value, args);
    if (exchange === undefined || !this.scoring.scoreLate(permit, outcome, exchange)) this.settle(permit, outcome);
    return this.judged(permit, outcome, value, args);
  }

  private answeredLater(permit: Permit, value: unknown, args: unknown[], signal: AbortSignal | undefined): unknown {
    const { scorer, scoreBeforeAnswer } = this.options;
    if (scorer === undefined || scoreBeforeAnswer !== true) return this.answered(permit, value, args, signal);
    const streamed = this.streaming(permit, value, args, signal);
    if (streamed !== undefined) return streamed;
    const outcome = this.outcomeOf(permit, value, args);
    const exchange = this.scoring.exchange(permit, outcome, value, args);
    if (exchange === undefined) {
      this.settle(permit, outcome);
      return this.judged(permit, outcome, value, args);
    }
    // Scoring takes time that isn't the call's.
    const endedAt = this.breaker.home.clock.now();
    return this.scoring.score(exchange).then((score) => {
      if (!permit.settled) {
        if (score !== undefined && permit.reported === undefined) permit.reportQuality(score);
        permit.settleAt(outcome, endedAt);
      }
      return this.judged(permit, outcome, value, args);
    });
  }

  /** The answer, or the fallback where it isn't good enough. */
  private judged(permit: Permit, outcome: Outcome, value: unknown, args: unknown[]): unknown {
    const { replaceBelow } = this.options;
    const score = outcome.score ?? permit.reported;
    if (replaceBelow === undefined || score === undefined || score >= replaceBelow || outcome.kind !== 'success' || !this.hasFallback) return value;
    try {
      const instead: unknown = this.instead({ kind: 'bad-answer', score, answer: value }, args);
      // A fallback that fails costs nobody the answer.
      return isThenable(instead) ? Promise.resolve(instead).catch(() => value) : instead;
    } catch {
      return value;
    }
  }
}
