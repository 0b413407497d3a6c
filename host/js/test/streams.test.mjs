// Answers that come in pieces: late ones, broken ones, errors inside of a 200, and their scores.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import test from 'node:test';
import { ManualClock, Registry, StreamError, circuitBreaker, guardedFetch, modelError, modelStream } from 'softfuse';

const POLICY = 'trip_on = { consecutive_failures = 9 }';
const WHOLE = 'data: {"choices":[{"delta":{"content":"Paris"}}]}\n\ndata: [DONE]\n\n';
const encoder = new TextEncoder();

/** A response of events, in these pieces; then it ends, hangs or breaks off. */
function events(pieces, then = 'ends') {
  let at = 0;
  const body = new ReadableStream({
    pull(controller) {
      if (at < pieces.length) return controller.enqueue(encoder.encode(pieces[at++]));
      if (then === 'ends') return controller.close();
      if (then === 'breaks') throw new TypeError('terminated');
      return new Promise(() => {});
    },
  });
  return new Response(body, { headers: { 'content-type': 'text/event-stream; charset=utf-8', 'x-more': '1' } });
}

function guarded(answer, options = {}, policy = POLICY) {
  const registry = new Registry();
  const ask = circuitBreaker(async () => answer(), policy, { name: 'ask', registry, stream: modelStream(), ...options });
  const totals = () => ask.breaker.status().totals;
  return { ask, registry, totals, lastFailure: () => ask.breaker.status().lastFailure?.kind };
}

test('a stream ends with its end mark, and the call with it', async () => {
  const endings = [
    [WHOLE],
    [WHOLE.trimEnd()],
    [WHOLE.replaceAll('\n', '\r\n')],
    [WHOLE.replaceAll('\n', '\r')],
    [...WHOLE.replaceAll('\n', '\r\n')],
    ['event: message_stop\ndata: {}\n\n'],
    [': a comment\n\ndata:[DONE]'],
  ];
  for (const pieces of endings) {
    const { ask, totals } = guarded(() => events(pieces));
    const response = await ask();
    assert.equal(response.headers.get('x-more'), '1');
    assert.equal(totals().calls, 0);
    assert.equal(await response.text(), pieces.join(''));
    assert.deepEqual([totals().successes, totals().calls], [1, 1], JSON.stringify(pieces));
  }
  const { ask, totals } = guarded(() => events(['data: 1\n\n']));
  await assert.rejects((await ask()).text(), (error) => {
    assert.ok(error instanceof StreamError);
    assert.equal(error.message, 'the stream ended without its end mark');
    return error.kind === 'error';
  });
  assert.equal(totals().failures, 1);
});

test('an error inside a stream is a failure at once, and is passed on as it came', async () => {
  for (const [said, kind] of [
    ['event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n', 'overloaded'],
    ['data: {"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}\n\n', 'rate-limited'],
    ['data: {"error":"the model has crashed"}\n\n', 'error'],
    ['event: response.failed\ndata: {"response":{"error":{"code":"server_error","message":"no"}}}\n\n', 'error'],
    ['event: error\ndata: gone\ndata: wrong\n\n', 'error'],
    ['data: {"error":{"code":"content_filter","message":"no"}}\n\n', 'content-policy'],
    ['data: {"type":"error","code":"invalid_request_error","message":"\\"error\\""}\n\n', 'bad-request'],
    ['event: error\r\ndata: {"error":{"type":"timeout_error"}}\r\n\r\n', 'timeout'],
    [`data: {"error":{"type":"${'x'.repeat(20_000)}"}}\n\nevent: error\ndata: ${'y'.repeat(20_000)}\n\n`, 'error'],
  ]) {
    const { ask, totals, lastFailure } = guarded(() => events(['data: {"choices":[],"error":null}\n\n', said], 'hangs'));
    const reader = (await ask()).body.getReader();
    await reader.read();
    assert.equal(totals().calls, 0);
    assert.equal(new TextDecoder().decode((await reader.read()).value), said);
    assert.equal(totals().calls, 1, said);
    if (['content-policy', 'bad-request'].includes(kind)) assert.equal(totals().neutral, 1, said);
    else assert.equal(lastFailure(), kind, said.slice(0, 80));
    await reader.cancel();
    assert.equal(totals().calls, 1);
  }
  assert.equal(modelError({ event: '', data: 'say "error" to me' }), undefined);
  // One that is followed by the stream's end is told of once.
  const { ask, totals } = guarded(() => events(['event: error\ndata: {}\n\n']));
  await (await ask()).text();
  assert.deepEqual([totals().failures, totals().calls], [1, 1]);
});

test('a piece that does not come is a timeout', async () => {
  const first = guarded(() => events([], 'hangs'), { stream: { firstPieceMs: 20 } });
  await assert.rejects((await first.ask()).text(), /no first piece of the answer within 20 ms/);
  assert.equal(first.lastFailure(), 'timeout');
  const stalled = guarded(() => events(['data: 1\n\n'], 'hangs'), { stream: { stallMs: 20 } });
  await assert.rejects((await stalled.ask()).text(), /no further piece of the answer within 20 ms/);
  assert.equal(stalled.lastFailure(), 'timeout');
  // What its reader takes for itself doesn't count.
  const slow = guarded(() => events(['data: 1\n\n', 'data: 2\n\n']), { stream: { firstPieceMs: 2_000, stallMs: 1_000 } });
  const reader = (await slow.ask()).body.getReader();
  await reader.read();
  await new Promise((resolve) => {
    setTimeout(resolve, 1_200);
  });
  await reader.read();
  assert.equal((await reader.read()).done, true);
  assert.equal(slow.totals().successes, 1);
});

test('a stream that breaks off fails, and a reader who has had enough is no failure', async () => {
  const broken = guarded(() => events(['data: 1\n\n'], 'breaks'));
  await assert.rejects((await broken.ask()).text(), /terminated/);
  assert.equal(broken.lastFailure(), 'error');
  const left = guarded(() => events(['data: 1\n\n'], 'hangs'));
  const response = await left.ask();
  await response.body.cancel();
  assert.equal(left.totals().successes, 1);
  // A status that is none of success is known at once.
  const refused = guarded(() => new Response('no', { status: 429, headers: { 'retry-after': '7' } }));
  const answer = await refused.ask();
  assert.equal(refused.lastFailure(), 'rate-limited');
  assert.equal(await answer.text(), 'no');
});

test('an answer whose body is being read, or was, is settled and handed over as it is', async () => {
  const locked = () => {
    const response = events([WHOLE]);
    response.body.getReader();
    return response;
  };
  const used = async () => {
    const response = events(['data: 1\n\n']);
    assert.equal(await response.text(), 'data: 1\n\n');
    return response;
  };
  const lockedBody = () => locked().body;
  // It only looks like a response: none with this status has a body.
  const foreign = () => ({ status: 101, ok: true, headers: new Headers(), body: events([WHOLE]).body });
  const shy = () => ({
    get body() {
      throw new Error('not before it is loaded');
    },
  });
  const probing = `${POLICY}\nhalf_open_after = "1s"\nhalf_open_max_calls = 1\nrecovery_threshold = 1`;
  for (const answer of [locked, used, lockedBody, foreign, shy]) {
    const clock = new ManualClock();
    const { ask, totals } = guarded(() => made, { registry: new Registry({ clock }) }, probing);
    ask.breaker.trip('to have it probed');
    clock.advanceMs(1_000);
    const made = await answer();
    assert.equal(await ask(), made, answer.name);
    assert.deepEqual([ask.breaker.state, totals().calls, totals().successes], ['closed', 1, 1], answer.name);
  }
  const { ask } = guarded(foreign);
  assert.equal(await new Response((await ask()).body).text(), WHOLE);
});

test('async iterables and streams are watched, with all else that they are', async () => {
  class Answers {
    constructor(pieces) {
      this.pieces = pieces;
    }
    #secret = 'kept';
    secret() {
      return this.#secret;
    }
    async *[Symbol.asyncIterator]() {
      for (const piece of this.pieces) {
        if (piece instanceof Error) throw piece;
        yield piece;
      }
    }
  }
  const stream = { isLast: (piece) => piece.last === true, textOf: (piece) => piece.text };
  const { ask, totals } = guarded(() => new Answers([{ text: 'Pa' }, { text: 'ris', last: true }]), { stream });
  const answers = await ask();
  assert.equal(answers.secret(), 'kept');
  assert.ok(answers instanceof Answers);
  const read = [];
  for await (const { text } of answers) read.push(text);
  assert.deepEqual([read, totals().successes], [['Pa', 'ris'], 1]);
  for await (const { text } of answers) read.push(text); // Again: as the original does it, and it counts once.
  assert.deepEqual([read.length, totals().calls], [4, 1]);

  const short = guarded(() => new Answers([{ text: 'Pa' }]), { stream });
  await assert.rejects(async () => {
    for await (const piece of await short.ask()) read.push(piece);
  }, /without its end mark/);
  const failing = guarded(() => new Answers([{ text: 'Pa' }, Object.assign(new Error('busy'), { status: 503 })]), { stream });
  await assert.rejects(async () => {
    for await (const piece of await failing.ask()) read.push(piece);
  }, /busy/);
  assert.equal(failing.lastFailure(), 'overloaded');
  const left = guarded(() => new Answers([1, 2, 3]), { stream });
  for await (const piece of await left.ask()) if (piece === 1) break;
  assert.deepEqual([left.totals().successes, left.totals().calls], [1, 1]);

  // A generator function, whose calls aren't promises.
  const registry = new Registry();
  const count = circuitBreaker(
    async function* count(to) {
      for (let at = 0; at < to; at += 1) yield at;
    },
    POLICY,
    { registry, stream: {} },
  );
  const generator = count(3);
  assert.deepEqual(await generator.next(), { done: false, value: 0 });
  assert.equal(count.breaker.status().totals.calls, 0);
  const rest = [];
  for await (const piece of generator) rest.push(piece);
  assert.deepEqual([rest, count.breaker.status().totals.successes], [[1, 2], 1]);

  const plain = guarded(() => new ReadableStream({ start: (controller) => (controller.enqueue('a'), controller.close()) }), { stream: {} });
  const reader = (await plain.ask()).getReader();
  assert.deepEqual([(await reader.read()).value, (await reader.read()).done, plain.totals().successes], ['a', true, 1]);
  // What doesn't come in pieces is as it was.
  const whole = guarded(() => 'Paris');
  assert.deepEqual([await whole.ask(), whole.totals().successes], ['Paris', 1]);
});

test('bytes end anywhere: only values are asked whether they are the last', async () => {
  const asked = [];
  const stream = { isLast: (piece) => (asked.push(piece), piece.last === true) };
  const streamOf = (...pieces) => new ReadableStream({ start: (controller) => (pieces.forEach((piece) => controller.enqueue(piece)), controller.close()) });
  const bytes = encoder.encode('{"text":"Paris"}');
  const readAll = async (answer) => {
    for await (const piece of answer.body ?? answer) void piece;
  };
  for (const whole of [
    () => new Response('{"text":"Paris"}', { headers: { 'content-type': 'application/json' } }),
    () => new Response(streamOf()),
    () => new Response(streamOf(bytes), { headers: { 'content-type': 'text/event-stream' } }),
    () => streamOf(bytes),
    () => streamOf(bytes.buffer, new DataView(bytes.buffer, 1, 2)),
    async function* chunks() {
      yield Buffer.from('Paris');
    },
  ]) {
    const { ask, totals } = guarded(whole, { stream });
    await readAll(await ask());
    assert.deepEqual([totals().successes, totals().calls, asked], [1, 1, []], String(whole));
  }
  const values = guarded(() => streamOf({ text: 'Paris' }, { last: true }), { stream });
  await readAll(await values.ask());
  assert.deepEqual([values.totals().successes, asked.length], [1, 2]);
  for (const short of [() => streamOf({ text: 'Pa' }), () => streamOf(), () => streamOf('Paris')]) {
    const { ask, lastFailure } = guarded(short, { stream });
    await assert.rejects(async () => readAll(await ask()), /without its end mark/);
    assert.equal(lastFailure(), 'error');
  }
  // A view is kept as the bytes that it shows.
  const shown = [];
  const scorer = { name: 'mine', score: async ({ answer }) => void shown.push(new TextDecoder().decode(answer.content)) };
  const options = { stream: {}, scorer, exchange: () => ({}) };
  const scored = guarded(() => streamOf(new DataView(bytes.buffer, 9, 5), bytes.buffer), options, 'trip_on = { quality_below = 0.5 }');
  await readAll(await scored.ask());
  assert.deepEqual(shown, ['Paris{"text":"Paris"}']);
});

test('a streamed answer is scored when it has ended', async () => {
  const shown = [];
  const scorer = { name: 'mine', score: async (exchange) => (shown.push(exchange), 0.1) };
  const policy = 'trip_on = { quality_below = { threshold = 0.5, window = 2 } }';
  const exchange = (response) => ({ operation: 'chat', answer: { contentType: response.headers.get('content-type') } });
  const { ask, totals } = guarded(() => events(['data: 1\n', 'data: 2\n\n']), { scorer, exchange, stream: { answerBytesMax: 12 } }, policy);
  await (await ask()).text();
  const reader = (await ask()).body.getReader();
  await reader.read();
  await reader.cancel();
  await new Promise((resolve) => setImmediate(resolve));
  const texts = shown.map(({ answer }) => [answer.contentType, new TextDecoder().decode(answer.content), answer.truncated]);
  assert.deepEqual(texts, [
    ['text/event-stream; charset=utf-8', 'data: 1\ndata', true],
    ['text/event-stream; charset=utf-8', 'data: 1\n', true],
  ]);
  assert.deepEqual([ask.breaker.state, totals().successes], ['open', 2]);
});

test('fetch: a request has ended when its body has', async () => {
  const server = createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: 1\n\n');
    if (request.url === '/whole') response.end('data: [DONE]\n\n');
    else if (request.url === '/short') response.end();
    else response.destroy();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address();
    const origin = `http://127.0.0.1:${port}`;
    const get = guardedFetch(POLICY, { registry: new Registry(), stream: modelStream() });
    const response = await get(`${origin}/whole`);
    assert.equal(response.url, `${origin}/whole`);
    assert.equal(await response.text(), 'data: 1\n\ndata: [DONE]\n\n');
    await assert.rejects((await get(`${origin}/short`)).text(), /without its end mark/);
    await assert.rejects(async () => (await get(`${origin}/broken`)).text());
    const { successes, failures } = get.breakers.get(origin).status().totals;
    assert.deepEqual([successes, failures], [1, 2]);
  } finally {
    server.close();
  }
});

test("hooks that throw are told of, and a stream's options are checked", async () => {
  const boom = () => {
    throw new Error('boom');
  };
  const { ask, totals, registry } = guarded(() => events([WHOLE]), { stream: { ...modelStream(), errorOf: boom } });
  const told = [];
  registry.on('hook-failed', ({ hook }) => told.push(hook));
  await (await ask()).text();
  assert.deepEqual([told, totals().successes], [['stream', 'stream'], 1]);
  assert.throws(() => guarded(() => 1, { stream: { stall: 1 } }), /no option "stall" of a stream/);
  assert.throws(() => guarded(() => 1, { stream: { stallMs: 0 } }), /stallMs is 0/);
  assert.throws(() => guarded(() => 1, { stream: { isLast: 5 } }), /isLast is 5: a function is expected/);
});
