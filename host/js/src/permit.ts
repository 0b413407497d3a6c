// A permit as a value: settled once. Before that it keeps what is reported of the answer's quality; after it, it hands late scores in.

import { spanNanos } from './clock.js';
import type { Breaker, Recorded } from './breaker.js';
import { InvalidScoreError, PermitGoneError } from './errors.js';
import type { Grant } from './lease.js';
import { type Effect, type Outcome, type OutcomeKind, type StateChange, isNeutral, isOutcomeKind, isScore, scoreUnits } from './types.js';

/** Most calls'. It has every key, so that outcomes have one shape. @internal */
export const SUCCESS: Outcome = Object.freeze({
  kind: 'success',
  score: undefined,
  pending: undefined,
  retryAfterMs: undefined,
  latencyMs: undefined,
});

/** What became of a settled permit. */
export interface Settled {
  effect: Effect;
  /** The change of state that it made. */
  change: StateChange | undefined;
  /** The latency that was recorded, in milliseconds. */
  latencyMs: number;
}

/**
 * The right to one call. Settle it when the call has ended. One that is forgotten harms nobody: while closed nothing is stored
 * for it, and a probe's frees its slot after the policy's `probe_timeout`. In a `using` declaration it counts as cancelled
 * where it isn't settled.
 */
export class Permit {
  private score = NaN;
  private ended = false;
  /** It was settled by a neutral outcome, whose scores are wanted by nobody. */
  private neutral = false;

  /** @internal */
  constructor(
    /** The breaker that gave it. */
    readonly breaker: Breaker,
    private readonly grant: Grant,
    /** In nanoseconds. @internal */
    readonly startedAt: number,
  ) {}

  /** Whether the call is guarded: `false` where the component had failed and the registry fails open. */
  get guarded(): boolean {
    return this.grant.incarnation !== 0;
  }

  /** Whether it was settled. */
  get settled(): boolean {
    return this.ended;
  }

  /** The score that was reported last, before the settlement. */
  get reported(): number | undefined {
    return Number.isNaN(this.score) ? undefined : this.score;
  }

  /**
   * Says how good the answer is. Of the reports before the settlement the last one counts, and `pending` comes back. After
   * it, each one is a late score, a sample of its own: `stale` where the circuit has changed its state since, and `ignored`
   * where the call's outcome was neutral.
   */
  reportQuality(score: number): Effect {
    if (!isScore(score)) throw new InvalidScoreError(score);
    if (this.neutral) return 'ignored';
    if (this.ended) return this.breaker.report(this.grant, score, scoreUnits(score)).effect;
    this.score = score;
    return 'pending';
  }

  /** Says that no score will come, for an outcome that was settled as pending. */
  reportMissing(): Effect {
    if (this.neutral) return 'ignored';
    return this.ended ? this.breaker.report(this.grant, undefined, NaN).effect : 'pending';
  }

  /** Settles it: the service answered. */
  success(): Settled {
    return this.settle(SUCCESS);
  }

  /** Settles it: the service failed. */
  failure(kind: 'error' | 'timeout' | 'rate-limited' | 'overloaded' = 'error'): Settled {
    return this.settle(kind);
  }

  /** Settles it: the caller went away, which is neutral. */
  cancel(): Settled {
    return this.settle('cancelled');
  }

  /** Settles it. Throws {@link PermitGoneError} the second time. */
  settle(outcome: OutcomeKind | Outcome): Settled {
    const now = this.breaker.home.clock.now();
    return this.settleAt(outcome, now);
  }

  /** @internal */
  settleAt(outcome: OutcomeKind | Outcome, now: number): Settled {
    if (this.ended) throw new PermitGoneError(this.breaker.name);
    const given: Outcome = typeof outcome === 'string' ? { kind: outcome } : outcome;
    const { kind, retryAfterMs } = given;
    if (!isOutcomeKind(kind))
      throw new RangeError(
        `the outcome's kind is ${String(kind)}: 'success', 'error', 'timeout', 'rate-limited', 'overloaded', 'cancelled', ` +
          `'content-policy' or 'bad-request' is expected`,
      );
    if (given.score !== undefined && !isScore(given.score)) throw new InvalidScoreError(given.score);
    if (retryAfterMs !== undefined) spanNanos(retryAfterMs, 'retryAfterMs');
    const measured = this.startedAt >= 0;
    const latency = given.latencyMs === undefined ? (measured ? Math.max(0, now - this.startedAt) : 0) : spanNanos(given.latencyMs, 'latencyMs');
    const score = given.score ?? this.score;
    const scored = !Number.isNaN(score);
    const units = scored ? scoreUnits(score) : NaN;
    this.ended = true;
    this.neutral = isNeutral(kind);
    const { breaker } = this;
    if (scored && !this.neutral) breaker.tally.scores.add(units);
    if (measured || given.latencyMs !== undefined) breaker.tally.latencies.add(latency);
    const { effect, change }: Recorded = breaker.record(
      this.grant,
      kind,
      latency,
      score,
      units,
      given.pending === true && !scored,
      retryAfterMs,
      now,
    );
    return { effect, change, latencyMs: latency / 1e6 };
  }

  [Symbol.dispose](): void {
    if (!this.ended) this.cancel();
  }
}
