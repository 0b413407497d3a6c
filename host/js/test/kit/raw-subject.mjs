// The component itself as a subject: for vectors that speak the contract, permits as numbers and all.

import { eventSeen, statusSeen } from './subject.mjs';
import { seen } from './vectors.mjs';

/** `inner` are the package's inner modules: component.js and convert.js. */
export class RawSubject {
  constructor({ Component, payloadOf, stateChange, circuitStatus }, policyText) {
    Object.assign(this, { payloadOf, stateChange, circuitStatus });
    this.component = new Component({ now: () => 0 }, 2 ** 30);
    this.api = this.component.live();
    this.policy = this.api.loadPolicy(policyText);
    this.id = this.api.create(this.policy.id, 'test', 0n, 0n);
  }

  event(event) {
    return event === undefined ? null : eventSeen(this.stateChange(event));
  }

  answer(run, refused) {
    try {
      return run();
    } catch (thrown) {
      const payload = this.payloadOf(thrown);
      if (payload === undefined) throw thrown;
      return refused(payload);
    }
  }

  refusal(rejection) {
    const { state, retryAfter, tripCount, reason } = rejection;
    return seen({ admitted: false, state, retry_after_ns: retryAfter ?? null, trip_count: tripCount, reason: reason ?? null });
  }

  before(now) {
    return this.answer(
      () => {
        const { permit, event } = this.api.beforeCall(this.id, BigInt(now));
        return { handle: permit, seen: seen({ admitted: true, permit, event: this.event(event) }) };
      },
      (payload) => ({ seen: this.refusal(payload.val) }),
    );
  }

  settled(run) {
    return this.answer(
      () => {
        const { effect, event } = run();
        return seen({ effect, event: this.event(event) });
      },
      (payload) => seen({ error: payload.tag }),
    );
  }

  settle(permit, ending, now) {
    const signal = ending.score !== undefined ? { tag: 'score', val: ending.score } : { tag: ending.pending ? 'pending' : 'none' };
    const retryAfter = ending.retryAfterMs === undefined ? undefined : BigInt(ending.retryAfterMs) * 1_000_000n;
    const outcome = { kind: ending.kind, latency: BigInt(ending.latency), signal, retryAfter };
    return this.settled(() =>
      ending.verdicts.length === 0
        ? this.api.recordOutcome(this.id, permit, outcome, BigInt(now))
        : this.api.recordJudgedOutcome(this.id, permit, outcome, ending.verdicts, BigInt(now)),
    );
  }

  report(permit, score, now) {
    const report = score === undefined ? { tag: 'missing' } : { tag: 'score', val: score };
    return this.settled(() => this.api.reportQuality(this.id, permit, report, BigInt(now)));
  }

  wouldRefuse(now) {
    const rejection = this.api.wouldRefuse(this.id, BigInt(now));
    return rejection === undefined ? seen({ admitted: true }) : this.refusal(rejection);
  }

  status(now) {
    return statusSeen(this.circuitStatus(this.api.status(this.id, BigInt(now))));
  }

  reset(now) {
    return seen({ event: this.event(this.api.reset(this.id, BigInt(now))) });
  }

  operator(state, now) {
    return seen({ event: this.event(this.api.setOperatorState(this.id, state, BigInt(now))) });
  }

  trip(reason, openForMs, now) {
    const openFor = openForMs === undefined ? undefined : BigInt(openForMs) * 1_000_000n;
    return seen({ event: this.event(this.api.trip(this.id, reason, openFor, BigInt(now))) });
  }

  reincarnate(now, then, awayMs) {
    const snapshot = this.api.snapshot(this.id, BigInt(now));
    this.id = this.api.restore(this.policy.id, snapshot, BigInt(then), BigInt(awayMs) * 1_000_000n);
  }
}
