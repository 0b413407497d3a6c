// A hostile scorer, written in JavaScript and built by componentize-js: whatever it does, to a whole answer or to one that passes in pieces,
// there is no score, and the next is scored.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { pathToFileURL } from 'node:url';
import { Registry, circuitBreaker } from 'softfuse';
import { Scorer } from 'softfuse/scorers';
import { root } from './kit/load.mjs';

const tools = join(root, 'examples/scorers/js/node_modules/@bytecodealliance/componentize-js');
assert.ok(existsSync(tools), 'componentize-js is missing: run `npm ci` in examples/scorers/js');
const { componentize } = await import(pathToFileURL(join(tools, 'src/componentize.js')).href);
const { component } = await componentize(readFileSync(new URL('hostile/scorer.mjs', import.meta.url), 'utf8'), {
  witPath: join(root, 'wit/scorer'),
  worldName: 'streaming-scorer',
  disableFeatures: ['random', 'http', 'stdio', 'fetch-event'],
});
const load = (config, options) => Scorer.load(component, { name: config, config, startDeadlineMs: 120_000, deadlineMs: 30_000, ...options });

const fates = [
  ['loop', 'timeout', { deadlineMs: 300 }],
  ['eat', 'trap', { memoryBytesMax: 96 << 20 }],
  ['recurse', 'trap', {}],
  ['throw', 'trap', {}],
  ['malformed', 'malformed', {}],
  ['NaN', 'invalid-score', {}],
  ['huge', 'invalid-score', {}],
];
for (const [mode, kind, options] of fates) {
  test(`${mode}: ${kind}, and the next answer is scored, and another stream`, { timeout: 300_000 }, async () => {
    const scorer = await load(mode, options);
    for (let turn = 0; turn < 2; turn += 1) {
      await assert.rejects(scorer.score({ answer: 'x' }), (error) => {
        assert.equal(error.kind, kind, error.message);
        return true;
      });
      // It is slow to start again: the deadline is an answer's, not the start's.
      let score;
      for (let attempt = 0; score === undefined && attempt < 20; attempt += 1) score = await scorer.score({ answer: 'fine' }).catch(() => undefined);
      assert.equal(score, 0.5);
    }
    // The same at a piece, and at an end; what another stream has shown is not lost by it.
    const other = scorer.stream();
    other.push('fi');
    for (const piece of ['x', '...']) {
      const stream = scorer.stream();
      stream.push('...');
      stream.push(piece);
      await assert.rejects(stream.finish(), (error) => error.kind === kind);
    }
    other.push('ne');
    assert.equal(await other.finish(), 0.5);
    scorer.close();
  });
}

test('one that loops where a stream begins costs that stream its score', { timeout: 300_000 }, async () => {
  const scorer = await load('loop at begin', { deadlineMs: 300 });
  const stream = scorer.stream();
  stream.push('fi');
  await assert.rejects(stream.finish(), (error) => error.kind === 'timeout');
  scorer.close();
});

test('one that never starts is given up', { timeout: 300_000 }, async () => {
  await assert.rejects(load('loop at start', { startDeadlineMs: 5000 }), (error) => error.kind === 'timeout');
  await assert.rejects(load('refuse'), (error) => error.kind === 'refused' && /this one is refused/.test(error.message));
});

test('it reaches nothing of the machine', { timeout: 300_000 }, async () => {
  const clock = await load('clock');
  assert.equal(await clock.score({ answer: 'x' }), 0.25);
  clock.close();
  const reach = await load('reach');
  assert.equal(await reach.score({ answer: 'x' }), 1);
  reach.close();
  const text = await load('text');
  assert.equal(await text.score({ answer: 'x' }), undefined);
  text.close();
});

test('a fresh instance knows nothing of the answers before', { timeout: 300_000 }, async () => {
  for (const [fresh, expected] of [
    [false, [1, 2, 3]],
    [true, [1, 1, 1]],
  ]) {
    const scorer = await load('count', { fresh });
    const scores = [];
    for (let turn = 0; turn < 3; turn += 1) scores.push(await scorer.score({ answer: 'x' }));
    assert.deepEqual(scores, expected);
    scorer.close();
  }
});

test('guarded calls go on while their scorer loops', { timeout: 300_000 }, async () => {
  const scorer = await load('loop', { deadlineMs: 2000 });
  const registry = new Registry();
  const failed = new Promise((resolve) => {
    registry.once('scorer-failed', resolve);
  });
  const ask = circuitBreaker(async () => 'an answer', 'trip_on = { quality_below = { threshold = 0.5, window = 2 } }', {
    registry,
    name: 'ask',
    scorer,
    exchange: (answer) => ({ answer }),
  });
  for (let call = 0; call < 20; call += 1) assert.equal(await ask(), 'an answer');
  // Nobody has waited for it: it is still at the first answer.
  assert.equal(registry.metricsText().includes('softfuse_scorer_failures_total{'), false);
  const { failure } = await failed;
  assert.equal(failure.kind, 'timeout');
  assert.equal(ask.breaker.state, 'closed');
  scorer.close();
});
