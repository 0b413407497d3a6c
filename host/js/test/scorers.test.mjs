// Users' scorers in a worker: the components that come with Softfuse, and hostile ones; a guard that has answers scored.

import assert from 'node:assert/strict';
import test from 'node:test';
import { Registry, circuitBreaker } from 'softfuse';
import { Scorer, ScorerError } from 'softfuse/scorers';
import { inner } from './kit/inner.mjs';
import { bytes, load } from './kit/scorers.mjs';

const { boundMemory } = await inner('scorer/bounds.js');

test('the text scorer scores, fresh and reused', async () => {
  for (const fresh of [false, true]) {
    const scorer = await load(bytes('text.wasm'), { name: 'text', fresh });
    const good = await scorer.score({ operation: 'chat', answer: 'Paris is the capital of France, and its largest city.' });
    const poor = await scorer.score({ operation: 'chat', answer: { contentType: 'text/plain', content: 'Paris '.repeat(200) } });
    assert.ok(good > 0.8 && poor < 0.5, `${good} ${poor}`);
    assert.deepEqual(
      await Promise.all(Array.from({ length: 20 }, () => scorer.score({ answer: 'Paris is the capital of France, and its largest city.' }))),
      new Array(20).fill(good),
    );
  }
});

test('a configuration is read, and a wrong one says what is wrong', async () => {
  await assert.rejects(
    Scorer.load(bytes('text.wasm'), { config: 'no_such_key = 5' }),
    (error) => error instanceof ScorerError && error.kind === 'refused' && /no_such_key/.test(error.message),
  );
  await assert.rejects(Scorer.load(new Uint8Array([1, 2, 3])), (error) => error.kind === 'refused' && /no component/.test(error.message));
  await assert.rejects(
    Scorer.load(bytes('../breaker.wasm')),
    (error) => error.kind === 'refused' && /no softfuse:scorer\/scorer/.test(error.message),
  );
  await assert.rejects(Scorer.load(bytes('text.wasm'), { deadlineMs: 0 }), /deadlineMs is 0/);
  await assert.rejects(
    Scorer.load(bytes('text.wasm'), { memoryBytesMax: 65_536 }),
    (error) => error.kind === 'refused' && /memoryBytesMax/.test(error.message),
  );
});

test('one that takes too long is ended, and the next answer is scored', async () => {
  const scorer = await load(bytes('text.wasm'), { deadlineMs: 1, bodyBytesMax: 2 ** 26 });
  const long = 'worthless words that never repeat '.split(' ');
  const text = Array.from({ length: 2_000_000 }, (_, place) => long[place % 5] + (place % 9973)).join(' ');
  await assert.rejects(scorer.score({ answer: text }), (error) => error.kind === 'timeout');
  for (let attempt = 0; ; attempt += 1) {
    try {
      assert.equal(typeof (await scorer.score({ answer: 'Paris is the capital of France.' })), 'number');
      break;
    } catch (error) {
      // A millisecond is short for a machine that is busy.
      assert.equal(error.kind, 'timeout');
      assert.ok(attempt < 200, 'it never scored again');
    }
  }
});

test('one whose memory is full breaks off, and the next answer is scored', async () => {
  const scorer = await load(bytes('text.wasm'), { memoryBytesMax: 4 << 20, bodyBytesMax: 2 ** 26, deadlineMs: 60_000 });
  await assert.rejects(scorer.score({ answer: 'x'.repeat(16 << 20) }), (error) => error.kind === 'trap');
  assert.equal(typeof (await scorer.score({ answer: 'Paris is the capital of France.' })), 'number');
});

test('memories are bounded, wherever their section stands', () => {
  const leb = (value) => (value < 128 ? [value] : [(value & 0x7f) | 0x80, value >> 7]);
  const module = (limits) =>
    new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 5, limits.length + 1, 1, ...limits, 7, 5, 1, 1, 109, 2, 0]);
  const grown = (bytes, by) => {
    const { m } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
    try {
      m.grow(by);
      return true;
    } catch {
      return false;
    }
  };
  for (const limits of [
    [0, 1],
    [1, 1, ...leb(200)],
    [1, 1, 3],
  ]) {
    const whole = module(limits);
    assert.equal(grown(boundMemory(whole, 4 * 65_536), 2), true);
    assert.equal(grown(boundMemory(whole, 4 * 65_536), 4), false);
  }
  assert.throws(() => boundMemory(module([0, 9]), 4 * 65_536), /begins with 589824 bytes/);
  assert.deepEqual(boundMemory(new Uint8Array([1, 2]), 1), new Uint8Array([1, 2]));
});

test('answers that wait are bounded', async () => {
  const scorer = await load(bytes('text.wasm'), { waitingMax: 2 });
  const all = await Promise.allSettled(Array.from({ length: 10 }, () => scorer.score({ answer: 'Paris is the capital of France.' })));
  const kinds = all.map(({ status, reason }) => (status === 'fulfilled' ? 'scored' : reason.kind));
  assert.ok(kinds.includes('busy') && kinds.filter((kind) => kind === 'scored').length >= 2, kinds.join());
  scorer.close();
  await assert.rejects(scorer.score({ answer: 'x' }), (error) => error.kind === 'closed');
});

test('a guard has answers scored beside the call, or before they are passed on', async () => {
  const scorer = await load(bytes('text.wasm'), { name: 'text' });
  const registry = new Registry();
  const policy = 'trip_on = { quality_below = { threshold = 0.5, window = 3 } }';
  const exchange = (text, question) => ({ operation: 'chat', request: question, answer: { contentType: 'text/plain', content: text } });
  const ask = circuitBreaker(async (question) => question, policy, { registry, name: 'beside', scorer, exchange });
  const opened = new Promise((resolve) => {
    ask.breaker.on('state-change', ({ change }) => resolve(change));
  });
  for (let call = 0; call < 3; call += 1) assert.match(await ask('Paris '.repeat(200)), /^Paris/);
  assert.equal((await opened).new, 'open');
  const first = circuitBreaker(async (question) => question, policy, {
    registry,
    name: 'before',
    scorer,
    exchange,
    scoreBeforeAnswer: true,
    replaceBelow: 0.5,
    fallback: (cause) => `instead, for ${cause.kind}`,
  });
  assert.equal(await first('Paris '.repeat(200)), 'instead, for bad-answer');
  assert.equal(await first('Paris is the capital of France, and its largest city.'), 'Paris is the capital of France, and its largest city.');
  assert.equal(first.breaker.status().conditions[0].filled, 2);
});

test('a scorer that fails costs no call anything', async () => {
  const registry = new Registry();
  const failures = [];
  registry.on('scorer-failed', ({ scorer, failure }) => failures.push(`${scorer}: ${failure.message}`));
  const scorer = {
    name: 'broken',
    score: async () => {
      throw new ScorerError('timeout', 'too slow');
    },
  };
  const ask = circuitBreaker(async () => 'fine', 'trip_on = { quality_below = { threshold = 0.5, window = 2 } }', {
    registry,
    name: 'asked',
    scorer,
    exchange: () => ({ answer: 'x' }),
  });
  for (let call = 0; call < 5; call += 1) assert.equal(await ask(), 'fine');
  await new Promise((resolve) => {
    setTimeout(resolve, 5);
  });
  assert.deepEqual(failures, new Array(5).fill('broken: too slow'));
  assert.equal(ask.breaker.state, 'closed');
  assert.match(registry.metricsText(), /softfuse_scorer_failures_total\{breaker="asked",scorer="broken",reason="timeout"\} 5/);
  const nonsense = circuitBreaker(async () => 'fine', 'trip_on = { quality_below = { threshold = 0.5, window = 2 } }', {
    registry,
    name: 'nonsense',
    scorer: { name: 'mad', score: async () => NaN },
    exchange: () => ({ answer: 'x' }),
    scoreBeforeAnswer: true,
  });
  assert.equal(await nonsense(), 'fine');
});
