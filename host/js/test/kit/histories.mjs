// Random policies and histories, for fast-check: calls in order and out of it, late scores, clocks that run backwards, operators.

import fc from 'fast-check';

const MS = 1_000_000;

const window = fc.integer({ min: 1, max: 12 });
const span = fc.constantFrom('100ms', '1s');
const leaf = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom(0.5, 0.7, 0.85), window)
      .map(([threshold, size]) => `{ quality_below = { threshold = ${threshold}, window = ${size} } }`),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom(5, 10, 20), window).map(([ms, size]) => `{ latency_above = { threshold_ms = ${ms}, window = ${size} } }`),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom(0.1, 0.3, 0.5), window).map(([rate, size]) => `{ error_rate_above = { rate = ${rate}, window = ${size} } }`),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(0.1, 0.3), fc.integer({ min: 1, max: 6 }), span)
      .map(([rate, calls, time]) => `{ error_rate_above = { rate = ${rate}, window = "${time}", minimum_calls = ${calls} } }`),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(0.6, 0.8), fc.integer({ min: 1, max: 6 }), span)
      .map(([threshold, calls, time]) => `{ quality_below = { threshold = ${threshold}, window = "${time}", minimum_calls = ${calls} } }`),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom(0.2, 0.5), fc.constantFrom(5, 15), window)
      .map(([rate, ms, size]) => `{ slow_call_rate_above = { rate = ${rate}, threshold_ms = ${ms}, window = ${size} } }`),
  },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 5 }).map((count) => `{ consecutive_failures = ${count} }`) },
);
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { maxDepth: 2, depthSize: 'small' },
    leaf,
    fc
      .tuple(fc.constantFrom('any_of', 'all_of'), fc.array(tie('tree'), { minLength: 1, maxLength: 3 }))
      .map(([name, children]) => `{ ${name} = [${children.join(', ')}] }`),
  ),
}));

/** A policy's text. */
export const policy = fc
  .record({
    tree,
    after: fc.constantFrom('20ms', '100ms', '500ms'),
    recovery: fc.integer({ min: 1, max: 3 }),
    required: fc.boolean(),
    backoff: fc.boolean(),
  })
  .map(({ tree: condition, after, recovery, required, backoff }) =>
    [
      `trip_on = ${condition}`,
      `half_open_after = "${after}"`,
      `recovery_threshold = ${recovery}`,
      ...(required ? ['require_quality_signal = true', 'missing_score = 0.3'] : []),
      ...(backoff ? ['backoff = { multiplier = 2.0, max = "2s", jitter = 0.2 }'] : []),
    ].join('\n'),
  );

const score = fc.oneof(
  { weight: 8, arbitrary: fc.double({ min: 0.4, max: 1, noNaN: true }) },
  { weight: 3, arbitrary: fc.double({ min: 0, max: 0.6, noNaN: true }) },
  { weight: 2, arbitrary: fc.constantFrom(0.7, 0.5, 1, 0) },
  { weight: 1, arbitrary: fc.constantFrom(NaN, Infinity, -Infinity, 1e6, -1e6, 2e6, 40_000, -0) },
);
/** How a call ends; mostly well. */
export const ending = fc
  .record({
    kind: fc.oneof(
      { weight: 12, arbitrary: fc.constant('success') },
      { weight: 2, arbitrary: fc.constantFrom('error', 'timeout', 'rate-limited', 'overloaded') },
      { weight: 1, arbitrary: fc.constantFrom('cancelled', 'content-policy', 'bad-request') },
    ),
    latency: fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 0, max: 9 * MS }) },
      { weight: 2, arbitrary: fc.integer({ min: 0, max: 40 * MS }) },
      { weight: 1, arbitrary: fc.constant(5 * MS) },
    ),
    signal: fc.oneof(
      { weight: 3, arbitrary: fc.constant({}) },
      { weight: 5, arbitrary: score.map((value) => ({ score: value })) },
      { weight: 1, arbitrary: fc.constant({ pending: true }) },
    ),
    retryAfterMs: fc.oneof({ weight: 12, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.integer({ min: 0, max: 300 }) }),
  })
  .map(({ signal, ...rest }) => ({ ...rest, score: undefined, pending: false, verdicts: [], ...signal }));

/** One step of a history. */
export const op = fc.oneof(
  { weight: 14, arbitrary: fc.record({ do: fc.constant('calls'), times: fc.integer({ min: 1, max: 16 }), ending }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('before') }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('settle'), which: fc.nat(15), ending }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('report'), which: fc.nat(15), score: fc.option(score, { nil: undefined, freq: 9 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('would-refuse') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('status') }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('advance'), span: fc.integer({ min: 0, max: 150 * MS }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('advance'), span: fc.constantFrom(500 * MS, 20 * MS, 100 * MS, 60_000 * MS) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('back'), span: fc.integer({ min: 0, max: 200 * MS }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('reset', 'trip', 'reincarnate') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('operator'), state: fc.constantFrom('forced-open', 'disabled', 'metrics-only') }) },
);

/** A history. */
export const history = fc.array(op, { minLength: 1, maxLength: 60 });

/** Permits that a history remembers. */
const PERMITS_MAX = 32;

/** Drives a subject through a history: every answer, and the status after each change. */
export function drive(ops, subject) {
  const seen = [];
  let now = 0;
  let permits = [];
  const note = (answer) => {
    seen.push(answer);
    if (answer.event !== null && answer.event !== undefined) seen.push(subject.status(now));
  };
  const keep = (handle) => {
    permits.unshift(handle);
    if (permits.length > PERMITS_MAX) permits.pop();
  };
  const pick = (which) => permits[which % Math.max(permits.length, 1)];
  for (const step of ops) {
    switch (step.do) {
      case 'calls':
        for (let turn = 0; turn < step.times; turn += 1) {
          const { handle, seen: answer } = subject.before(now);
          note(answer);
          if (handle === undefined) break;
          now += Math.min(step.ending.latency, 20 * MS);
          note(subject.settle(handle, step.ending, now));
          keep(handle);
        }
        break;
      case 'before': {
        const { handle, seen: answer } = subject.before(now);
        if (handle !== undefined) keep(handle);
        note(answer);
        break;
      }
      case 'settle':
        if (permits.length > 0) note(subject.settle(pick(step.which), step.ending, now));
        break;
      case 'report':
        if (permits.length > 0) note(subject.report(pick(step.which), step.score, now));
        break;
      case 'would-refuse':
        note(subject.wouldRefuse(now));
        break;
      case 'status':
        seen.push(subject.status(now));
        break;
      case 'advance':
        now += step.span;
        break;
      case 'back':
        note(subject.before(Math.max(0, now - step.span)).seen);
        break;
      case 'reset':
        note(subject.reset(now));
        break;
      case 'trip':
        note(subject.trip('the host wants it', 200, now));
        break;
      case 'operator':
        note(subject.operator(step.state, now));
        break;
      case 'reincarnate':
        permits = [];
        subject.reincarnate(now, now + 7 * MS, 7);
        now += 7 * MS;
        break;
      default:
        throw new Error(`there is no step ${step.do}`);
    }
  }
  seen.push(subject.status(now));
  return seen;
}
