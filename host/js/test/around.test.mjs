// Around the breaker: bulkheads, providers and chains.

import assert from 'node:assert/strict';
import test from 'node:test';
import {
  BULKHEAD_PRESETS,
  Bulkhead,
  BulkheadFullError,
  BulkheadTimeoutError,
  CircuitOpenError,
  InvalidScoreError,
  ManualClock,
  NoProviderError,
  Providers,
  Registry,
} from 'softfuse';

const tick = () => new Promise((resolve) => setImmediate(resolve));

test('who comes first is served first, and nobody overtakes', async () => {
  const bulkhead = new Bulkhead('chat', { concurrentMax: 1, queueMax: 3, queueTimeoutMs: 60_000 });
  const first = bulkhead.tryEnter();
  const order = [];
  const waiting = [1, 2, 3].map((number) => bulkhead.run(async () => order.push(number)));
  assert.deepEqual(bulkhead.counts, { inUse: 1, waiting: 3, refused: 0, timedOut: 0 });
  await assert.rejects(bulkhead.enter(), (error) => {
    assert.ok(error instanceof BulkheadFullError);
    assert.equal(error.message, 'the bulkhead "chat" is full: it takes 1 calls at once, and 3 of at most 3 callers wait');
    return true;
  });
  first.leave();
  first.leave(); // once, however often
  // The place is the first waiter's by now, though it hasn't run yet.
  assert.throws(() => bulkhead.tryEnter(), BulkheadFullError);
  await Promise.all(waiting);
  assert.deepEqual(order, [1, 2, 3]);
  assert.deepEqual(bulkhead.counts, { inUse: 0, waiting: 0, refused: 2, timedOut: 0 });
});

test('who waits in vain is told, and who goes away leaves the queue', async () => {
  const bulkhead = new Bulkhead('chat', { concurrentMax: 1, queueMax: 5, queueTimeoutMs: 20 });
  const place = bulkhead.tryEnter();
  await assert.rejects(bulkhead.enter(), (error) => error instanceof BulkheadTimeoutError && error.waitedMs === 20);
  const controller = new AbortController();
  const patient = new Bulkhead('patient', { concurrentMax: 1, queueMax: 5, queueTimeoutMs: 60_000 });
  const held = patient.tryEnter();
  const going = patient.enter({ signal: controller.signal });
  const staying = patient.enter();
  controller.abort(new Error('enough'));
  await assert.rejects(going, /enough/);
  await assert.rejects(patient.enter({ signal: controller.signal }), /enough/);
  assert.equal(patient.counts.waiting, 1);
  held.leave();
  (await staying).leave();
  place.leave();
  assert.equal(bulkhead.counts.timedOut, 1);
  assert.equal(patient.counts.inUse, 0);
});

test('a place is free again however the call ends, and is no outcome', async () => {
  const registry = new Registry();
  const breaker = registry.breaker('chat', 'trip_on = { consecutive_failures = 1 }');
  const bulkhead = new Bulkhead('chat', { concurrentMax: 1 });
  await assert.rejects(
    bulkhead.run(() => {
      throw new Error('at once');
    }),
    /at once/,
  );
  const place = bulkhead.tryEnter();
  await assert.rejects(
    bulkhead.run(() => breaker.call(async () => 'Paris')),
    BulkheadFullError,
  );
  place[Symbol.dispose]();
  assert.equal(await bulkhead.run(() => breaker.call(async () => 'Paris')), 'Paris');
  assert.equal(breaker.status().totals.calls, 1);
  assert.equal(bulkhead.counts.inUse, 0);
});

test("a bulkhead's options are checked", () => {
  assert.throws(() => new Bulkhead('b', {}), /concurrentMax is undefined: a whole number from 1 to 1000000 is expected/);
  assert.throws(() => new Bulkhead('b', { concurrentMax: 1.5 }), /concurrentMax is 1.5/);
  assert.throws(() => new Bulkhead('b', { concurrentMax: 1, queueMax: -1 }), /queueMax is -1/);
  assert.throws(() => new Bulkhead('b', { concurrentMax: 1, queueTimeoutMs: 1e9 }), /queueTimeoutMs is 1000000000/);
  assert.throws(() => new Bulkhead('b', { concurrentMax: 1, queue: 1 }), /no option "queue"/);
  assert.deepEqual(new Bulkhead('b', BULKHEAD_PRESETS.embeddings).options, { concurrentMax: 20, queueMax: 100, queueTimeoutMs: 10_000 });
});

function chained(options = {}, registryOptions = {}) {
  const clock = new ManualClock();
  const registry = new Registry({ clock, ...registryOptions });
  const policy =
    'trip_on = { any_of = [{ consecutive_failures = 2 }, { quality_below = { threshold = 0.1, window = 50 } }] }\nhalf_open_after = "10s"';
  const providers = new Providers(['near', 'far', 'last'].map((name) => registry.breaker(name, policy)));
  const asked = [];
  const script = { errors: {}, scores: {} };
  const call = async (attempt) => {
    asked.push(attempt.provider);
    if (script.scores[attempt.provider] !== undefined) attempt.reportQuality(script.scores[attempt.provider]);
    if (script.errors[attempt.provider] !== undefined) throw script.errors[attempt.provider];
    return `answer of ${attempt.provider}`;
  };
  return { clock, registry, providers, chain: providers.chain(options), asked, script, call };
}

const status = (code) => Object.assign(new Error(`HTTP ${code}`), { status: code });
const names = (breakers) => breakers.map(({ name }) => name);

test('a call goes on where a provider fails or refuses', async () => {
  const { clock, providers, chain, asked, script, call } = chained();
  script.errors.near = status(401);
  for (let turn = 0; turn < 3; turn += 1) assert.equal(await chain.call(call), 'answer of far');
  assert.deepEqual(asked, ['near', 'far', 'near', 'far', 'far']);
  assert.deepEqual(names(providers.available()), ['far', 'last']);
  clock.advanceMs(10_000);
  // Available, or nobody would ever probe it; asking takes no probe.
  assert.deepEqual(names(providers.available()), ['near', 'far', 'last']);
  assert.equal(providers.get('near').state, 'open');
  assert.equal(providers.get('nowhere'), undefined);
});

test('everyone who was tried is named', async () => {
  const { providers, chain, script, call } = chained();
  script.errors = { near: new Error('down'), last: status(500) };
  providers.get('far').trip('maintenance', { openForMs: 30_000 });
  await assert.rejects(chain.call(call), (error) => {
    assert.ok(error instanceof NoProviderError);
    assert.deepEqual(
      error.tried.map(({ provider }) => provider),
      ['near', 'far', 'last'],
    );
    assert.ok(error.tried[1].error instanceof CircuitOpenError);
    assert.equal(error.retryAfterMs, 30_000);
    assert.equal(
      error.message,
      'no provider gave an answer: "near" failed: down; "far" refused: the circuit "far" is open, retry in 30000 ms: maintenance; "last" failed: HTTP 500',
    );
    return true;
  });
  await assert.rejects(chain.call(call, { among: [] }), /no provider gave an answer: none was named/);
  assert.equal(new NoProviderError([]).retryAfterMs, undefined);
});

test('what is bad by itself is bad for everyone, and a call that was made need not be made again', async () => {
  const { chain, asked, script, call } = chained();
  script.errors.near = status(422);
  await assert.rejects(chain.call(call), /HTTP 422/);
  assert.deepEqual(asked, ['near']);
  const other = chained({ moveOn: 'rejection' });
  other.script.errors.near = new Error('down');
  for (let turn = 0; turn < 2; turn += 1) await assert.rejects(other.chain.call(other.call), /"near" failed: down$/);
  assert.equal(await other.chain.call(other.call), 'answer of far');
  assert.deepEqual(other.asked, ['near', 'near', 'far']);
});

test('the best of bad answers is the caller’s, where none is better', async () => {
  const { chain, script, call, asked } = chained({ replaceBelow: 0.5 });
  script.scores = { near: 0.2, far: 0.4, last: 0.3 };
  assert.equal(await chain.call(call), 'answer of far');
  assert.equal(asked.length, 3);
  script.errors.far = script.errors.last = new Error('down');
  assert.equal(await chain.call(call), 'answer of near');
  const failing = chained({ replaceBelow: 0.5, classify: ({ ok, value }) => (ok && value.endsWith('near') ? 'error' : undefined) });
  failing.script.scores = { near: 0.9, far: 0.1 };
  failing.script.errors.last = new Error('down');
  // An answer that counts as a failure is worse than any that is merely bad.
  assert.equal(await failing.chain.call(failing.call), 'answer of far');
  assert.equal(failing.providers.get('near').status().totals.failures, 1);
});

test('an aborted call asks nobody else', async () => {
  const { providers, chain, asked } = chained();
  const controller = new AbortController();
  const call = chain.call(
    async ({ provider, signal }) => {
      asked.push(provider);
      assert.equal(signal, controller.signal);
      await new Promise(() => {});
    },
    { signal: controller.signal },
  );
  await tick();
  controller.abort();
  await assert.rejects(call, (error) => error instanceof NoProviderError && error.cause.name === 'AbortError');
  assert.deepEqual(asked, ['near']);
  assert.equal(providers.get('near').status().totals.neutral, 1);
  await assert.rejects(chain.call(() => 1, { signal: controller.signal }), { name: 'AbortError' });
});

test('an unknown provider is called unguarded, with a warning', async (t) => {
  const warn = t.mock.method(console, 'warn', () => {});
  const { chain, script, call } = chained();
  script.errors.near = new Error('down');
  script.scores.elsewhere = 0.1;
  assert.equal(await chain.call(call, { among: ['near', 'elsewhere'] }), 'answer of elsewhere');
  assert.match(warn.mock.calls[0].arguments[0], /"elsewhere" isn't in the chain/);
  script.scores.elsewhere = NaN;
  await assert.rejects(chain.call(call, { among: ['elsewhere'] }), (error) => error.cause instanceof InvalidScoreError);
  delete script.scores.elsewhere;
  script.errors.elsewhere = status(503);
  assert.equal(await chain.call(call, { among: ['elsewhere', 'far'] }), 'answer of far');
});

test('providers are named once, and the presets are those of every host', async () => {
  const registry = new Registry();
  const one = registry.breaker('one', 'trip_on = { consecutive_failures = 2 }');
  assert.throws(() => new Providers([]), /one provider at least/);
  assert.throws(() => new Providers([one, one]), /"one" was named twice/);
  const many = Array.from({ length: 65 }, (_, at) => registry.breaker(`p${at}`, one.policy));
  assert.throws(() => new Providers(many), /64 providers at most, and 65 were named/);
  assert.throws(() => new Providers([one]).chain({ fallback: () => 1 }), /no option "fallback" of a chain/);
  assert.throws(() => new Providers([one]).chain({ clasify: () => 1 }), /no option "clasify" of a guard/);
  assert.throws(() => new Providers([one]).chain({ moveOn: 'never' }), /moveOn is never/);
  const presets = Providers.presets(registry);
  assert.deepEqual(names(presets.breakers), ['openai', 'azure', 'anthropic']);
  for (let turn = 0; turn < 3; turn += 1) presets.get('anthropic').permit().failure();
  assert.deepEqual(names(presets.available()), ['openai', 'azure']);
});
