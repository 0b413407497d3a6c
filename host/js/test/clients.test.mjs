// OpenAI's and Anthropic's own clients behind a circuit, against a server on this machine: what their answers and their errors count as.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { dirname } from 'node:path';
import test, { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import Anthropic from '@anthropic-ai/sdk';
import { build } from 'esbuild';
import OpenAI from 'openai';
import { CircuitOpenError, ManualClock, Registry, circuitBreaker, classifyError, modelStream } from 'softfuse';
import { httpVectors } from './kit/load.mjs';

/** How the server answers the next request: it writes to the response. */
let answer;
let baseURL;
const server = createServer((request, response) => {
  request.resume();
  answer(response);
});
before(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  baseURL = `http://127.0.0.1:${server.address().port}`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

const says = (status, body, headers = {}) => {
  answer = (response) => response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
};
/** A stream of these events, which ends; or hangs. */
const streams = (events, then = 'ends') => {
  answer = (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'retry-after': '9' });
    for (const event of events) response.write(event);
    if (then === 'ends') response.end();
  };
};
const event = (name, data) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
const data = (value) => `data: ${JSON.stringify(value)}\n\n`;

const messages = [{ role: 'user', content: 'why?' }];
const anthropic = (settings) => new Anthropic({ apiKey: 'none', baseURL, maxRetries: 0, ...settings }).messages;
const openai = (settings) => new OpenAI({ apiKey: 'none', baseURL, maxRetries: 0, ...settings }).chat.completions;
const asked = { model: 'm', max_tokens: 9, messages };

/** What comes before an error: a stream's beginning, as either service sends it. */
const BEGINNING = [
  event('message_start', {
    type: 'message_start',
    message: { id: '1', type: 'message', role: 'assistant', model: 'm', content: [], stop_reason: null, usage: { input_tokens: 1, output_tokens: 1 } },
  }),
  event('ping', { type: 'ping' }),
  event('content_block_start', { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }),
  event('content_block_delta', { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Paris' } }),
];
const ENDING = [
  event('content_block_stop', { type: 'content_block_stop', index: 0 }),
  event('message_delta', { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 2 } }),
  event('message_stop', { type: 'message_stop' }),
];
const CHUNK = data({
  id: '1',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta: { content: 'Paris' }, finish_reason: null }],
});
const MESSAGE = { id: '1', type: 'message', role: 'assistant', model: 'm', content: [{ type: 'text', text: 'Paris' }], stop_reason: 'end_turn' };

/** A circuit that opens by the first failure, on a clock that stands. */
function guarded(call, more) {
  const registry = new Registry({ clock: new ManualClock() });
  const ask = circuitBreaker(call, 'trip_on = { consecutive_failures = 1 }\nhalf_open_after = "1s"', { name: 'ask', registry, ...more });
  const found = () => {
    const { totals, lastFailure } = ask.breaker.status();
    return { successes: totals.successes, failures: totals.failures, neutral: totals.neutral, kind: lastFailure?.kind };
  };
  return { ask, found };
}
const none = { successes: 0, failures: 0, neutral: 0, kind: undefined };

async function read(pieces) {
  const found = [];
  for await (const piece of pieces) found.push(piece.type);
  return found;
}

test("a good answer of Anthropic's is a success", async () => {
  says(200, MESSAGE);
  const { ask, found } = guarded(() => anthropic().create(asked));
  assert.equal((await ask()).content[0].text, 'Paris');
  assert.deepEqual(found(), { ...none, successes: 1 });
});

test('429 and 529 open the circuit as what they are, for as long as they ask', async () => {
  for (const [status, type, headers, kind, waitMs] of [
    [429, 'rate_limit_error', { 'retry-after': '7' }, 'rate-limited', 7000],
    [529, 'overloaded_error', {}, 'overloaded', 1000],
    [529, 'overloaded_error', { 'retry-after': '3' }, 'overloaded', 3000],
  ]) {
    says(status, { type: 'error', error: { type, message: 'no' } }, headers);
    const { ask, found } = guarded(() => anthropic().create(asked));
    await assert.rejects(ask(), (error) => error instanceof Anthropic.APIError && error.status === status);
    assert.deepEqual(found(), { ...none, failures: 1, kind });
    await assert.rejects(ask(), (error) => error instanceof CircuitOpenError && error.retryAfterMs === waitMs);
  }
  says(400, { type: 'error', error: { type: 'invalid_request_error', message: 'no' } });
  const { ask, found } = guarded(() => anthropic().create(asked));
  await assert.rejects(ask(), Anthropic.BadRequestError);
  assert.deepEqual(found(), { ...none, neutral: 1 });
});

test('both clients try again below the circuit: one call, one outcome', async () => {
  let requests = 0;
  const failing = (response) => {
    requests += 1;
    if (requests === 2) says(200, MESSAGE);
    response.writeHead(529, { 'retry-after-ms': '1' }).end('{}');
  };
  answer = failing;
  const { ask, found } = guarded(() => anthropic({ maxRetries: 2 }).create(asked));
  assert.equal((await ask()).content[0].text, 'Paris');
  assert.deepEqual([requests, found()], [2, { ...none, successes: 1 }]);
});

const isLast = (piece) => piece.type === 'message_stop';

test("Anthropic's streams end their calls by their ends, and by the errors inside of them", async () => {
  const ways = {
    'for await': [() => anthropic().create({ ...asked, stream: true }), read],
    'its events': [() => anthropic().stream(asked), (stream) => stream.finalMessage()],
  };
  for (const [way, [call, readAll]] of Object.entries(ways)) {
    streams([...BEGINNING, ...ENDING]);
    const good = guarded(call, { stream: modelStream({ isLast }) });
    const found = await readAll(await good.ask());
    if (way === 'for await') assert.deepEqual([found.length, found.at(-1)], [6, 'message_stop']);
    else assert.equal(found.content[0].text, 'Paris');
    assert.deepEqual(good.found(), { ...none, successes: 1 }, way);

    streams([...BEGINNING, event('error', { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } })]);
    const failing = guarded(call, { stream: modelStream({ isLast }) });
    const stream = await failing.ask();
    await assert.rejects(readAll(stream), (error) => error instanceof Anthropic.APIError && error.type === 'overloaded_error');
    assert.deepEqual(failing.found(), { ...none, failures: 1, kind: 'overloaded' }, way);
    // A stream's header, which was written when all was well, says nothing of when to come again.
    await assert.rejects(async () => failing.ask(), (error) => error instanceof CircuitOpenError && error.retryAfterMs === 1000);

    streams(BEGINNING);
    const broken = guarded(call, { stream: modelStream({ isLast }) });
    await assert.rejects(async () => readAll(await broken.ask()));
    assert.deepEqual(broken.found(), { ...none, failures: 1, kind: 'error' }, way);
  }
});

/** The error that a stream of a client's throws, whose last event is this one. */
async function thrown(stream, pieces) {
  streams(pieces);
  return read(await stream()).then(
    () => undefined,
    (error) => error,
  );
}

test("what either client throws inside of a stream counts as the service's words say, in every case that all hosts know", async () => {
  let [ofOpenAI, ofAnthropic] = [0, 0];
  for (const { name, event: said = '', data: text, kind } of httpVectors().streamErrors) {
    const lines = text.split('\n').map((line) => `data: ${line}\n`);
    const raw = `${said === '' ? '' : `event: ${said}\n`}${lines.join('')}\n`;
    let error = await thrown(() => anthropic().create({ ...asked, stream: true }), [...BEGINNING, raw]);
    // Anthropic's throws for events of that name alone.
    if (said === 'error') {
      assert.ok(error instanceof Anthropic.APIError && error.status === undefined, name);
      assert.deepEqual(classifyError(error), { kind }, `Anthropic: ${name}`);
      ofAnthropic += 1;
    } else assert.equal(error, undefined, name);
    // OpenAI's throws for data with an `error` alone; what isn't JSON, it can't read.
    error = await thrown(() => openai().create({ ...asked, stream: true }), [CHUNK, raw, 'data: [DONE]\n\n']);
    if (error instanceof OpenAI.APIError) {
      assert.equal(error.status, undefined, name);
      assert.deepEqual(classifyError(error), { kind }, `OpenAI: ${name}`);
      ofOpenAI += 1;
    } else assert.ok(error === undefined || error instanceof SyntaxError, name);
  }
  assert.ok(ofOpenAI > 25 && ofAnthropic > 12, `${ofOpenAI} of OpenAI's errors, ${ofAnthropic} of Anthropic's`);
});

test("OpenAI's error in a stream opens the circuit as what it says, or doesn't", async () => {
  const call = () => openai().create({ ...asked, stream: true });
  for (const [error, expected] of [
    [{ type: 'tokens', code: 'rate_limit_exceeded', message: 'no' }, { failures: 1, kind: 'rate-limited' }],
    [{ type: 'server_error', code: null, message: 'no' }, { failures: 1, kind: 'error' }],
    [{ type: 'invalid_request_error', code: 'context_length_exceeded', message: 'no' }, { neutral: 1 }],
    [{ type: 'invalid_request_error', code: 'content_policy_violation', message: 'no' }, { neutral: 1 }],
  ]) {
    streams([CHUNK, data({ error })]);
    const { ask, found } = guarded(call, { stream: modelStream() });
    const stream = await ask();
    await assert.rejects(read(stream), OpenAI.APIError);
    assert.deepEqual(found(), { ...none, ...expected });
  }
});

test("what OpenAI's client hands on of a failed response, instead of throwing it, counts as what it says", async () => {
  const created = { type: 'response.created', sequence_number: 0, response: { id: '1', status: 'in_progress', output: [], error: null } };
  const failed = (code) => ({ type: 'response.failed', sequence_number: 1, response: { id: '1', status: 'failed', output: [], error: { code, message: 'no' } } });
  const client = () => new OpenAI({ apiKey: 'none', baseURL, maxRetries: 0 });
  const call = () => client().responses.create({ model: 'm', input: 'why?', stream: true });
  for (const [last, expected] of [
    [{ type: 'response.completed', sequence_number: 1, response: { id: '1', status: 'completed', output: [], error: null } }, { successes: 1 }],
    [failed('rate_limit_exceeded'), { failures: 1, kind: 'rate-limited' }],
    [failed('server_error'), { failures: 1, kind: 'error' }],
    [failed('invalid_prompt'), { neutral: 1 }],
    [{ type: 'error', sequence_number: 1, code: 'server_is_overloaded', message: 'no', param: null }, { failures: 1, kind: 'overloaded' }],
  ]) {
    streams([event(created.type, created), event(last.type, last)]);
    const isLast = ({ type }) => ['response.completed', 'response.incomplete'].includes(type);
    for (const stream of [modelStream(), modelStream({ isLast })]) {
      const { ask, found } = guarded(call, { stream });
      assert.deepEqual(await read(await ask()), [created.type, last.type]);
      assert.deepEqual(found(), { ...none, ...expected }, last.type);
    }
    // One that reads itself, and is asked for what came of it.
    const { ask, found } = guarded(() => client().responses.stream({ model: 'm', input: 'why?' }), { stream: modelStream() });
    const whole = (await ask()).finalResponse();
    if (last.type === 'error') await assert.rejects(whole);
    else assert.equal((await whole).status, last.response.status);
    assert.deepEqual(found(), { ...none, ...expected }, last.type);
  }
});

test('an error that a stream hands on as a value may have a status, and ask for a pause', async () => {
  const thrown = Object.assign(new Error('no'), { status: 429, headers: { 'retry-after': '7' } });
  async function* parts() {
    yield { type: 'text-delta' };
    yield { type: 'error', error: thrown };
  }
  const { ask, found } = guarded(parts, { stream: modelStream() });
  assert.deepEqual(await read(ask()), ['text-delta', 'error']);
  assert.deepEqual(found(), { ...none, failures: 1, kind: 'rate-limited' });
  await assert.rejects(async () => read(ask()), (error) => error instanceof CircuitOpenError && error.retryAfterMs === 7000);

  const own = guarded(parts, { stream: { pieceErrorOf: ({ error }) => error && { kind: 'overloaded', message: 'mine' } } });
  assert.deepEqual(await read(own.ask()), ['text-delta', 'error']);
  assert.deepEqual(own.found(), { ...none, failures: 1, kind: 'overloaded' });
  assert.throws(() => guarded(parts, { stream: { pieceErrorOf: 'error' } }), /pieceErrorOf is error: a function is expected/);
});

test("what OpenAI's client throws of its own is told by more than its class, whose name a bundler changes", async () => {
  const source = "import { APIConnectionTimeoutError, APIUserAbortError } from 'openai'; export const found = [new APIUserAbortError(), new APIConnectionTimeoutError()];";
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: dirname(fileURLToPath(import.meta.url)) },
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'node',
    write: false,
  });
  const { found } = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
  assert.ok(found.every((error) => !/^API/.test(error.constructor.name)), 'they have other names here');
  assert.deepEqual(found.map((error) => classifyError(error)), [{ kind: 'cancelled' }, { kind: 'timeout' }]);
  assert.deepEqual(classifyError(new Error('Request was aborted.')), { kind: 'error' });
});

test('who goes away is no failure, and what comes too late is a timeout, in the names that the clients have for it', async () => {
  answer = () => {};
  for (const make of [anthropic, openai]) {
    const late = guarded(() => make({ timeout: 50 }).create(asked));
    await assert.rejects(late.ask(), /timed out/);
    assert.deepEqual(late.found(), { ...none, failures: 1, kind: 'timeout' });

    const controller = new AbortController();
    const left = guarded(() => make().create(asked, { signal: controller.signal }));
    const call = left.ask();
    setTimeout(() => controller.abort(), 20);
    await assert.rejects(call, /aborted/);
    assert.deepEqual(left.found(), { ...none, neutral: 1 });

    // The circuit's own signal knows why.
    const registry = new Registry();
    const breaker = registry.breaker('ask', 'trip_on = { consecutive_failures = 1 }');
    const signal = AbortSignal.timeout(30);
    await assert.rejects(breaker.call(() => make().create(asked, { signal }), { signal }));
    assert.equal(breaker.status().lastFailure.kind, 'timeout');
  }
  const refused = guarded(() => anthropic({ baseURL: 'http://127.0.0.1:1' }).create(asked));
  await assert.rejects(refused.ask(), Anthropic.APIConnectionError);
  assert.deepEqual(refused.found(), { ...none, failures: 1, kind: 'error' });
});
