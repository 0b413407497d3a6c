// Streamed answers that are read in other ways than by `for await`: by the methods of OpenAI's client, of Node's streams, of generators.

import assert from 'node:assert/strict';
import { PassThrough, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import test from 'node:test';
import OpenAI from 'openai';
import { Registry, circuitBreaker, modelStream } from 'softfuse';

const POLICY = 'trip_on = { consecutive_failures = 9 }';
const isLast = (chunk) => chunk.choices?.[0]?.finish_reason === 'stop';
const chunk = (content, finish_reason = null) => ({
  id: '1',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta: { role: 'assistant', content }, finish_reason }],
});
const data = (value) => `data: ${JSON.stringify(value)}\n\n`;
const WHOLE = [data(chunk('Pa')), data(chunk('ris', 'stop')), 'data: [DONE]\n\n'];
const SHORT = [data(chunk('Pa')), 'data: [DONE]\n\n'];
const FAILING = [data(chunk('Pa')), data({ error: { message: 'busy', code: 'overloaded' } })];
const turn = () =>
  new Promise((resolve) => {
    setTimeout(resolve, 5);
  });

/** OpenAI's client, whose answers are these pieces; then they end, or hang. */
function client(pieces, then = 'ends') {
  const fetch = async (_, { signal }) => {
    let at = 0;
    const body = new ReadableStream({
      start: (controller) => signal.addEventListener('abort', () => controller.error(signal.reason)),
      pull: (controller) => {
        if (at < pieces.length) return controller.enqueue(new TextEncoder().encode(pieces[at++]));
        return then === 'ends' ? controller.close() : new Promise(() => {});
      },
    });
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
  };
  return new OpenAI({ apiKey: 'none', fetch, maxRetries: 0 }).chat.completions;
}

const BODY = { model: 'm', messages: [{ role: 'user', content: 'why?' }], stream: true };

function guarded(answer, options = {}, policy = POLICY) {
  const registry = new Registry();
  const ask = circuitBreaker(answer, policy, { name: 'ask', registry, stream: modelStream({ isLast, ...options.stream }), ...options.more });
  const { breaker } = ask;
  const counts = () => {
    const { calls, successes, failures } = breaker.status().totals;
    return [calls, successes, failures];
  };
  return { ask, counts, lastFailure: () => breaker.status().lastFailure?.kind };
}
const created = (pieces, then, options) => guarded(async () => client(pieces, then).create(BODY), options);

async function read(pieces) {
  const found = [];
  for await (const piece of pieces) found.push(piece);
  return found;
}

test("a stream of OpenAI's client is the one that the client made", async () => {
  const { ask, counts } = created(WHOLE);
  const stream = await ask();
  assert.ok(stream.controller instanceof AbortController);
  assert.deepEqual([counts(), (await read(stream)).length, counts()], [[0, 0, 0], 2, [1, 1, 0]]);
  // As the client says of its own: a stream is read once.
  await assert.rejects(read(stream), /Cannot iterate over a consumed stream/);
  assert.deepEqual(counts(), [1, 1, 0]);
});

test('tee() is watched, and counts once', async () => {
  const { ask, counts } = created(WHOLE);
  const [left, right] = (await ask()).tee();
  assert.equal((await read(left)).length, 2);
  assert.deepEqual(counts(), [1, 1, 0]);
  assert.equal((await read(right)).length, 2);
  assert.deepEqual(counts(), [1, 1, 0]);
  for (const [pieces, kind] of [
    [SHORT, 'error'],
    [FAILING, 'overloaded'],
  ]) {
    const broken = created(pieces);
    const [one] = (await broken.ask()).tee();
    await assert.rejects(read(one));
    assert.deepEqual([broken.counts(), broken.lastFailure()], [[1, 0, 1], kind]);
  }
});

test('toReadableStream() is watched', async () => {
  const { ask, counts } = created(WHOLE);
  const lines = (await new Response((await ask()).toReadableStream()).text()).trim().split('\n');
  assert.deepEqual([lines.length, counts()], [2, [1, 1, 0]]);
  const short = created(SHORT);
  await assert.rejects(new Response((await short.ask()).toReadableStream()).text(), /without its end mark/);
  assert.deepEqual(short.counts(), [1, 0, 1]);
  const left = created(WHOLE, 'hangs');
  await (await left.ask()).toReadableStream().cancel();
  assert.deepEqual(left.counts(), [1, 1, 0]);
});

test('who aborts by the controller has had enough; a stream that fails aborts itself, and has failed', async () => {
  // Between two pieces, while one is waited for, and before the first.
  const between = created(WHOLE.slice(0, 1), 'hangs');
  const stream = await between.ask();
  for await (const piece of stream) {
    assert.ok(piece);
    stream.controller.abort();
    assert.deepEqual(between.counts(), [1, 1, 0]);
  }
  const waiting = created(WHOLE.slice(0, 1), 'hangs');
  const waited = await waiting.ask();
  const all = read(waited);
  await turn();
  assert.deepEqual(waiting.counts(), [0, 0, 0]);
  waited.controller.abort();
  assert.deepEqual([(await all).length, waiting.counts()], [1, [1, 1, 0]]);
  const before = created(WHOLE, 'hangs');
  (await before.ask()).controller.abort();
  assert.deepEqual(before.counts(), [1, 1, 0]);

  const failing = created(FAILING);
  const failed = await failing.ask();
  await assert.rejects(read(failed), /overloaded|busy/);
  assert.deepEqual([failed.controller.signal.aborted, failing.counts()], [true, [1, 0, 1]]);
  // One that stalls is aborted, or its request would hang on.
  const stalling = created(WHOLE.slice(0, 1), 'hangs', { stream: { stallMs: 20 } });
  const stalled = await stalling.ask();
  await assert.rejects(read(stalled), /no further piece of the answer within 20 ms/);
  assert.deepEqual([stalled.controller.signal.aborted, stalling.lastFailure(), stalling.counts()], [true, 'timeout', [1, 0, 1]]);
});

test('a stream that reads itself ends its call by its events', async () => {
  const streamed = (pieces, then, options) => guarded(() => client(pieces, then).stream(BODY), options);
  const listening = streamed(WHOLE);
  const texts = [];
  const message = await listening.ask().on('content', (delta) => texts.push(delta)).finalChatCompletion();
  assert.equal(message.choices[0].message.content, 'Paris');
  await turn();
  assert.deepEqual([texts, listening.counts()], [['Pa', 'ris'], [1, 1, 0]]);

  for (const pieces of [SHORT, FAILING]) {
    const failing = streamed(pieces);
    await assert.rejects(failing.ask().finalChatCompletion());
    await turn();
    assert.deepEqual(failing.counts(), [1, 0, 1]);
  }
  const refused = guarded(() => {
    const fetch = async () => new Response('{}', { status: 429 });
    return new OpenAI({ apiKey: 'none', fetch, maxRetries: 0 }).chat.completions.stream(BODY);
  });
  await assert.rejects(refused.ask().done());
  await turn();
  assert.deepEqual([refused.counts(), refused.lastFailure()], [[1, 0, 1], 'rate-limited']);

  for (const iterated of [false, true]) {
    const aborting = streamed(WHOLE.slice(0, 1), 'hangs');
    const stream = aborting.ask();
    const ends = assert.rejects(iterated ? read(stream) : stream.done(), /aborted/);
    await turn();
    stream.abort();
    await ends;
    await turn();
    assert.deepEqual(aborting.counts(), [1, 1, 0], `iterated: ${iterated}`);
  }
  const iterating = streamed(WHOLE);
  assert.deepEqual([(await read(iterating.ask())).length, iterating.counts()], [2, [1, 1, 0]]);
  const late = guarded(async () => {
    const stream = client(WHOLE).stream(BODY);
    await stream.done();
    return stream;
  });
  await late.ask();
  await turn();
  assert.deepEqual(late.counts(), [1, 1, 0]);
});

test('what came by events is scored; what nobody has seen is not, unless the exchange has it', async () => {
  const shown = [];
  const scorer = { name: 'mine', score: async ({ answer }) => void shown.push(answer.content) };
  const textOf = (piece) => piece.choices[0].delta.content;
  const seen = () => client(WHOLE).stream(BODY);
  const unseen = async () => {
    const stream = seen();
    await stream.done();
    return stream;
  };
  const typed = () => ({ answer: { contentType: 'text/plain' } });
  for (const [answer, exchange] of [
    [seen, typed],
    [unseen, typed],
    [unseen, (stream) => ({ answer: { content: `ended: ${stream.ended}` } })],
  ]) {
    const { ask, counts } = guarded(answer, { stream: { textOf }, more: { scorer, exchange } }, 'trip_on = { quality_below = 0.5 }');
    await (await ask()).done();
    await turn();
    assert.deepEqual(counts(), [1, 1, 0]);
  }
  assert.deepEqual(shown, [new TextEncoder().encode('Paris'), 'ended: true']);
});

test("Node's streams are watched, however they are read", async () => {
  const sink = () => new Writable({ write: (_chunk, _encoding, done) => done() });
  const pieces = ['Pa', 'ris'];
  const ways = {
    iterated: (stream) => read(stream),
    listened: (stream) => new Promise((resolve) => void stream.on('data', () => {}).on('end', resolve)),
    piped: (stream) => pipeline(stream, sink()),
    collected: (stream) => stream.toArray(),
    passed: (stream) => read(stream.pipe(new PassThrough())),
    web: (stream) => read(Readable.toWeb(stream)),
    pulled: (stream) => new Promise((resolve) => void stream.on('readable', () => stream.read()).on('end', resolve)),
  };
  for (const [name, way] of Object.entries(ways)) {
    const shown = [];
    const scorer = { name: 'mine', score: async ({ answer }) => void shown.push(new TextDecoder().decode(answer.content)) };
    const more = { scorer, exchange: () => ({}) };
    const { ask, counts } = guarded(async () => Readable.from(pieces, { objectMode: false }), { more }, 'trip_on = { quality_below = 0.5 }');
    const stream = await ask();
    assert.deepEqual(counts(), [0, 0, 0], name);
    await way(stream);
    await turn();
    assert.deepEqual([counts(), shown], [[1, 1, 0], ['Paris']], name);

    const failing = guarded(async () =>
      Readable.from(
        (async function* broken() {
          yield 'Pa';
          throw Object.assign(new Error('busy'), { status: 503 });
        })(),
      ),
    );
    const broken = await failing.ask();
    const failed = new Promise((resolve) => void broken.on('error', resolve));
    void Promise.resolve(way(broken)).catch(() => undefined);
    await failed;
    await turn();
    assert.deepEqual([failing.counts(), failing.lastFailure()], [[1, 0, 1], 'overloaded'], name);
  }
  const short = guarded(async () => Readable.from([chunk('Pa')]));
  (await short.ask()).resume();
  await turn();
  assert.deepEqual(short.counts(), [1, 0, 1]);
  const left = guarded(async () => Readable.from(pieces));
  (await left.ask()).destroy();
  await turn();
  assert.deepEqual(left.counts(), [1, 1, 0]);
  const gone = Readable.from([]);
  gone.destroy();
  const ended = guarded(async () => gone);
  assert.equal(await ended.ask(), gone);
  assert.deepEqual(ended.counts(), [1, 1, 0]);
});

test('an answer of several calls counts for each, and one that takes no watch counts at once', async () => {
  class Kept {
    async *[Symbol.asyncIterator]() {
      yield chunk('Paris', 'stop');
    }
  }
  const kept = new Kept();
  const { ask, counts } = guarded(async () => kept);
  assert.equal(await ask(), kept);
  await ask();
  await read(kept);
  assert.deepEqual(counts(), [2, 2, 0]);
  await ask();
  await read(kept);
  assert.deepEqual(counts(), [3, 3, 0]);
  // Nobody reads it: so many are waited for, and no more.
  for (let call = 0; call < 20; call += 1) await ask();
  assert.deepEqual(counts(), [7, 7, 0]);

  const inner = guarded(async function* inner() {
    yield chunk('Pa');
  });
  const outer = guarded(async () => inner.ask());
  await assert.rejects(read(await outer.ask()), /without its end mark/);
  assert.deepEqual([inner.counts(), outer.counts()], [[1, 0, 1], [1, 0, 1]]);

  const frozen = Object.freeze(new Kept());
  const cold = guarded(async () => frozen);
  assert.equal(await cold.ask(), frozen);
  assert.deepEqual(cold.counts(), [1, 1, 0]);
});

test("a generator's own methods are watched", async () => {
  async function* pieces() {
    yield chunk('Pa');
    yield chunk('ris', 'stop');
  }
  for (const leave of [
    (generator) => generator.return(),
    (generator) => generator.throw(new Error('enough')).catch(() => undefined),
    (generator) => (Symbol.asyncDispose in generator ? generator[Symbol.asyncDispose]() : generator.return()),
  ]) {
    const { ask, counts } = guarded(pieces);
    const generator = ask();
    await generator.next();
    await leave(generator);
    assert.deepEqual([counts(), (await generator.next()).done], [[1, 1, 0], true]);
  }
  const { ask, counts } = guarded(pieces);
  const read = [];
  for await (const piece of (async function* through() {
    yield* ask();
  })())
    read.push(piece);
  assert.deepEqual([read.length, counts()], [2, [1, 1, 0]]);
});
