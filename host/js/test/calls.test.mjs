// Guarded calls as users make them: functions wrapped, fallbacks, what counts as a failure, quality, aborts, re-entrancy.

import assert from 'node:assert/strict';
import test from 'node:test';
import {
  CircuitOpenError,
  InvalidScoreError,
  ManualClock,
  PermitGoneError,
  Registry,
  circuitBreaker,
  consecutiveFailures,
  currentPermit,
  guardedFetch,
  qualityBelow,
  reportQuality,
  retryAfterMs,
  classifyError,
  anyOf,
} from 'softfuse';

const TWO_FAILURES = 'trip_on = { consecutive_failures = 2 }\nhalf_open_after = "1s"\nrecovery_threshold = 1';
const POOR = 'trip_on = { quality_below = { threshold = 0.6, window = 3 } }\nhalf_open_after = "1s"\nrecovery_threshold = 1';

function setUp(options = {}) {
  const clock = new ManualClock();
  return { clock, registry: new Registry({ clock, salt: 0n, ...options }) };
}

const totals = (breaker) => {
  const { calls, successes, failures, neutral, rejections } = breaker.status().totals;
  return { calls, successes, failures, neutral, rejections };
};

test('this, arguments, values and errors pass through, synchronous or not', async () => {
  const { registry } = setUp();
  const model = {
    greeting: 'hello',
    greet: circuitBreaker(
      function greet(name, ...rest) {
        return `${this.greeting} ${name} ${rest.length}`;
      },
      TWO_FAILURES,
      { registry },
    ),
    greetLater: circuitBreaker(
      async function greetLater(name) {
        await null;
        return `${this.greeting} ${name}`;
      },
      TWO_FAILURES,
      { registry },
    ),
  };
  assert.equal(model.greet('you', 1, 2), 'hello you 2');
  assert.equal(model.greet.name, 'greet');
  assert.equal(model.greet.breaker.name, 'greet');
  const later = model.greetLater('me');
  assert.ok(later instanceof Promise);
  assert.equal(await later, 'hello me');
  const failure = new Error('no');
  const fails = circuitBreaker(
    () => {
      throw failure;
    },
    TWO_FAILURES,
    { registry, name: 'fails' },
  );
  assert.throws(
    () => fails(),
    (error) => error === failure,
  );
  const rejects = circuitBreaker(
    async () => {
      throw failure;
    },
    TWO_FAILURES,
    { registry, name: 'rejects' },
  );
  await assert.rejects(rejects(), (error) => error === failure);
  assert.deepEqual(totals(rejects.breaker), { calls: 1, successes: 0, failures: 1, neutral: 0, rejections: 0 });
});

test('falsy and odd results are results', async () => {
  const { registry } = setUp();
  for (const [place, value] of [undefined, null, 0, '', false, NaN, [], { then: 5 }].entries()) {
    const call = circuitBreaker(() => value, TWO_FAILURES, { registry, name: `sync ${place}` });
    assert.ok(Object.is(call(), value));
    const later = circuitBreaker(async () => value, TWO_FAILURES, { registry, name: `async ${place}` });
    assert.ok(Object.is(await later(), value));
    assert.equal(totals(later.breaker).successes, 1);
  }
  for (const thrown of [undefined, null, 0, 'text']) {
    const call = circuitBreaker(
      async () => {
        throw thrown;
      },
      TWO_FAILURES,
      { registry, name: `throws ${String(thrown)}` },
    );
    await assert.rejects(call(), (error) => Object.is(error, thrown));
    assert.equal(totals(call.breaker).failures, 1);
  }
  // A thenable that is no promise.
  const thenable = circuitBreaker(() => ({ then: (resolve) => resolve(5) }), TWO_FAILURES, { registry, name: 'thenable' });
  assert.equal(await thenable(), 5);
});

test('a refusal is typed, exact, and a rejection where the function is asynchronous', async () => {
  const { clock, registry } = setUp();
  let calls = 0;
  const call = circuitBreaker(
    async () => {
      calls += 1;
      throw new Error('down');
    },
    TWO_FAILURES,
    { registry, name: 'chat' },
  );
  await assert.rejects(call());
  await assert.rejects(call(), /down/);
  clock.advanceMs(400.5);
  await assert.rejects(call(), (error) => {
    assert.ok(error instanceof CircuitOpenError && error instanceof Error);
    const { name, breaker, state, retryAfterMs: wait, tripCount, reason } = error;
    assert.deepEqual(
      { name, breaker, state, wait, tripCount },
      { name: 'CircuitOpenError', breaker: 'chat', state: 'open', wait: 599.5, tripCount: 1 },
    );
    assert.match(reason, /2 calls in a row failed/);
    assert.match(error.message, /the circuit "chat" is open, retry in 599.5 ms: /);
    return true;
  });
  assert.equal(calls, 2);
  clock.advanceMs(600);
  assert.equal(call.breaker.state, 'open');
  assert.equal(call.breaker.isOpen, false);
  await assert.rejects(call(), /down/);
  assert.equal(call.breaker.state, 'open');
  assert.equal(call.breaker.tripCount, 2);
});

test('a synchronous function throws its refusals', () => {
  const { registry } = setUp();
  const call = circuitBreaker(() => 1, TWO_FAILURES, { registry, name: 'sync' });
  call.breaker.trip('maintenance');
  assert.throws(
    () => call(),
    (error) => error instanceof CircuitOpenError && error.reason === 'maintenance',
  );
});

test('calls of one breaker may be synchronous or not, and each is refused in its own way', async () => {
  const { registry } = setUp();
  const breaker = registry.breaker('mixed', TWO_FAILURES);
  assert.equal(await breaker.call(async () => 1), 1);
  assert.equal(
    breaker.call(() => 2),
    2,
  );
  breaker.trip('x');
  assert.throws(() => breaker.call(() => 2), CircuitOpenError);
  const refused = breaker.call(async () => 1);
  assert.ok(refused instanceof Promise);
  await assert.rejects(refused, CircuitOpenError);
  await assert.rejects(
    breaker.call(() => 3, { signal: new AbortController().signal }),
    CircuitOpenError,
  );
});

test('fallbacks: called with the cause and the arguments, or a value, undefined and null among them', async () => {
  const { registry } = setUp();
  const causes = [];
  let down = true;
  const call = circuitBreaker(
    async (question) => {
      if (down) throw new Error('down');
      return `${question}!`;
    },
    TWO_FAILURES,
    {
      registry,
      name: 'callable',
      fallback: (cause, question) => {
        causes.push(cause.kind);
        return `${question}?`;
      },
    },
  );
  // An error that doesn't open the circuit is the caller's.
  await assert.rejects(call('a'), /down/);
  assert.equal(await call('b'), 'b?');
  assert.equal(await call('c'), 'c?');
  assert.deepEqual(causes, ['tripped', 'rejected']);
  down = false;
  call.breaker.reset();
  assert.equal(await call('d'), 'd!');
  for (const value of [undefined, null, 0, 'cached', () => 'a function as a value']) {
    const one = circuitBreaker(async () => 1, TWO_FAILURES, { registry, name: `value ${String(value)}`, fallbackValue: value });
    one.breaker.trip('x');
    assert.equal(await one(), value);
  }
  const broken = circuitBreaker(async () => 1, TWO_FAILURES, {
    registry,
    name: 'broken',
    fallback: () => {
      throw new Error('no fallback');
    },
  });
  broken.breaker.trip('x');
  await assert.rejects(broken(), /no fallback/);
  assert.throws(() => circuitBreaker(() => 1, TWO_FAILURES, { registry, name: 'bad', fallback: 'text' }), /fallbackValue/);
  assert.throws(() => circuitBreaker(() => 1, TWO_FAILURES, { registry, name: 'bad', falback: () => 1 }), /no option "falback"/);
});

test('errors and responses are classified', async () => {
  const kinds = [
    [new DOMException('gone', 'AbortError'), 'cancelled'],
    [new DOMException('late', 'TimeoutError'), 'timeout'],
    [Object.assign(new Error(), { status: 429 }), 'rate-limited'],
    [Object.assign(new Error(), { statusCode: 503 }), 'overloaded'],
    [Object.assign(new Error(), { response: { status: 529 } }), 'overloaded'],
    [Object.assign(new Error(), { status: 400 }), 'bad-request'],
    [Object.assign(new Error(), { status: 400, code: 'content_filter' }), 'content-policy'],
    [Object.assign(new Error(), { status: 500 }), 'error'],
    [Object.assign(new Error(), { status: 401 }), 'error'],
    [Object.assign(new Error(), { code: 'ETIMEDOUT' }), 'timeout'],
    [new TypeError('fetch failed', { cause: { code: 'UND_ERR_CONNECT_TIMEOUT' } }), 'timeout'],
    [new Error('no', { cause: new TypeError('fetch failed', { cause: { code: 'UND_ERR_HEADERS_TIMEOUT' } }) }), 'timeout'],
    // What a service has said, of an error without a status; but a status counts first.
    [Object.assign(new Error(), { error: { type: 'overloaded_error' } }), 'overloaded'],
    [Object.assign(new Error(), { error: { type: 'error', error: { type: 'rate_limit_error' } } }), 'rate-limited'],
    [Object.assign(new Error(), { status: 500, error: { type: 'overloaded_error' } }), 'error'],
    [Object.assign(new Error(), { status: 200, error: { code: 429 } }), 'rate-limited'],
    [Object.assign(new Error(), { error: 'overloaded' }), 'error'],
    [Object.assign(new Error(), { error: null }), 'error'],
    [Object.create(null), 'error'],
    ['text', 'error'],
  ];
  for (const [at, [error, kind]] of kinds.entries()) assert.equal(classifyError(error).kind, kind, `${at}: ${String(error?.message)}`);
  assert.equal(classifyError(Object.assign(new Error(), { status: 429, headers: { 'retry-after': '7' } })).retryAfterMs, 7000);
  const headers = (entries) => new Headers(entries);
  assert.equal(retryAfterMs(headers({ 'retry-after': '1.5' })), 1500);
  assert.equal(retryAfterMs(headers({ 'retry-after-ms': '250', 'retry-after': '9' })), 250);
  assert.equal(retryAfterMs(headers({ 'retry-after': 'Thu, 01 Jan 1970 00:01:00 GMT' }), 10_000), 50_000);
  assert.equal(retryAfterMs(headers({ 'retry-after': 'soon' })), undefined);

  const { registry } = setUp();
  const respond = circuitBreaker(async (status, init) => new Response('x', { status, ...init }), 'trip_on = { consecutive_failures = 9 }', {
    registry,
    name: 'http',
  });
  assert.equal((await respond(503)).status, 503);
  await respond(200);
  await respond(429);
  await respond(422);
  assert.deepEqual(totals(respond.breaker), { calls: 4, successes: 1, failures: 2, neutral: 1, rejections: 0 });
  const own = circuitBreaker(async (answer) => answer, 'trip_on = { consecutive_failures = 2 }', {
    registry,
    name: 'own',
    classify: (ending) =>
      ending.ok && ending.value.refused ? 'content-policy' : ending.ok && ending.value.bad ? { kind: 'overloaded', retryAfterMs: 5000 } : undefined,
  });
  await own({ refused: true });
  await own({ bad: true });
  await own({ bad: true });
  assert.equal(own.breaker.wouldRefuse().retryAfterMs, 60_000);
  assert.deepEqual(totals(own.breaker), { calls: 3, successes: 0, failures: 2, neutral: 1, rejections: 0 });
  const faults = [];
  const broken = circuitBreaker(async () => 1, 'trip_on = { consecutive_failures = 2 }', { registry, name: 'hooks', classify: () => 'sucess' });
  broken.breaker.on('hook-failed', ({ hook, failure }) => faults.push(`${hook}: ${failure.message}`));
  assert.equal(await broken(), 1);
  assert.deepEqual(faults, ['classify: classify() said sucess, which is no outcome']);
  assert.equal(totals(broken.breaker).successes, 1);
});

test("an aborted call is neutral, at once, and a timed out one isn't", async () => {
  const { clock, registry } = setUp();
  const breaker = registry.breaker('abort', TWO_FAILURES);
  const hangs = () => new Promise(() => {});
  const controller = new AbortController();
  const call = breaker.call(hangs, { signal: controller.signal });
  controller.abort();
  await assert.rejects(call, { name: 'AbortError' });
  const reason = new Error('the user left');
  const custom = new AbortController();
  const second = breaker.call(hangs, { signal: custom.signal });
  custom.abort(reason);
  await assert.rejects(second, (error) => error === reason);
  assert.deepEqual(totals(breaker), { calls: 2, successes: 0, failures: 0, neutral: 2, rejections: 0 });
  await assert.rejects(breaker.call(hangs, { signal: AbortSignal.timeout(5) }), { name: 'TimeoutError' });
  assert.deepEqual(totals(breaker), { calls: 3, successes: 0, failures: 1, neutral: 2, rejections: 0 });
  // An aborted probe frees its slot.
  breaker.trip('x');
  clock.advanceMs(1000);
  for (let turn = 0; turn < 10; turn += 1) {
    const again = new AbortController();
    const probe = breaker.call(hangs, { signal: again.signal });
    assert.equal(breaker.status().liveProbes, 1);
    again.abort();
    await assert.rejects(probe);
  }
  assert.equal(breaker.status().liveProbes, 0);
  // What is aborted before it begins takes no permit.
  const before = totals(breaker).calls;
  await assert.rejects(async () => breaker.call(async () => 1, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  assert.equal(totals(breaker).calls, before);
});

test('quality is reported from within, over awaits, and belongs to its own call', async () => {
  const { registry } = setUp();
  const inner = async (score, ms) => {
    await new Promise((resolve) => {
      setTimeout(resolve, ms);
    });
    assert.equal(reportQuality(0), true);
    assert.equal(reportQuality(score), true);
    return currentPermit().reported;
  };
  const call = circuitBreaker(async (score, ms) => inner(score, ms), POOR, { registry, name: 'ambient' });
  assert.deepEqual(await Promise.all([call(0.9, 15), call(0.8, 5), call(0.7, 1)]), [0.9, 0.8, 0.7]);
  const [reading] = call.breaker.status().conditions;
  assert.ok(Math.abs(reading.value - 0.8) < 1e-9);
  assert.equal(reportQuality(1), false);
  assert.equal(currentPermit(), undefined);
  const outer = circuitBreaker(
    () => {
      call(0.1, 1).catch(() => {});
      return reportQuality(0.5);
    },
    POOR,
    { registry, name: 'outer' },
  );
  assert.equal(outer(), true);
  assert.equal(outer.breaker.status().conditions[0].value, 0.5);
  assert.throws(() => circuitBreaker(() => reportQuality(NaN), POOR, { registry, name: 'nan' })(), InvalidScoreError);
});

test('poor answers open the circuit, and the call that opens it keeps its answer', async () => {
  const { clock, registry } = setUp();
  const changes = [];
  const call = circuitBreaker(
    async (score) => {
      reportQuality(score);
      return score;
    },
    POOR,
    { registry, name: 'chat', onStateChange: ({ change }) => changes.push(`${change.old} -> ${change.new}: ${change.text}`) },
  );
  for (const score of [0.9, 0.9, 0.9, 0.2, 0.2]) assert.equal(await call(score), score);
  await assert.rejects(call(1), CircuitOpenError);
  clock.advanceMs(1000);
  assert.equal(await call(0.9), 0.9);
  assert.deepEqual(changes, [
    'closed -> open: the mean quality of 3 scores is 0.4333, below 0.6',
    'open -> half-open: the open period is over',
    'half-open -> closed: the probes passed',
  ]);
});

test('a score function scores values; a bad answer may be replaced', async () => {
  const { registry } = setUp();
  const faults = [];
  const call = circuitBreaker(async (answer) => answer, POOR, {
    registry,
    name: 'scored',
    score: (answer, question) => (assert.equal(answer, question), answer.score),
    replaceBelow: 0.5,
    fallback: (cause) => `${cause.kind} ${cause.score}`,
  });
  call.breaker.on('hook-failed', ({ hook }) => faults.push(hook));
  assert.deepEqual(await call({ score: 0.9 }), { score: 0.9 });
  assert.equal(await call({ score: 0.4 }), 'bad-answer 0.4');
  assert.deepEqual(await call({ score: 'high' }), { score: 'high' });
  assert.deepEqual(faults, ['score']);
  assert.equal(call.breaker.status().conditions[0].filled, 2);
});

test('the two-step form: a permit is settled once, reports before and after', () => {
  const { clock, registry } = setUp();
  const breaker = registry.breaker('steps', POOR);
  const permit = breaker.permit();
  clock.advanceMs(12);
  assert.equal(permit.reportQuality(0.1), 'pending');
  assert.throws(() => permit.reportQuality(Infinity), InvalidScoreError);
  assert.throws(() => permit.settle('sucess'), /'success', 'error'/);
  assert.throws(() => permit.settle({ kind: 'success', retryAfterMs: -1 }), /retryAfterMs/);
  permit.reportQuality(0.9);
  assert.deepEqual(permit.success(), { effect: 'recorded', change: undefined, latencyMs: 12 });
  assert.throws(() => permit.success(), PermitGoneError);
  assert.equal(permit.reportQuality(0.7), 'recorded');
  assert.deepEqual(breaker.status().conditions[0], { path: 'quality_below', value: 0.8, limit: 0.6, filled: 2, needed: 3, holds: false });
  const pending = breaker.permit();
  assert.equal(pending.settle({ kind: 'success', pending: true }).effect, 'recorded');
  breaker.reset();
  assert.equal(pending.reportQuality(0.5), 'stale');
  assert.equal(breaker.permit().failure('timeout').effect, 'recorded');
  assert.equal(breaker.permit().cancel().effect, 'ignored');
  if (Symbol.dispose !== undefined) {
    const held = breaker.permit();
    held[Symbol.dispose]();
    assert.equal(held.settled, true);
  }
});

test('listeners may call the breaker; what they throw reaches nobody', async () => {
  const thrown = [];
  const { clock, registry } = setUp({ onListenerError: (error) => thrown.push(error.message) });
  const order = [];
  const call = circuitBreaker(
    async (ok) => {
      if (!ok) throw new Error('down');
      return 'fine';
    },
    TWO_FAILURES,
    { registry, name: 'loud' },
  );
  call.breaker.on('state-change', ({ change }) => {
    order.push(`${change.old} -> ${change.new}`);
    if (change.new === 'open') call.breaker.reset();
    throw new Error('from a listener');
  });
  registry.on('state-change', ({ breaker, change }) => order.push(`${breaker}: ${change.new}`));
  let once = 0;
  registry.once('state-change', () => {
    once += 1;
  });
  const off = registry.on('state-change', () => assert.fail('it was taken off'));
  off();
  await assert.rejects(call(false));
  await assert.rejects(call(false), /down/);
  assert.deepEqual(order, ['closed -> open', 'loud: open', 'open -> closed', 'loud: closed']);
  assert.deepEqual(thrown, ['from a listener', 'from a listener']);
  assert.equal(once, 1);
  assert.equal(await call(true), 'fine');
  clock.advanceMs(1);
});

test('a guarded function may call itself', () => {
  const { registry } = setUp();
  const down = circuitBreaker((n) => (n === 0 ? 0 : 1 + down(n - 1)), TWO_FAILURES, { registry, name: 'recursive' });
  assert.equal(down(200), 200);
  assert.equal(totals(down.breaker).successes, 201);
});

test("conditions of the user's own: verdicts, resets, throws, and no calls of their breaker", () => {
  const { clock, registry } = setUp();
  const seen = [];
  let resets = 0;
  const failures = [];
  let act = () => undefined;
  const drift = {
    record: (call) => {
      seen.push(call);
      return act(call);
    },
    reset: () => {
      resets += 1;
    },
  };
  const policy =
    'trip_on = { any_of = [{ host_condition = "drift" }, { consecutive_failures = 9 }] }\nhalf_open_after = "1s"\nrecovery_threshold = 1';
  assert.throws(() => registry.breaker('own', policy), /needs the condition "drift"/);
  assert.throws(() => registry.breaker('own', policy, { conditions: { drift, other: drift } }), /names no condition "other"/);
  const breaker = registry.breaker('own', policy, { conditions: { drift } });
  breaker.on('condition-failed', ({ condition, failure }) => failures.push(`${condition}: ${failure.message}`));
  breaker.permit().settle({ kind: 'success', score: 0.5, latencyMs: 3 });
  assert.deepEqual(seen, [{ kind: 'success', latencyMs: 3, score: 0.5, atMs: 0 }]);
  breaker.permit().cancel();
  assert.equal(seen.length, 1);
  act = () => {
    throw new Error('broken');
  };
  breaker.permit().success();
  act = () => breaker.permit();
  breaker.permit().success();
  assert.deepEqual(failures.slice(0, 1), ['drift: broken']);
  assert.match(failures[1], /must not call its breaker|a reason, or undefined/);
  assert.equal(breaker.state, 'closed');
  act = () => 'the answers drift';
  const settled = breaker.permit().success();
  assert.equal(settled.change.text, 'the answers drift');
  assert.equal(breaker.state, 'open');
  act = () => undefined;
  clock.advanceMs(1000);
  breaker.permit().success();
  assert.equal(breaker.state, 'closed');
  assert.ok(resets >= 2, `${resets} resets`);
});

test('settings say what text says, and bad ones name the key', () => {
  const { registry } = setUp();
  const built = registry.policy({
    tripOn: anyOf(qualityBelow(0.6, { window: 5 }), consecutiveFailures(3)),
    halfOpenAfter: 250,
    recoveryThreshold: 2,
    backoff: { multiplier: 2, max: '10m' },
  });
  const written = registry.policy(
    'half_open_after = "250ms"\nrecovery_threshold = 2\nbackoff = { multiplier = 2.0, max = "10m" }\n[trip_on]\n' +
      'any_of = [{ quality_below = { threshold = 0.6, window = 5 } }, { consecutive_failures = 3 }]',
  );
  assert.equal(built.fingerprint, written.fingerprint);
  assert.throws(
    () => registry.policy({ tripOn: consecutiveFailures(3), halfOpenAftr: 5 }),
    (error) => error.problems[0].nearest === 'half_open_after',
  );
  assert.throws(() => registry.policy({ tripOn: qualityBelow(NaN) }), /trip_on.quality_below.threshold.*NaN/);
});

test('fetch is guarded by origin', async () => {
  const { registry } = setUp();
  const asked = [];
  const fetched = guardedFetch(TWO_FAILURES, {
    registry,
    fetch: async (input) => {
      asked.push(String(input));
      return new Response('{}', { status: String(input).includes('down') ? 503 : 200, headers: { 'retry-after': '30' } });
    },
  });
  assert.equal((await fetched('https://up.example/a')).status, 200);
  assert.equal((await fetched('https://down.example/a')).status, 503);
  assert.equal((await fetched(new URL('https://down.example/b'))).status, 503);
  await assert.rejects(fetched('https://down.example/c'), (error) => error.breaker === 'fetch/https://down.example' && error.retryAfterMs === 30_000);
  assert.equal((await fetched('https://up.example/b')).status, 200);
  assert.equal(asked.length, 4);
  assert.equal(fetched.breakers.size, 2);
});
