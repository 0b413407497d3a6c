// The scorer's own cases, as a program of JavaScript; host/js runs them on the built component as well.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { scorer } from '../scorer.js';

const { schema, cases, abstained, misconfigured } = JSON.parse(readFileSync(new URL('cases.json', import.meta.url), 'utf8'));
const body = (content, contentType = 'application/json', truncated = false) => ({ contentType, bytes: new TextEncoder().encode(content), truncated });

test('answers are scored by how much of the schema they keep', () => {
  scorer.configure(JSON.stringify(schema));
  for (const { name, answer, score } of cases) {
    const verdict = scorer.score({ answer: body(answer) });
    assert.equal(verdict.tag, 'score', name);
    assert.ok(Math.abs(verdict.val - score) < 1e-9, `${name}: ${verdict.val}, not ${score}`);
  }
});

test('what is none of its business is abstained from', () => {
  scorer.configure(JSON.stringify(schema));
  for (const { answer, contentType, truncated } of abstained)
    assert.equal(scorer.score({ answer: body(answer, contentType, truncated) }).tag, 'abstain');
});

test('a wrong configuration says what is wrong', () => {
  for (const { config, message } of misconfigured) {
    assert.throws(
      () => scorer.configure(config),
      (problems) => problems[0].message.includes(message),
      config,
    );
  }
});
