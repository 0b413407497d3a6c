// Errors, each with what a caller can act on.

import type { Outcome, OutcomeKind, State } from './types.js';

/** The circuit refused a call: what a breaker is for. */
export class CircuitOpenError extends Error {
  override readonly name = 'CircuitOpenError';

  constructor(
    /** The breaker's name. */
    readonly breaker: string,
    /** Where the circuit stands: `open`, `half-open` with all its probes under way, or `forced-open`. */
    readonly state: State,
    /** How long to wait, in milliseconds: exact while open; undefined where nobody knows. */
    readonly retryAfterMs: number | undefined,
    /** How often the circuit has opened since it was made or last reset. */
    readonly tripCount: number,
    /** Why it last opened, in words; undefined where an operator opened one that had never tripped. */
    readonly reason: string | undefined,
    options?: ErrorOptions,
  ) {
    const wait = retryAfterMs === undefined ? '' : `, retry in ${retryAfterMs} ms`;
    const why = reason === undefined ? '' : `: ${reason}`;
    super(`the circuit "${breaker}" is ${state}${wait}${why}`, options);
  }
}

/** One thing wrong with a policy's text. */
export interface PolicyProblem {
  /** From 1; 0 where a builder's setting is wrong before there is a text. */
  line: number;
  column: number;
  /** The key, with its path. */
  key: string;
  /** What is wrong and what would be right. */
  message: string;
  /** For an unknown key: the nearest that exists. */
  nearest?: string | undefined;
}

/** A policy's text is wrong; {@link problems} has everything at once. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError';

  constructor(
    /** Where the text came from. */
    readonly source: string,
    readonly problems: readonly PolicyProblem[],
  ) {
    const lines = problems.map(({ line, column, key, message, nearest }) => {
      const hint = nearest === undefined ? '' : `; did you mean \`${nearest}\`?`;
      return `${source}:${line}:${column}: ${key === '' ? '' : `\`${key}\`: `}${message}${hint}`;
    });
    super(lines.join('\n'));
  }
}

/** A number that is no score: NaN, infinite, or over 10^6 in magnitude. Nothing was changed by it. */
export class InvalidScoreError extends RangeError {
  override readonly name = 'InvalidScoreError';

  constructor(readonly score: unknown) {
    super(`the score is ${String(score)}: a number from -1,000,000 to 1,000,000 is expected, usually from 0 (bad) to 1 (good)`);
  }
}

/** A streamed answer failed: a piece didn't come in time, the stream told of an error, or it ended before its end. */
export class StreamError extends Error {
  override readonly name = 'StreamError';

  constructor(
    /** What it counts as. */
    readonly kind: OutcomeKind,
    message: string,
    /** How long the service asked not to be called, in milliseconds, where it did. */
    readonly retryAfterMs?: number,
  ) {
    super(message);
  }

  /** That as a call's outcome. */
  outcome(): Outcome {
    return this.retryAfterMs === undefined ? { kind: this.kind } : { kind: this.kind, retryAfterMs: this.retryAfterMs };
  }
}

/** A permit was settled twice. Nothing was changed by the second time. */
export class PermitGoneError extends Error {
  override readonly name = 'PermitGoneError';

  constructor(breaker: string) {
    super(`this permit of "${breaker}" was settled before: each is settled once`);
  }
}

/** A registry refuses a name, a policy, a condition or a bound. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError';
}

/** A snapshot could not be restored. No breaker was made. */
export class RestoreError extends Error {
  override readonly name = 'RestoreError';

  constructor(
    readonly kind: 'not-a-snapshot' | 'unknown-version' | 'corrupt' | 'policy-differs' | 'too-many' | 'other',
    message: string,
  ) {
    super(message);
  }
}

/** How the breaker component failed. */
export class ComponentFailure extends Error {
  override readonly name = 'ComponentFailure';

  constructor(
    /** `trap`: it broke off. `nonsense`: it broke its contract. `refused`: it has no room. `resting`: it failed too often of late. */
    readonly kind: 'trap' | 'nonsense' | 'refused' | 'resting',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
