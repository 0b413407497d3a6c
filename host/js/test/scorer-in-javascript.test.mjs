// The scorer of examples/scorers/js: its own cases, then the built component in a worker, which must say the same.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { Scorer } from 'softfuse/scorers';
import { root } from './kit/load.mjs';

const folder = join(root, 'examples/scorers/js');
const { schema, cases, abstained, misconfigured } = JSON.parse(readFileSync(join(folder, 'test/cases.json'), 'utf8'));

test('the scorer in JavaScript builds, and its component says what its source says', { timeout: 400_000 }, async () => {
  assert.ok(existsSync(join(folder, 'node_modules')), 'its tools are missing: run `npm ci` in examples/scorers/js');
  // Else node's runner takes a run within a run for a mistake, and skips it.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const run = (...args) => execFileSync(process.execPath, args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], env });
  assert.match(run('--test'), /^# pass 3$/m);
  assert.match(run('build.mjs'), /imports: none/);
  const component = readFileSync(join(folder, 'dist/json-schema.wasm'));
  const options = { name: 'json-schema', startDeadlineMs: 120_000, deadlineMs: 20_000 };
  for (const fresh of [false, true]) {
    const scorer = await Scorer.load(component, { ...options, fresh, config: JSON.stringify(schema) });
    for (const { name, answer, score } of cases) {
      const found = await scorer.score({ answer: { contentType: 'application/json', content: answer } });
      assert.ok(Math.abs(found - score) < 1e-9, `${name}: ${found}, not ${score}`);
    }
    const [{ answer, contentType }] = abstained;
    assert.equal(await scorer.score({ answer: { contentType, content: answer } }), undefined);
    scorer.close();
  }
  for (const { config, message } of misconfigured) {
    await assert.rejects(
      Scorer.load(component, { ...options, config }),
      (error) => error.kind === 'refused' && error.message.includes(message),
      config,
    );
  }
});
