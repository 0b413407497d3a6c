// A breaker as its users hold it.

import { toWit } from './clock.js';
import { type Api, optionalSpan, nonsense } from './component.js';
import type * as wit from './component/interfaces/softfuse-breaker-breaker.js';
import { shortened } from './conditions.js';
import { circuitStatus } from './convert.js';
import type { Told } from './emitter.js';
import { CircuitOpenError, ComponentFailure } from './errors.js';
import { Guard } from './guard.js';
import type { CallOptions, GuardOptions } from './guard-options.js';
import { ADMIT, Grant, REFUSE } from './lease.js';
import { type Answer, CHANGE, NOTHING, Operated, PERMIT, RECORD, TOGETHER } from './operate.js';
import { Permit } from './permit.js';
import type { Policy } from './policy.js';
import { type CircuitStatus, type Effect, type OperatorState, type OutcomeKind, type State, type StateChange, isNeutral } from './types.js';

/** What became of a record, and the change of state that it made. */
export interface Recorded {
  effect: Effect;
  change: StateChange | undefined;
}

/** A refusal that a call would get. */
export interface Refusal {
  state: State;
  /** How long to wait, in milliseconds; undefined where nobody knows. */
  retryAfterMs: number | undefined;
  tripCount: number;
  reason: string | undefined;
}

/** No permit: the component failed, and the registry fails open. @internal */
export const UNGUARDED = new Grant(-2n, 0);

const LEASED: Recorded = Object.freeze({ effect: 'recorded', change: undefined });
const LOOKED_AWAY: Recorded = Object.freeze({ effect: 'ignored', change: undefined });

/** A circuit breaker. A {@link Registry} makes it. */
export class Breaker extends Operated {
  /** Its policy. */
  readonly policy: Policy;
  private judging = false;
  private ownGuard: Guard<unknown> | undefined;

  /** @internal */
  constructor(policy: Policy, ...inner: ConstructorParameters<typeof Operated>) {
    super(...inner);
    this.policy = policy;
  }

  /** The state as of the last change: what costs nothing to ask. An open circuit whose period has passed is open until somebody calls. */
  get state(): State {
    return this.known;
  }

  /** How often it has opened since it was made or last reset, as of the last change. */
  get tripCount(): number {
    return this.knownTripCount;
  }

  /** All that there is to know of it. Asking changes nothing. */
  status(): CircuitStatus {
    const status = this.ask('status', (api, id, at) => api.status(id, at));
    return circuitStatus(status);
  }

  /** The refusal that a call would get now, if any. It takes no probe and counts nothing. */
  wouldRefuse(): Refusal | undefined {
    const now = this.lease.note(this.home.clock.now());
    try {
      const { value } = this.operate(NOTHING, now, (api, id, at) => this.answered(() => ({ value: api.wouldRefuse(id, at) })));
      return value === undefined ? undefined : refusal(value);
    } catch (failure) {
      if (!(failure instanceof ComponentFailure) || this.home.failureMode === 'open') return undefined;
      return { state: this.known, retryAfterMs: undefined, tripCount: this.knownTripCount, reason: failure.message };
    }
  }

  /** Whether a call would be refused now. It takes no probe. */
  get isOpen(): boolean {
    return this.wouldRefuse() !== undefined;
  }

  /** Closes the circuit: trip count 0, windows fresh, an operator's state ended. */
  reset(): StateChange | undefined {
    return this.alter((api, id, at) => api.reset(id, at));
  }

  /** Puts the circuit into an operator's state, until {@link reset}. Undefined where it is in that state already. */
  setOperatorState(state: OperatorState): StateChange | undefined {
    if (!['forced-open', 'disabled', 'metrics-only'].includes(state)) {
      throw new RangeError(`the state is ${String(state)}: 'forced-open', 'disabled' or 'metrics-only' is expected`);
    }
    return this.alter((api, id, at) => api.setOperatorState(id, state, at));
  }

  /** Opens the circuit for a reason of the caller's own, for so long or as long as the policy says. An open period is extended, never shortened. */
  trip(reason: string, options: { openForMs?: number } = {}): StateChange | undefined {
    const openFor = optionalSpan(options.openForMs, 'openForMs');
    const text = shortened(String(reason));
    return this.alter((api, id, at) => api.trip(id, text, openFor, at));
  }

  /** The whole state as bytes, for {@link Registry.restore}, in another process perhaps. Conditions of the user's own are not in it. */
  snapshot(): Uint8Array {
    return this.ask('snapshot', (api, id, at) => api.snapshot(id, at));
  }

  /** Asks for the right to one call, to be settled when it has ended. Throws {@link CircuitOpenError}. */
  permit(): Permit {
    const now = this.home.clock.now();
    return new Permit(this, this.admit(now), now);
  }

  /**
   * Makes a guarded call: the function gets the permit, on which it may report the answer's quality. A value is a success, a
   * thrown error a failure unless it is neutral (see `classifyError`). Throws {@link CircuitOpenError} where it is refused.
   */
  call<R>(run: (permit: Permit) => R, options?: CallOptions): R {
    this.ownGuard ??= new Guard<unknown>(this, {});
    return this.ownGuard.call(run, options) as R;
  }

  /** A guard for calls of one kind: what counts as a failure, a fallback, a scorer. Made once, used for many calls. */
  guard<F = never>(options: GuardOptions<F>): Guard<F> {
    return new Guard<F>(this, options);
  }

  /** The permit of a call that begins at `now`. @internal */
  admit(now: number): Grant {
    const { lease } = this;
    if (lease.admission === ADMIT) {
      if (now > lease.latest) lease.latest = now;
      return lease.grant;
    }
    if (lease.admission === REFUSE && this.refusal !== undefined) {
      const left = lease.countRefused(now);
      if (left >= 0) {
        const { state, tripCount, reason } = this.refusal;
        throw new CircuitOpenError(this.name, state, left === Infinity ? undefined : left / 1e6, Number(tripCount), reason);
      }
    }
    return this.askForPermit(lease.note(now));
  }

  private askForPermit(now: number): Grant {
    if (this.judging) throw new Error(`a condition of "${this.name}" must not call its breaker`);
    let answer: wit.Admission | wit.Rejection;
    try {
      answer = this.operate(PERMIT, now, (api, id, at): Answer<wit.Admission | wit.Rejection> => {
        const answered = this.home.component.call<wit.Admission | wit.Rejection>(
          () => api.beforeCall(id, at),
          (payload: wit.Refusal) => {
            if (payload.tag === 'rejected') return payload.val;
            throw nonsense(`no permit and no rejection: ${payload.tag}`);
          },
        );
        this.saw(now);
        if (!('permit' in answered)) return { value: answered };
        // A probe's number must not be given again if the component fails.
        if (this.known === 'half-open' || answered.event !== undefined) this.due = true;
        return { value: answered, event: answered.event };
      }).value;
    } catch (failure) {
      if (!(failure instanceof ComponentFailure)) throw failure;
      if (this.home.failureMode === 'open') {
        this.tally.unguarded += 1;
        return UNGUARDED;
      }
      this.tally.rejected += 1;
      throw new CircuitOpenError(this.name, this.known, undefined, this.knownTripCount, failure.message, { cause: failure });
    }
    if ('permit' in answer) return new Grant(answer.permit, this.incarnation);
    this.tally.rejected += 1;
    const { state, retryAfterMs, tripCount, reason } = refusal(answer);
    throw new CircuitOpenError(this.name, state, retryAfterMs, tripCount, reason);
  }

  /** Records an outcome: now if it must be, later if it may. `latency` and `units` are in nanoseconds and 10^-9; NaN for no score. @internal */
  record(
    grant: Grant,
    kind: OutcomeKind,
    latency: number,
    score: number,
    units: number,
    pending: boolean,
    retryAfterMs: number | undefined,
    at: number,
  ): Recorded {
    if (grant === UNGUARDED) {
      this.tally.count(kind);
      return { effect: 'lost', change: undefined };
    }
    const benign = kind === 'success' && retryAfterMs === undefined;
    if (benign && this.lease.keep(grant, at, latency, units, pending)) return this.known === 'disabled' ? LOOKED_AWAY : LEASED;
    this.tally.count(kind);
    const now = this.lease.note(at);
    if (benign && this.conditions === undefined && this.lease.goesTogether(grant, now, latency))
      return this.recordTogether(now, latency, units, pending);
    try {
      const verdicts = this.verdicts(grant, kind, latency, score, now);
      const outcome: wit.Outcome = {
        kind,
        latency: toWit(latency),
        signal: pending ? PENDING : Number.isNaN(score) ? NONE : { tag: 'score', val: score },
        retryAfter: optionalSpan(retryAfterMs, 'retryAfterMs'),
      };
      const { value, change } = this.operate(RECORD, now, (api, id, time) =>
        this.taken(grant, now, () =>
          verdicts === undefined
            ? api.recordOutcome(id, grant.permit, outcome, time)
            : api.recordJudgedOutcome(id, grant.permit, outcome, verdicts as string[], time),
        ),
      );
      return { effect: value, change };
    } catch (failure) {
      return this.lost(failure);
    }
  }

  private recordTogether(now: number, latency: number, units: number, pending: boolean): Recorded {
    try {
      const { change } = this.operate(TOGETHER, now, () => ({ value: undefined }), { at: now, latency, units, pending });
      const effect = this.together;
      if (effect === undefined) {
        this.unsaved += 1;
        return { effect: 'lost', change };
      }
      // It is counted by who settles it; the batch counted what waited.
      this.saw(now);
      return { effect, change };
    } catch (failure) {
      return this.lost(failure);
    }
  }

  private lost(failure: unknown): Recorded {
    if (!(failure instanceof ComponentFailure)) throw failure;
    this.unsaved += 1;
    return { effect: 'lost', change: undefined };
  }

  /** Hands in a score after its outcome was settled; undefined for one that won't come. @internal */
  report(grant: Grant, score: number | undefined, units: number): Recorded {
    if (grant === UNGUARDED) return { effect: 'lost', change: undefined };
    const at = this.home.clock.now();
    if (score !== undefined && this.lease.keepLate(grant, at, units)) {
      this.tally.scores.add(units);
      return this.known === 'disabled' ? LOOKED_AWAY : LEASED;
    }
    const now = this.lease.note(at);
    const report: wit.QualityReport = score === undefined ? { tag: 'missing' } : { tag: 'score', val: score };
    try {
      const { value, change } = this.operate(RECORD, now, (api, id, time) =>
        this.taken(grant, now, () => api.reportQuality(id, grant.permit, report, time)),
      );
      if (score !== undefined && value !== 'stale' && value !== 'lost') this.tally.scores.add(units);
      return { effect: value, change };
    } catch (failure) {
      return this.lost(failure);
    }
  }

  /** Reads what the component says of a record. */
  private taken(grant: Grant, now: number, record: () => wit.Settlement): Answer<Effect> {
    return this.home.component.call<Answer<Effect>>(
      () => {
        const { effect, event } = record();
        this.unsaved += 1;
        this.saw(now);
        return { value: effect, event };
      },
      (payload: wit.RecordError) => {
        if (payload.tag === 'stale') return { value: 'stale' };
        // A probe that was given after the snapshot from which the breaker came back.
        if (payload.tag === 'unknown-permit' && grant.incarnation !== this.incarnation) return { value: 'lost' };
        throw nonsense(`a record was refused: ${payload.tag}`);
      },
    );
  }

  /** The verdicts of the user's own conditions on this record, none of which sees one that will not count. */
  private verdicts(grant: Grant, kind: OutcomeKind, latency: number, score: number, now: number): (string | undefined)[] | undefined {
    const { conditions } = this;
    if (conditions === undefined) return undefined;
    if (isNeutral(kind)) return conditions.none();
    const { value: standing } = this.operate(NOTHING, now, (api, id, at) =>
      this.answered(() => ({ value: api.permitStanding(id, grant.permit, at) })),
    );
    if (standing === 'stale' || standing === 'unknown') return conditions.none();
    const told: Told[] = [];
    const onThrown = (condition: string, failure: unknown): void => this.conditionFailed(condition, failure, told);
    this.judging = true;
    try {
      if (standing === 'probe') conditions.reset(onThrown);
      return conditions.record({ kind, latencyMs: latency / 1e6, score: Number.isNaN(score) ? undefined : score, atMs: now / 1e6 }, onThrown);
    } finally {
      this.judging = false;
      this.home.hub.tell(told);
    }
  }

  /** A hook of a guard has failed. @internal */
  fault(hook: 'classify' | 'score' | 'exchange' | 'stream', failure: unknown): void {
    this.home.hub.tell([{ kind: 'hook-failed', event: { breaker: this.name, hook, failure }, breaker: this }]);
  }

  /** A scorer gave no score, and did not abstain. @internal */
  scorerFailed(scorer: string, failure: unknown): void {
    const { failures } = this.tally.scorer(scorer);
    const error = failure instanceof Error ? failure : new Error(String(failure));
    const kind: unknown = (error as { kind?: unknown }).kind;
    const reason = typeof kind === 'string' ? kind : 'other';
    failures.set(reason, (failures.get(reason) ?? 0) + 1);
    this.home.hub.tell([{ kind: 'scorer-failed', event: { breaker: this.name, scorer, failure: error }, breaker: this }]);
  }

  private answered<T>(run: () => Answer<T>): Answer<T> {
    return this.home.component.call(run);
  }

  /** Asks what changes nothing, and what the component knows for every breaker that it made. */
  private ask<T>(what: string, run: (api: Api, id: number, at: bigint) => T | undefined): T {
    const now = this.lease.note(this.home.clock.now());
    return this.operate(NOTHING, now, (api, id, at) => {
      const value = this.home.component.call(() => run(api, id, at));
      if (value === undefined) throw this.home.component.fail(nonsense(`no ${what} of a breaker that it made`));
      return { value };
    }).value;
  }

  /** Calls a function that may change the state. */
  private alter(run: (api: Api, id: number, at: bigint) => wit.Event | undefined): StateChange | undefined {
    if (this.judging) throw new Error(`a condition of "${this.name}" must not change its breaker`);
    const now = this.lease.note(this.home.clock.now());
    return this.operate(CHANGE, now, (api, id, at) => {
      const event = this.home.component.call(() => run(api, id, at));
      this.saw(now);
      this.due = true;
      return { value: undefined, event };
    }).change;
  }
}

const NONE: wit.Signal = { tag: 'none' };
const PENDING: wit.Signal = { tag: 'pending' };

function refusal(rejection: wit.Rejection): Refusal {
  const { state, retryAfter, tripCount, reason } = rejection;
  return { state, retryAfterMs: retryAfter === undefined ? undefined : Number(retryAfter) / 1e6, tripCount: Number(tripCount), reason };
}
