// Scores of a guard's answers by its scorer: beside the call, before the answer is passed on, or as the answer's pieces pass.

import type { Breaker } from './breaker.js';
import type { AnswerScorer, AnswerStream, GuardOptions } from './guard-options.js';
import type { Permit } from './permit.js';
import { type Outcome, isScore } from './types.js';

/** Scores that a scorer may still owe at once, of one guard; beyond, answers are dropped unscored, and counted. */
const OWED_MAX = 1024;

/** What a scorer is shown of a streamed answer: what came, unless the user gave a content; undefined where there is neither. */
function withAnswer(exchange: unknown, bytes: Uint8Array | undefined, complete: boolean): unknown {
  const { answer } = exchange as { answer?: unknown };
  if (typeof answer === 'string' || (answer as { content?: unknown } | undefined)?.content !== undefined) return exchange;
  if (bytes === undefined) return undefined;
  return { ...(exchange as object), answer: { ...(answer as object | undefined), content: bytes, truncated: !complete } };
}

/** The score of one streamed answer. */
export interface Streamed {
  /** Whether the scorer has taken the piece. */
  push(bytes: Uint8Array): boolean;
  /** The answer has ended; undefined, where nobody has seen what it was. Whether its call is settled by that. */
  end(answer: Uint8Array | undefined, complete: boolean): boolean;
  /** It has failed, or isn't watched. */
  discard(): void;
}

/** What a guard's scorer does, and owes. */
export class Scoring {
  private owed = 0;

  constructor(
    private readonly breaker: Breaker,
    private readonly options: GuardOptions<unknown>,
  ) {}

  /** What the scorer is shown, where a score is wanted. */
  exchange(permit: Permit, outcome: Outcome, value: unknown, args: unknown[]): unknown {
    const { exchange, replaceBelow } = this.options;
    const wanted =
      exchange !== undefined &&
      outcome.kind === 'success' &&
      outcome.score === undefined &&
      outcome.pending !== true &&
      permit.reported === undefined &&
      permit.guarded;
    if (!wanted || !(this.breaker.policy.usesScores || replaceBelow !== undefined)) return undefined;
    try {
      return exchange(value, ...args);
    } catch (failure) {
      this.breaker.fault('exchange', failure);
      return undefined;
    }
  }

  /** The score, or undefined where there is none. */
  score(exchange: unknown): Promise<number | undefined> {
    return this.asked((scorer) => scorer.score(exchange));
  }

  private asked(ask: (scorer: AnswerScorer) => Promise<number | undefined>): Promise<number | undefined> {
    const scorer = this.options.scorer as AnswerScorer;
    if (this.owed >= OWED_MAX) {
      this.breaker.tally.scorer(scorer.name).dropped += 1;
      return Promise.resolve(undefined);
    }
    this.owed += 1;
    return (async () => {
      const score = await ask(scorer);
      if (score === undefined || isScore(score)) return score;
      throw new RangeError(`the scorer "${scorer.name}" said ${String(score)}, which is no score`);
    })()
      .catch((failure: unknown) => {
        this.breaker.scorerFailed(scorer.name, failure);
        return undefined;
      })
      .finally(() => {
        this.owed -= 1;
      });
  }

  /** Settles a call whose score is owed from then on. Whether it did: it doesn't where too many are owed already. */
  scoreLate(permit: Permit, outcome: Outcome, exchange: unknown): boolean {
    return this.askedLate(permit, outcome, (scorer) => scorer.score(exchange));
  }

  private askedLate(permit: Permit, outcome: Outcome, ask: (scorer: AnswerScorer) => Promise<number | undefined>): boolean {
    if (this.owed >= OWED_MAX) {
      this.breaker.tally.scorer((this.options.scorer as AnswerScorer).name).dropped += 1;
      return false;
    }
    const { kind, retryAfterMs, latencyMs } = outcome;
    if (!permit.settled) permit.settle({ kind, score: undefined, pending: true, retryAfterMs, latencyMs });
    void this.asked(ask).then((score) => (score === undefined ? permit.reportMissing() : permit.reportQuality(score)));
    return true;
  }

  /** Begins to score an answer that comes in pieces. */
  begin(permit: Permit, outcome: Outcome, value: unknown, args: unknown[]): Streamed {
    let passing: AnswerStream | undefined;
    let begun = false;
    // No sooner than there is something to show: it takes an instance of the scorer's.
    const begin = (): AnswerStream | undefined => {
      if (!begun) passing = this.passing(permit, outcome, value, args);
      begun = true;
      return passing;
    };
    return {
      push: (bytes) => {
        const shown = begin();
        shown?.push(bytes);
        return shown !== undefined;
      },
      end: (answer, complete) => {
        const shown = begin();
        if (shown !== undefined) return this.passed(permit, outcome, shown, answer !== undefined, complete);
        const exchange = this.exchange(permit, outcome, value, args);
        const whole = exchange === undefined ? undefined : withAnswer(exchange, answer, complete);
        return whole !== undefined && this.scoreLate(permit, outcome, whole);
      },
      discard: () => passing?.discard(),
    };
  }

  /** The scorer's own stream, where it takes this answer's pieces as they pass. */
  private passing(permit: Permit, outcome: Outcome, value: unknown, args: unknown[]): AnswerStream | undefined {
    const { scorer } = this.options;
    if (scorer?.stream === undefined || scorer.streams === false) return undefined;
    const exchange = this.exchange(permit, outcome, value, args);
    // One with a content of its own isn't about what passes.
    if (exchange === undefined || withAnswer(exchange, undefined, true) !== undefined) return undefined;
    try {
      return scorer.stream(exchange);
    } catch (failure) {
      this.breaker.scorerFailed(scorer.name, failure);
      return undefined;
    }
  }

  private passed(permit: Permit, outcome: Outcome, passing: AnswerStream, seen: boolean, complete: boolean): boolean {
    const said = passing.verdict?.score;
    const score = said !== undefined && isScore(said) ? said : undefined;
    // Who reports a score during the call knows better than a scorer.
    const wanted = seen && !permit.settled && permit.reported === undefined;
    if (wanted && score === undefined && this.askedLate(permit, outcome, () => passing.finish(complete))) return true;
    // It has spoken before the end, so that this is none that comes late.
    if (wanted && score !== undefined) permit.reportQuality(score);
    passing.discard();
    return false;
  }
}
