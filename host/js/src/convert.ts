// What the component says, as users see it.

import { toMs } from './clock.js';
import type * as wit from './component/interfaces/softfuse-breaker-breaker.js';
import type { ChangeReason, CircuitStatus, StateChange, TripReason } from './types.js';

export function tripReason(reason: wit.TripReason): TripReason {
  switch (reason.tag) {
    case 'conditions':
    case 'probe-conditions':
      return { kind: reason.tag, causes: reason.val };
    case 'probe-failed':
      return { kind: 'probe-failed', outcome: reason.val };
    case 'host':
      return { kind: 'host', reason: reason.val };
  }
}

/** A trip's reason in words. */
export function tripText(trip: TripReason): string {
  switch (trip.kind) {
    case 'conditions':
      return trip.causes.map((cause) => cause.text).join('; ');
    case 'probe-conditions':
      return `probe: ${trip.causes.map((cause) => cause.text).join('; ')}`;
    case 'probe-failed':
      return `a probe failed: ${trip.outcome}`;
    case 'host':
      return trip.reason;
  }
}

function changeReason(reason: wit.EventReason): ChangeReason {
  switch (reason.tag) {
    case 'tripped':
    case 'would-have-tripped':
      return { kind: reason.tag, trip: tripReason(reason.val) };
    default:
      return { kind: reason.tag };
  }
}

function changeText(reason: ChangeReason): string {
  switch (reason.kind) {
    case 'tripped':
      return tripText(reason.trip);
    case 'would-have-tripped':
      return `would have tripped: ${tripText(reason.trip)}`;
    case 'open-period-over':
      return 'the open period is over';
    case 'recovered':
      return 'the probes passed';
    case 'reset':
      return 'reset';
    case 'operator':
      return 'set by an operator';
  }
}

export function stateChange(event: wit.Event): StateChange {
  const reason = changeReason(event.reason);
  return {
    atMs: toMs(event.at),
    old: event.old,
    new: event.new,
    reason,
    text: changeText(reason),
    generation: event.generation,
    tripCount: Number(event.tripCount),
    openUntilMs: event.openUntil === undefined ? undefined : toMs(event.openUntil),
  };
}

export function circuitStatus(status: wit.CircuitStatus): CircuitStatus {
  const { lastTrip, lastFailure, totals } = status;
  return {
    state: status.state,
    sinceMs: toMs(status.since),
    generation: status.generation,
    wouldRefuse: status.wouldRefuse,
    retryAfterMs: status.retryAfter === undefined ? undefined : toMs(status.retryAfter),
    tripCount: Number(status.tripCount),
    reopenCount: status.reopenCount,
    lastTrip: lastTrip && { atMs: toMs(lastTrip.at), reason: tripReason(lastTrip.reason), text: lastTrip.text },
    transitions: status.transitions.map(({ at, old, new: entered, text }) => ({ atMs: toMs(at), old, new: entered, text })),
    totals: {
      calls: Number(totals.calls),
      successes: Number(totals.successes),
      failures: Number(totals.failures),
      neutral: Number(totals.neutral),
      rejections: Number(totals.rejections),
      stale: Number(totals.stale),
    },
    lastFailure: lastFailure && { atMs: toMs(lastFailure.at), kind: lastFailure.kind },
    consecutiveFailures: status.consecutiveFailures,
    consecutiveSuccesses: status.consecutiveSuccesses,
    conditions: status.conditions.map(({ path, value, limit, filled, needed, holds }) => ({
      path,
      value,
      limit,
      filled,
      needed,
      holds,
    })),
    liveProbes: status.liveProbes,
    passedProbes: status.passedProbes,
    callsPerMinute: status.callsPerMinute,
  };
}
