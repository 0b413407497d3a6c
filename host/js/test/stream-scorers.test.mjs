// Scorers that see an answer's pieces as they pass: the components that come with Softfuse, what is kept where one has no room or is lost, and
// a guard's streams.

import assert from 'node:assert/strict';
import test from 'node:test';
import { Registry, circuitBreaker, modelStream } from 'softfuse';
import { bytes, load as loadComponent } from './kit/scorers.mjs';

const load = (name, options) => loadComponent(bytes(name), { name, deadlineMs: 60_000, ...options });

const GOOD = 'Paris is the capital of France, and its largest city. It lies on the Seine, in the north of the country.';
const LOOP = 'Paris is the capital. '.repeat(400);
const pushed = (stream, text, length = 7) => {
  for (let at = 0; at < text.length; at += length) stream.push(text.slice(at, at + length));
  return stream;
};
/** Waits for what happens in the worker. */
async function until(holds) {
  for (let turn = 0; !holds(); turn += 1) {
    assert.ok(turn < 2000, 'it never came');
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
  }
}

test('an answer that passes in pieces scores as the whole, fresh and reused', async () => {
  for (const fresh of [false, true]) {
    const scorer = await load('text.wasm', { fresh });
    assert.equal(scorer.streams, true);
    const whole = await scorer.score({ operation: 'chat', answer: { contentType: 'text/plain', content: GOOD } });
    for (const length of [1, 7, 1000]) {
      const stream = scorer.stream({ operation: 'chat', request: 'where?', answer: { contentType: 'text/plain' } });
      assert.equal(await pushed(stream, GOOD, length).finish(), whole);
      assert.equal(await stream.finish(), whole);
    }
    // Several at once, each with its own.
    const streams = Array.from({ length: 20 }, () => scorer.stream({ answer: { contentType: 'text/plain' } }));
    for (let at = 0; at < GOOD.length; at += 20) for (const stream of streams) stream.push(Buffer.from(GOOD.slice(at, at + 20)));
    assert.deepEqual(await Promise.all(streams.map((stream) => stream.finish())), new Array(20).fill(whole));
    // One that broke off is worse than one that ended, and nothing at all is bad.
    assert.ok((await pushed(scorer.stream(), '{"text": "Par').finish(false)) < whole);
    assert.ok((await scorer.stream().finish()) < 0.5);
  }
});

test('a verdict may come before the end', async () => {
  const scorer = await load('text.wasm');
  const stream = scorer.stream({ answer: { contentType: 'text/plain' } });
  assert.equal(stream.verdict, undefined);
  pushed(stream, LOOP);
  await until(() => stream.verdict !== undefined);
  const { score } = stream.verdict;
  assert.ok(score < 0.5, String(score));
  stream.push(GOOD);
  assert.equal(await stream.finish(), score);
});

test('a scorer that takes no streams is shown the whole at the end', async () => {
  const scorer = await load('embedding.wasm');
  assert.equal(scorer.streams, false);
  const answer = JSON.stringify(Array.from({ length: 8 }, (_, at) => Math.sin(at)));
  const whole = await scorer.score({ answer: { contentType: 'application/json', content: answer } });
  assert.equal(typeof whole, 'number');
  assert.equal(await pushed(scorer.stream({ answer: { contentType: 'application/json' } }), answer).finish(), whole);
});

test('so many have an instance, those that stand still give theirs up, and the others are shown at the end', async (t) => {
  const scorer = await load('text.wasm', { streamsMax: 2 });
  const whole = await scorer.score({ answer: { contentType: 'text/plain', content: GOOD } });
  const open = () => scorer.stream({ answer: { contentType: 'text/plain' } });
  const speaks = async (stream) => {
    pushed(stream, LOOP);
    await scorer.score({ answer: GOOD }); // What was pushed was heard by then.
    await scorer.score({ answer: GOOD });
    return stream.verdict !== undefined;
  };
  const [first, second, third] = [open(), open(), open()];
  assert.equal(await speaks(third), false);
  assert.ok((await third.finish()) < 0.5);
  pushed(first, GOOD);
  first.discard();
  assert.equal(await first.finish(), undefined);
  second.push(GOOD.slice(0, 20));
  await scorer.score({ answer: GOOD });
  const fourth = open();
  assert.equal(await speaks(fourth), true);
  const [fifth, sixth] = [open(), open()];
  assert.equal(await speaks(sixth), false);
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
  t.mock.timers.tick(60_001);
  fifth.push(GOOD.slice(0, 20));
  // The second had no piece for a minute.
  const seventh = open();
  t.mock.timers.reset();
  assert.equal(await speaks(seventh), true);
  second.push(GOOD.slice(20));
  fifth.push(GOOD.slice(20));
  assert.deepEqual(await Promise.all([second.finish(), fifth.finish()]), [whole, whole]);
});

test('what waits for a slow scorer is bounded', async () => {
  const scorer = await load('text.wasm', { bodyBytesMax: 1024 });
  const cut = await scorer.score({ answer: { contentType: 'text/plain', content: GOOD.repeat(20).slice(0, 1024), truncated: true } });
  const stream = scorer.stream({ answer: { contentType: 'text/plain' } });
  // All in one turn: nothing can be handed in between.
  for (let at = 0; at < GOOD.length * 20; at += 100) stream.push(GOOD.repeat(20).slice(at, at + 100));
  assert.equal(await stream.finish(), cut);
  const paced = scorer.stream({ answer: { contentType: 'text/plain' } });
  for (let at = 0; at < LOOP.length && paced.verdict === undefined; at += 100) {
    paced.push(LOOP.slice(at, at + 100));
    await scorer.score({ answer: 'Paris' });
  }
  // More than is kept has passed.
  assert.ok(paced.verdict.score < 0.5);
  scorer.close();
  await assert.rejects(pushed(scorer.stream(), GOOD).finish(), (error) => error.kind === 'closed');
});

const POLICY = 'trip_on = { quality_below = { threshold = 0.5, window = 2 } }';
function guarded(answer, scorer, more = {}) {
  const registry = new Registry();
  const asked = [];
  const exchange = (value) => {
    asked.push(value);
    return { operation: 'chat', answer: { contentType: 'text/plain' } };
  };
  const failures = [];
  registry.on('scorer-failed', ({ failure }) => failures.push(failure));
  const ask = circuitBreaker(answer, POLICY, { name: 'ask', registry, scorer, exchange, stream: {}, ...more });
  const status = () => ask.breaker.status();
  return { ask, asked, failures, totals: () => status().totals, filled: () => status().conditions[0].filled, state: () => status().state };
}

test("a guard's streams are scored as they pass, and an early verdict goes into the outcome", async () => {
  const scorer = await load('text.wasm');
  let gone = 0;
  const looping = guarded(async function* looping() {
    for (let at = 0; at < LOOP.length; at += 100) {
      yield LOOP.slice(at, at + 100);
      gone += 1;
      // As slow as a model.
      if (at % 1000 === 0) await scorer.score({ answer: 'Paris' });
    }
  }, scorer);
  for (const call of [1, 2]) {
    for await (const piece of looping.ask()) assert.equal(typeof piece, 'string');
    // At once, and not late.
    assert.deepEqual([looping.asked.length, looping.totals().successes, looping.filled()], [call, call, call]);
  }
  assert.deepEqual([looping.state(), gone > 100], ['open', true]);

  // What it says at the end comes late, and what never came or broke is no answer.
  const good = guarded(async () => new Response(GOOD), scorer);
  await (await good.ask()).text();
  await until(() => good.filled() === 1);
  assert.deepEqual([good.totals().successes, good.asked.length, good.failures], [1, 1, []]);
  const failing = guarded(async function* failing() {
    yield GOOD;
    throw new Error('gone');
  }, scorer);
  await assert.rejects(async () => {
    for await (const piece of failing.ask()) assert.ok(piece);
  }, /gone/);
  const left = guarded(async () => new Response(GOOD), scorer);
  const reader = (await left.ask()).body.getReader();
  await reader.read();
  await reader.cancel();
  await until(() => left.filled() === 1);
  assert.deepEqual([failing.totals().failures, failing.filled(), left.totals().successes], [1, 0, 1]);
});

test('what a stream of a scorer does wrong costs no call anything', async () => {
  const pieces = async () => new Response('Paris');
  const boom = () => {
    throw new Error('boom');
  };
  const stream = { push: () => {}, verdict: undefined, finish: async () => 0.75, discard: () => {} };
  const score = async () => 0.25;
  for (const [scorer, failures, filled] of [
    [{ name: 'begins', score, stream: boom }, 1, 1],
    [{ name: 'pushes', score, stream: () => ({ ...stream, push: boom }) }, 0, 1],
    [{ name: 'ends', score, stream: () => ({ ...stream, finish: boom }) }, 1, 0],
    [{ name: 'says nonsense', score, stream: () => ({ ...stream, verdict: { score: NaN }, finish: async () => NaN }) }, 1, 0],
    [{ name: 'abstains', score, stream: () => ({ ...stream, verdict: { score: undefined }, finish: async () => undefined }) }, 0, 0],
    [{ name: 'takes none', score, streams: false, stream: boom }, 0, 1],
    [{ name: 'is fine', score, stream: () => stream }, 0, 1],
  ]) {
    const { ask, totals, ...found } = guarded(pieces, scorer);
    assert.equal(await (await ask()).text(), 'Paris', scorer.name);
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
    assert.deepEqual([totals().successes, found.failures.length, found.filled()], [1, failures, filled], scorer.name);
  }
});

test('values of which no text is known are not scored, and a score that the call reports wins', async () => {
  const scorer = await load('text.wasm');
  const values = async function* values() {
    yield { text: GOOD };
  };
  const read = async (answer) => {
    for await (const piece of answer) assert.ok(piece);
  };
  const unread = guarded(values, scorer);
  await read(unread.ask());
  const told = guarded(values, scorer, { stream: { textOf: (piece) => piece.text } });
  await read(told.ask());
  await until(() => told.filled() === 1);
  const reporting = guarded(() => undefined, scorer);
  await read(await reporting.ask.breaker.guard({ scorer, exchange: () => ({}), stream: modelStream({ endMarks: [] }) }).call((permit) => {
    permit.reportQuality(1);
    return values();
  }));
  assert.deepEqual([unread.totals().successes, unread.filled(), unread.failures, reporting.filled()], [1, 0, [], 1]);
});
