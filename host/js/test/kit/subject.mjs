// A breaker as a subject of the shared vectors: through the package's public API.

import { seen } from './vectors.mjs';

const nanos = (ms) => (ms === undefined ? null : Math.round(ms * 1e6));

export function eventSeen(change) {
  if (change === undefined) return null;
  const { reason } = change;
  const trip = reason.trip;
  const causes = trip?.causes ?? [];
  const text = trip?.outcome ?? trip?.reason;
  return {
    at_ns: nanos(change.atMs),
    old: change.old,
    new: change.new,
    kind: reason.kind,
    trip: trip?.kind ?? null,
    paths: causes.map((cause) => cause.path),
    values: causes.map((cause) => cause.value),
    limits: causes.map((cause) => cause.limit),
    texts: [...(text === undefined ? [] : [text]), ...causes.map((cause) => cause.text)],
    generation: change.generation,
    trip_count: change.tripCount,
    open_until_ns: nanos(change.openUntilMs),
  };
}

export function statusSeen(status) {
  return {
    state: status.state,
    since_ns: nanos(status.sinceMs),
    generation: status.generation,
    would_refuse: status.wouldRefuse,
    retry_after_ns: nanos(status.retryAfterMs),
    trip_count: status.tripCount,
    reopen_count: status.reopenCount,
    last_trip_at_ns: nanos(status.lastTrip?.atMs),
    last_trip: status.lastTrip?.text ?? null,
    transitions: status.transitions.map((t) => `${t.old} -> ${t.new} at ${nanos(t.atMs)}: ${t.text}`),
    ...status.totals,
    last_failure_at_ns: nanos(status.lastFailure?.atMs),
    last_failure: status.lastFailure?.kind ?? null,
    consecutive_failures: status.consecutiveFailures,
    consecutive_successes: status.consecutiveSuccesses,
    conditions: status.conditions.map((reading) => ({ ...reading, value: reading.value ?? null })),
    live_probes: status.liveProbes,
    passed_probes: status.passedProbes,
    calls_per_minute: status.callsPerMinute,
  };
}

/** `registryOptions` say whether leases are in force. */
export class HostSubject {
  constructor(softfuse, policyText, registryOptions) {
    this.softfuse = softfuse;
    this.clock = new softfuse.ManualClock();
    this.registry = new softfuse.Registry({ clock: this.clock, salt: 0n, ...registryOptions });
    this.policy = this.registry.policy(policyText);
    this.verdicts = [];
    this.adopt(this.registry.breaker('test', this.policy, { conditions: this.conditions() }));
  }

  conditions() {
    const made = this.policy.hostConditions.map((name, index) => [name, { record: () => this.verdicts[index], reset() {} }]);
    return Object.fromEntries(made);
  }

  adopt(breaker) {
    this.breaker = breaker;
    breaker.on('state-change', ({ change }) => {
      this.change = change;
    });
  }

  at(now) {
    this.clock.setNanos(now);
    this.change = undefined;
  }

  event() {
    return eventSeen(this.change);
  }

  before(now) {
    this.at(now);
    try {
      const handle = this.breaker.permit();
      return { handle, seen: seen({ admitted: true, event: this.event() }) };
    } catch (error) {
      if (!(error instanceof this.softfuse.CircuitOpenError)) throw error;
      return { seen: this.refusal(error) };
    }
  }

  refusal({ state, retryAfterMs, tripCount, reason }) {
    return seen({ admitted: false, state, retry_after_ns: nanos(retryAfterMs), trip_count: tripCount, reason: reason ?? null });
  }

  settle(permit, ending, now) {
    this.at(now);
    this.verdicts = ending.verdicts;
    return this.answer(
      () =>
        permit.settle({
          kind: ending.kind,
          latencyMs: ending.latency / 1e6,
          score: ending.score,
          pending: ending.pending,
          retryAfterMs: ending.retryAfterMs,
        }).effect,
    );
  }

  report(permit, score, now) {
    this.at(now);
    return this.answer(() => (score === undefined ? permit.reportMissing() : permit.reportQuality(score)));
  }

  answer(run) {
    try {
      const effect = run();
      return seen({ effect, event: this.event() });
    } catch (error) {
      if (error instanceof this.softfuse.PermitGoneError) return seen({ error: 'gone' });
      if (error instanceof this.softfuse.InvalidScoreError) return seen({ error: 'invalid-score' });
      throw error;
    }
  }

  wouldRefuse(now) {
    this.at(now);
    const refusal = this.breaker.wouldRefuse();
    return refusal === undefined ? seen({ admitted: true }) : this.refusal(refusal);
  }

  status(now) {
    this.at(now);
    return statusSeen(this.breaker.status());
  }

  reset(now) {
    this.at(now);
    this.breaker.reset();
    return seen({ event: this.event() });
  }

  operator(state, now) {
    this.at(now);
    this.breaker.setOperatorState(state);
    return seen({ event: this.event() });
  }

  trip(reason, openForMs, now) {
    this.at(now);
    this.breaker.trip(reason, openForMs === undefined ? {} : { openForMs });
    return seen({ event: this.event() });
  }

  reincarnate(now, then, awayMs) {
    this.at(now);
    const snapshot = this.breaker.snapshot();
    this.registry.remove('test');
    this.at(then);
    this.adopt(this.registry.restore('test', this.policy, snapshot, { awayMs, conditions: this.conditions() }));
  }
}
