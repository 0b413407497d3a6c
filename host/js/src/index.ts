// What the package offers, the same in every environment. Import "softfuse", whose entries load the component first.

export { Breaker, type Refusal } from './breaker.js';
export { BULKHEAD_PRESETS, Bulkhead, type BulkheadCounts, BulkheadFullError, type BulkheadOptions, BulkheadTimeoutError, type Place } from './bulkhead.js';
export { type CircuitBreakerOptions, type Guarded, circuitBreaker, defaultRegistry } from './circuit-breaker.js';
export { type Classified, type Ending, classifyError, classifyModelError, classifyResponse, classifyStatus, retryAfterMs } from './classify.js';
export { type Clock, ManualClock, systemClock } from './clock.js';
export type { CallRecord, Condition, Conditions } from './conditions.js';
export type { Listener } from './emitter.js';
export {
  CircuitOpenError,
  ComponentFailure,
  InvalidScoreError,
  PermitGoneError,
  PolicyError,
  type PolicyProblem,
  RegistryError,
  RestoreError,
  StreamError,
} from './errors.js';
export { type StreamEvent, type StreamFailure, modelError, modelPieceError } from './events.js';
export { type GuardedFetchOptions, guardedFetch } from './fetch.js';
export { Guard } from './guard.js';
export type { AnswerScorer, AnswerStream, CallOptions, FallbackCause, GuardOptions } from './guard-options.js';
export { type CircuitHealth, type FamilyHealth, Health, type HealthReport } from './health.js';
export { Keyed, type KeyedOptions } from './keyed.js';
export { LATENCY_BUCKETS_SECONDS, METRICS_CONTENT_TYPE, SCORE_BUCKETS } from './metrics.js';
export { Permit, type Settled } from './permit.js';
export {
  type ConditionSettings,
  Policy,
  type PolicySettings,
  type Span,
  type WindowSettings,
  allOf,
  anyOf,
  consecutiveFailures,
  errorRateAbove,
  hostCondition,
  latencyAbove,
  policyText,
  qualityBelow,
  slowCallRateAbove,
} from './policy.js';
export {
  type Attempt,
  Chain,
  type ChainCallOptions,
  type ChainOptions,
  NoProviderError,
  PROVIDER_PRESETS,
  Providers,
  type Tried,
} from './providers.js';
export { currentPermit, reportQuality } from './quality.js';
export { type BreakerOptions, type PolicyLike, Registry, type RegistryOptions } from './registry.js';
export { type StreamOptions, modelStream } from './stream.js';
export type {
  BreakerEvents,
  Cause,
  ChangeReason,
  CircuitStatus,
  Effect,
  OperatorState,
  Outcome,
  OutcomeKind,
  Reading,
  State,
  StateChange,
  TripReason,
} from './types.js';
