// How a breaker calls its component: take the seat, hand in what waits, call, keep a snapshot, tell what happened, and ask for
// the next lease where that pays. JavaScript runs this to its end before anything else runs, so there is nothing to lock.

import { type Clock, toWit } from './clock.js';
import { type Api, type Component, type PolicySource, type Saved, type Seat, nonsense } from './component.js';
import type * as wit from './component/interfaces/softfuse-breaker-breaker.js';
import type { HeldConditions } from './conditions.js';
import { stateChange } from './convert.js';
import { Emitter, type Hub, type Told } from './emitter.js';
import { ComponentFailure, RestoreError } from './errors.js';
import { ADMIT, type Batch, Lease } from './lease.js';
import type { Tally } from './metrics.js';
import type { BreakerEvents, Effect, State, StateChange } from './types.js';

/** What all breakers of a registry share. */
export interface Home {
  readonly clock: Clock;
  readonly component: Component;
  readonly hub: Hub;
  readonly failureMode: 'open' | 'closed';
  readonly leaseAfter: number;
  readonly snapshotEvery: number;
  /** In nanoseconds. */
  readonly snapshotInterval: number;
  readonly latencies: 'all' | 'as-needed';
}

/** What an operation is, as far as leases go. */
export const NOTHING = 0;
export const CHANGE = 1;
export const PERMIT = 2;
export const RECORD = 3;
export const TOGETHER = 4;
export type Asked = typeof NOTHING | typeof CHANGE | typeof PERMIT | typeof RECORD | typeof TOGETHER;

/** What a component's function answered: a value, and the change of state that it made. */
export interface Answer<T> {
  value: T;
  event?: wit.Event | undefined;
}

/** A success that goes together with what waits. */
export interface Last {
  at: number;
  latency: number;
  units: number;
  pending: boolean;
}

/** A lease that kept fewer outcomes than this didn't pay: its terms cost more than recording at once. */
const KEPT_MIN = 4;
/** Outcomes that are recorded at once, at most, before another lease is tried. */
const PAUSE_MAX = 64;

/** A breaker's inner part. */
export class Operated extends Emitter {
  /** @internal */ readonly lease = new Lease();
  /** As of the last change. @internal */ known: State = 'closed';
  /** @internal */ knownTripCount = 0;
  /** How calls are refused under the lease. @internal */ refusal: wit.Rejection | undefined;
  /** Records since the last snapshot: what a failure would lose. @internal */ unsaved = 0;
  /** @internal */ saved: Saved | undefined;
  /** It is to be saved whatever has passed since. @internal */ due = false;
  /** What became of a success that went together with what waited. @internal */ together: Effect | undefined;
  private seat: Seat = { incarnation: 0, id: 0 };
  /** The latest time that the component has seen. */
  private told = 0;
  private asked = 0;
  private pause = 0;
  private paused = 0;
  private next: wit.Lease | undefined;
  private leasePermit = 0n;
  /** It has opened since the last snapshot, and couldn't be saved again. */
  private opening: { until: number; reason: string } | undefined;
  private failing: string | undefined;

  /** @internal */
  constructor(
    /** The breaker's name, with its family's before it where it has one. */
    readonly name: string,
    /** @internal */ readonly home: Home,
    /** @internal */ readonly source: PolicySource,
    /** @internal */ readonly salt: bigint,
    /** @internal */ readonly tally: Tally,
    /** @internal */ readonly conditions: HeldConditions | undefined,
  ) {
    super();
    tally.appeared('closed');
  }

  /** The component's incarnation in which it sits. @internal */
  get incarnation(): number {
    return this.seat.incarnation;
  }

  /** Takes its seat at once, so that who makes it hears of errors. @internal */
  settleIn(now: number, saved?: Saved): void {
    const { component } = this.home;
    component.live();
    this.seat =
      saved === undefined
        ? component.create(this.source, this.name, this.salt, now)
        : component.restore(this.source, saved, now, Math.max(0, now - saved.at));
    this.saved = saved;
    this.lease.note(now);
    if (saved !== undefined) this.noteStatus(component.live(), now);
  }

  /** Gives its seat up. @internal */
  leave(): void {
    this.home.component.drop(this.seat, this.source);
    this.seat = { incarnation: 0, id: 0 };
    this.lease.ask();
    this.tally.vanished(this.known);
  }

  /** Asks the component, and changes nothing but what that says that it changes. @internal */
  operate<T>(
    asked: Asked,
    now: number,
    run: (api: Api, id: number, at: bigint) => Answer<T>,
    last?: Last,
  ): { value: T; change: StateChange | undefined } {
    const told: Told[] = [];
    const { component } = this.home;
    try {
      component.live();
      let fresh = false;
      if (this.seat.incarnation !== component.incarnation) {
        const lost = this.loseWaiting();
        if (asked === TOGETHER) {
          // What it was to go together with is lost, and its permit may be unknown now.
          asked = NOTHING;
          last = undefined;
          this.together = undefined;
        }
        fresh = this.takeSeat(now, lost, told);
      }
      const byLease = this.handIn(asked, last);
      const answer = run(component.live(), this.seat.id, toWit(now));
      let change: StateChange | undefined;
      for (const event of [byLease, answer.event]) {
        if (event === undefined) continue;
        change = stateChange(event);
        if (this.changed(change, told)) fresh = true;
      }
      const refusing = asked === RECORD && (this.known === 'open' || this.known === 'forced-open');
      if (change !== undefined || refusing || asked === CHANGE) this.revoke();
      this.failing = undefined;
      try {
        if (change !== undefined || this.isDue(now)) this.save(now, change);
        this.renew(asked, now);
      } catch (failure) {
        // The answer stands, even if the component fails at what follows.
        if (!(failure instanceof ComponentFailure)) throw failure;
        this.failed(failure, told);
      }
      if (fresh) this.conditions?.reset((condition, failure) => this.conditionFailed(condition, failure, told));
      return { value: answer.value, change };
    } catch (failure) {
      if (failure instanceof ComponentFailure) this.failed(failure, told);
      throw failure;
    } finally {
      if (told.length > 0) this.home.hub.tell(told);
    }
  }

  /** @internal */
  conditionFailed(condition: string, failure: unknown, told: Told[]): void {
    const event: BreakerEvents['condition-failed'] = { breaker: this.name, condition, failure };
    told.push({ kind: 'condition-failed', event, breaker: this });
  }

  private failed(failure: ComponentFailure, told: Told[]): void {
    this.unsaved += this.loseWaiting();
    if (this.failing !== failure.kind && failure.kind !== 'resting') {
      const event: BreakerEvents['component-failed'] = { breaker: this.name, failure };
      told.push({ kind: 'component-failed', event, breaker: this });
    }
    this.failing = failure.kind;
  }

  /** Ends the lease, and throws away what it kept: how many records the component never heard of. */
  private loseWaiting(): number {
    const batch = this.take();
    this.revoke();
    return batch.successes + batch.lates;
  }

  /** Brings the breaker back after its instance has failed. Whether its windows are not those that they were. */
  private takeSeat(now: number, leasedLost: number, told: Told[]): boolean {
    const { component } = this.home;
    const cameBack = this.seat.incarnation !== 0;
    let seat: Seat | undefined;
    let refused = false;
    if (this.saved !== undefined) {
      try {
        seat = component.restore(this.source, this.saved, now, Math.max(0, now - this.saved.at));
      } catch (failure) {
        // A snapshot at which the component fails, or which it refuses, would be so each time.
        this.saved = undefined;
        if (!(failure instanceof RestoreError)) throw failure;
        refused = true;
      }
    }
    const fromSnapshot = seat !== undefined;
    this.seat = seat ?? component.create(this.source, this.name, this.salt, now);
    if (!cameBack && !refused) return false;
    const recordsLost = this.unsaved + leasedLost;
    this.unsaved = 0;
    this.tally.recordsLost += recordsLost;
    const api = component.live();
    const { opening } = this;
    if (opening !== undefined) {
      const left = toWit(Math.max(0, opening.until - now));
      component.call(() => api.trip(this.seat.id, opening.reason, left, toWit(now)));
    }
    const known = this.known;
    this.noteStatus(api, now);
    const event: BreakerEvents['breaker-restored'] = { breaker: this.name, state: this.known, recordsLost, fromSnapshot };
    told.push({ kind: 'breaker-restored', event, breaker: this });
    return !fromSnapshot || this.known !== known;
  }

  private noteStatus(api: Api, now: number): void {
    const status = this.home.component.call(() => api.status(this.seat.id, toWit(now)));
    if (status === undefined) throw this.home.component.fail(nonsense('no status of a breaker that it made'));
    this.enter(status.state);
    this.knownTripCount = Number(status.tripCount);
  }

  private enter(state: State): void {
    if (state === this.known) return;
    this.tally.vanished(this.known);
    this.tally.appeared(state);
    this.known = state;
  }

  /** The state has changed. Whether the windows are fresh. */
  private changed(change: StateChange, told: Told[]): boolean {
    this.enter(change.new);
    this.knownTripCount = change.tripCount;
    if (change.reason.kind === 'tripped') this.tally.trips += 1;
    const event: BreakerEvents['state-change'] = { breaker: this.name, change };
    told.push({ kind: 'state-change', event, breaker: this });
    return change.reason.kind !== 'tripped';
  }

  private isDue(now: number): boolean {
    const { snapshotEvery, snapshotInterval } = this.home;
    if (this.due) return true;
    return this.unsaved >= snapshotEvery && (this.saved === undefined || now - this.saved.at >= snapshotInterval);
  }

  /** Takes a snapshot to come back from. */
  private save(now: number, change: StateChange | undefined): void {
    try {
      const bytes = this.home.component.call((api) => api.snapshot(this.seat.id, toWit(now)));
      if (bytes === undefined) throw this.home.component.fail(nonsense('no snapshot of a breaker that it made'));
      this.saved = { bytes, at: now };
      this.opening = undefined;
      this.unsaved = 0;
      this.due = false;
    } catch (failure) {
      if (change?.openUntilMs !== undefined) this.opening = { until: change.openUntilMs * 1e6, reason: change.text };
      throw failure;
    }
  }

  private revoke(): void {
    this.lease.ask();
    this.refusal = undefined;
  }

  private take(last?: Last): Batch {
    const kept = this.lease.successes;
    const batch = this.lease.take(last);
    this.tally.successes += kept;
    this.tally.rejected += batch.refused;
    this.tally.leased += kept + batch.lates;
    return batch;
  }

  /** Hands what waits to the component, before anything else is asked of it. */
  private handIn(asked: Asked, last: Last | undefined): wit.Event | undefined {
    const { lease } = this;
    this.next = undefined;
    this.together = undefined;
    const wasOpen = lease.open;
    if (!wasOpen && !lease.waiting && asked !== NOTHING) return undefined;
    const permit = this.leasePermit;
    const batch = this.take(last);
    const kept = batch.successes + batch.lates;
    if (wasOpen && (asked === RECORD || asked === TOGETHER)) {
      this.pause = kept >= KEPT_MIN ? 0 : Math.min(Math.max(2 * this.pause, 1), PAUSE_MAX);
      this.paused = this.pause;
    }
    const latest = last === undefined ? lease.latest : lease.note(last.at);
    const unseen = asked === NOTHING && latest > this.told;
    if (kept === 0 && batch.refused === 0 && !unseen) return undefined;
    const renew = asked === TOGETHER && this.paused === 0;
    if (asked === TOGETHER) this.together = 'lost';
    this.unsaved += kept;
    const { scores, settledAt, latencies } = batch;
    const refused = BigInt(batch.refused);
    const settlement = this.home.component.call<wit.LeasedSettlement>(
      (api) =>
        scores.length === 0 && settledAt.length === 0 && latencies.length === 0
          ? api.recordLeased(this.seat.id, permit, batch.successes, refused, toWit(latest), renew)
          : api.recordLeasedDetails(this.seat.id, permit, batch.successes, settledAt, latencies, scores, refused, toWit(latest), renew),
      (payload) => {
        throw nonsense(`what it leased was refused: ${JSON.stringify(payload)}`);
      },
    );
    this.told = Math.max(this.told, latest);
    if (asked === TOGETHER) {
      this.together = settlement.stale ? 'stale' : this.known === 'disabled' ? 'ignored' : 'recorded';
      this.next = settlement.lease;
    }
    return settlement.event;
  }

  /** Asks for a lease where it pays, or where calls wouldn't be admitted without one. */
  private renew(asked: Asked, now: number): void {
    if (asked === NOTHING || asked === CHANGE) return;
    const { home, lease } = this;
    if (this.asked < home.leaseAfter) {
      if (asked === PERMIT) this.asked += 1;
      return;
    }
    if (asked !== PERMIT && this.paused > 0) {
      this.paused -= 1;
      return;
    }
    if (this.known === 'half-open') {
      // Each probe is asked for.
      this.revoke();
      return;
    }
    // What comes too late to count may bring a time that the component doesn't see: the next call asks.
    if (asked === RECORD && (this.known === 'open' || this.known === 'forced-open')) return;
    const granted = this.next ?? home.component.call((api) => api.grantLease(this.seat.id, toWit(now)));
    this.next = undefined;
    if (granted?.tag === 'admit') {
      this.leasePermit = granted.val.permit;
      // What is kept is as good as lost if the component fails, so that a lease lasts no longer than a snapshot.
      lease.grantTerms(granted.val, this.seat.incarnation, now + home.snapshotInterval);
    } else if (granted?.tag === 'refuse') {
      const { until, rejection } = granted.val;
      if (until !== undefined && rejection.retryAfter !== undefined) lease.note(Number(until - rejection.retryAfter));
      this.refusal = rejection;
      lease.refuse(until);
    } else {
      lease.ask();
    }
  }

  /** The component has seen this time. @internal */
  saw(now: number): void {
    this.lease.note(now);
    if (now > this.told) this.told = now;
  }

  /** Whether calls are admitted without asking. @internal */
  get admits(): boolean {
    return this.lease.admission === ADMIT;
  }
}
