// What users see of breakers: states, outcomes, changes, statuses. Names are the contract's; times are milliseconds.

/** Where a circuit stands. */
export type State = 'closed' | 'open' | 'half-open' | 'forced-open' | 'disabled' | 'metrics-only';

/** All states, by their number in the metrics. */
export const STATES: readonly State[] = ['closed', 'open', 'half-open', 'forced-open', 'disabled', 'metrics-only'];

/** The states that an operator sets. */
export type OperatorState = 'forced-open' | 'disabled' | 'metrics-only';

/** How a guarded call ended: `success`; failures; and neutral ends, which count against nobody. */
export type OutcomeKind = 'success' | 'error' | 'timeout' | 'rate-limited' | 'overloaded' | 'cancelled' | 'content-policy' | 'bad-request';

const KINDS: ReadonlySet<string> = new Set<OutcomeKind>([
  'success',
  'error',
  'timeout',
  'rate-limited',
  'overloaded',
  'cancelled',
  'content-policy',
  'bad-request',
]);

/** Whether this names an outcome. */
export function isOutcomeKind(kind: unknown): kind is OutcomeKind {
  return typeof kind === 'string' && KINDS.has(kind);
}

/** Whether an outcome of this kind counts neither for nor against the service. */
export function isNeutral(kind: OutcomeKind): boolean {
  return kind === 'cancelled' || kind === 'content-policy' || kind === 'bad-request';
}

/** Whether an outcome of this kind counts against the service. */
export function isFailure(kind: OutcomeKind): boolean {
  return kind !== 'success' && !isNeutral(kind);
}

/** How a guarded call ended, in full. */
export interface Outcome {
  kind: OutcomeKind;
  /** A score from -10^6 to 10^6, usually 0 (bad) to 1 (good). It goes before one that was reported. */
  score?: number | undefined;
  /** The score comes later, by the permit or its reporter. */
  pending?: boolean | undefined;
  /** How long the service asked not to be called (`Retry-After`), in milliseconds. */
  retryAfterMs?: number | undefined;
  /** From the start of the call to its end, in milliseconds. Default: by the clock. */
  latencyMs?: number | undefined;
}

/** What became of a settled outcome or a late score. */
export type Effect =
  /** It took its place in the windows. */
  | 'recorded'
  /** It was a probe's, and the probe passed or failed by it. */
  | 'probed'
  /** It touched no window: a neutral outcome, or a late score of one; or any of a disabled circuit. */
  | 'ignored'
  /** It came too late to count. */
  | 'stale'
  /** Kept: with its live probe, or with the permit until that is settled. */
  | 'pending'
  /** The breaker component failed, and never took it. */
  | 'lost';

/** One condition's part in a trip. */
export interface Cause {
  /** The condition's place in the policy, as in `any_of[1].error_rate_above`. */
  path: string;
  /** The measured value: a mean score, a rate between 0 and 1, milliseconds, or a count. */
  value: number;
  /** The policy's limit, in the value's unit. */
  limit: number;
  /** A sentence with both numbers in it; for a host's own condition, the reason that it gave. */
  text: string;
}

/** Why a circuit opened. */
export type TripReason =
  | { kind: 'conditions'; causes: Cause[] }
  | { kind: 'probe-failed'; outcome: OutcomeKind }
  | { kind: 'probe-conditions'; causes: Cause[] }
  | { kind: 'host'; reason: string };

/** Why a state changed. */
export type ChangeReason =
  | { kind: 'tripped'; trip: TripReason }
  /** A `metrics-only` circuit would have opened. Its state stays; its windows are fresh. */
  | { kind: 'would-have-tripped'; trip: TripReason }
  | { kind: 'open-period-over' }
  | { kind: 'recovered' }
  | { kind: 'reset' }
  | { kind: 'operator' };

/** A change of state, or a trip that `metrics-only` withheld. */
export interface StateChange {
  /** When, on the breaker's clock; negative where a restored breaker remembers what was before its origin. */
  atMs: number;
  old: State;
  new: State;
  reason: ChangeReason;
  /** The reason in words. */
  text: string;
  /** The generation that begins here: permits of earlier ones are stale. */
  generation: number;
  /** How often the circuit has opened, this change included. */
  tripCount: number;
  /** While open: when the open period ends, unless a `Retry-After` extends it. */
  openUntilMs: number | undefined;
}

/** A condition's state. */
export interface Reading {
  path: string;
  /** In the unit of `limit`; none while the window is empty. */
  value: number | undefined;
  limit: number;
  /** Samples in the window. */
  filled: number;
  /** The samples that it takes before the condition can hold. */
  needed: number;
  holds: boolean;
}

/** All that there is to know of a circuit. */
export interface CircuitStatus {
  state: State;
  sinceMs: number;
  generation: number;
  /** Whether a call would be refused now. */
  wouldRefuse: boolean;
  /** While open: what is left of the open period. */
  retryAfterMs: number | undefined;
  tripCount: number;
  /** How often it has opened again since it last closed. */
  reopenCount: number;
  lastTrip: { atMs: number; reason: TripReason; text: string } | undefined;
  /** The last transitions, oldest first, at most 16. */
  transitions: { atMs: number; old: State; new: State; text: string }[];
  totals: { calls: number; successes: number; failures: number; neutral: number; rejections: number; stale: number };
  lastFailure: { atMs: number; kind: OutcomeKind } | undefined;
  consecutiveFailures: number;
  consecutiveSuccesses: number;
  conditions: Reading[];
  liveProbes: number;
  passedProbes: number;
  callsPerMinute: number;
}

/** What happened to a breaker, for whoever listens to its registry or to itself. */
export interface BreakerEvents {
  /** The state changed, or a `metrics-only` circuit would have opened. */
  'state-change': { breaker: string; change: StateChange };
  /** The breaker component failed in a call. It is told when it begins, not with every call. */
  'component-failed': { breaker: string; failure: Error };
  /** The breaker came back after its component had failed. */
  'breaker-restored': { breaker: string; state: State; recordsLost: number; fromSnapshot: boolean };
  /** A scorer gave no score, and did not abstain. */
  'scorer-failed': { breaker: string; scorer: string; failure: Error };
  /** A condition of the user's own threw. It counted as not holding. */
  'condition-failed': { breaker: string; condition: string; failure: unknown };
  /** A hook of a guard threw, or said what is no answer: it counted as not having spoken. */
  'hook-failed': { breaker: string; hook: 'classify' | 'score' | 'exchange' | 'stream'; failure: unknown };
}

/** The largest score in magnitude. */
export const SCORE_MAX = 1e6;

/** Whether a number is a score: finite, and at most 10^6 in magnitude. */
export function isScore(score: unknown): score is number {
  return typeof score === 'number' && score >= -SCORE_MAX && score <= SCORE_MAX;
}

/** A score in the contract's units of 10^-9. */
export function scoreUnits(score: number): number {
  return Math.floor(score * 1e9 + 0.5);
}
