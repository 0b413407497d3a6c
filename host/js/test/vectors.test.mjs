// Every shared vector, under leases and without; the contract's by the component itself; and those of the lease's host half.

import assert from 'node:assert/strict';
import test from 'node:test';
import * as softfuse from 'softfuse';
import { inner } from './kit/inner.mjs';
import { runLeaseVector } from './kit/lease-vectors.mjs';
import { badPolicies, httpVectors, leaseVectors, timelines } from './kit/load.mjs';
import { RawSubject } from './kit/raw-subject.mjs';
import { HostSubject } from './kit/subject.mjs';
import { runVector } from './kit/vectors.mjs';

const { Component, payloadOf } = await inner('component.js');
const convert = await inner('convert.js');
const lease = await inner('lease.js');

for (const [name, options] of [
  ['leased', { leaseAfter: 0 }],
  ['leased after a while', { leaseAfter: 3 }],
  ['eager', { leaseAfter: Infinity }],
]) {
  test(`every vector holds, ${name}`, () => {
    const vectors = timelines().filter((vector) => !vector.raw);
    assert.ok(vectors.length > 80, `${vectors.length} vectors: is this the folder?`);
    for (const vector of vectors) runVector(vector, new HostSubject(softfuse, vector.policy, options));
  });
}

test('every vector holds for the component itself, the contract among them', () => {
  const vectors = timelines().filter((vector) => vector.raw);
  assert.ok(vectors.length > 5);
  for (const vector of vectors) runVector(vector, new RawSubject({ Component, payloadOf, ...convert }, vector.policy));
});

test('bad policies are refused with every problem', () => {
  const registry = new softfuse.Registry();
  assert.ok(badPolicies().length > 10);
  for (const { name, text, problems } of badPolicies()) {
    assert.throws(
      () => registry.policy(text),
      (error) => {
        assert.ok(error instanceof softfuse.PolicyError, `${name}: ${error}`);
        assert.equal(error.problems.length, problems.length, `${name}: ${error.message}`);
        problems.forEach((expected, index) => {
          const { message, ...place } = error.problems[index];
          assert.deepEqual(
            { nearest: undefined, ...place },
            {
              nearest: undefined,
              line: expected.line,
              column: expected.column,
              key: expected.key,
              ...(expected.nearest && { nearest: expected.nearest }),
            },
            name,
          );
          assert.ok(message.includes(expected.message), `${name}: ${message}`);
        });
        return true;
      },
    );
  }
});

test('HTTP statuses count as in every host', () => {
  let next = 0;
  for (const { name, from, to = from, kind, ...more } of httpVectors().statuses) {
    assert.deepEqual([from, more], [next, {}], name);
    for (let status = from; status <= to; status += 1) {
      assert.equal(softfuse.classifyStatus(status), kind, `${status}: ${name}`);
      assert.equal(softfuse.classifyResponse({ status, headers: new Headers() }).kind, kind);
      // Who throws means a failure, whatever the status says.
      assert.equal(softfuse.classifyError(Object.assign(new Error(), { status })).kind, kind === 'success' ? 'error' : kind);
    }
    next = to + 1;
  }
  assert.equal(next, 1000);
});

test('Retry-After is read as in every host', () => {
  const { now, header } = httpVectors().retryAfter;
  assert.ok(header.length > 25);
  for (const { name, headers, span_ms: expected, ...more } of header) {
    assert.deepEqual(more, {}, name);
    assert.equal(softfuse.retryAfterMs(new Headers(headers), Date.parse(now)), expected, name);
    assert.equal(softfuse.retryAfterMs(headers, Date.parse(now)), expected, `${name}, as a plain object`);
  }
});

test('errors inside of streams count as in every host', () => {
  const { streamErrors } = httpVectors();
  assert.ok(streamErrors.length > 45);
  for (const { name, event = '', data, kind, ...more } of streamErrors) {
    assert.deepEqual(more, {}, name);
    assert.equal(softfuse.modelError({ event, data })?.kind, kind, name);
  }
});

test("every vector of the lease's host half holds", () => {
  const vectors = leaseVectors();
  assert.ok(vectors.length >= 30, `${vectors.length} vectors: is this the folder?`);
  for (const vector of vectors) runLeaseVector(vector, lease);
});

test('a vector that expects something else fails', () => {
  const vector = (steps) => ({ name: 'wrong', holds: 'nothing', file: 'here', policy: 'trip_on = { consecutive_failures = 2 }', steps });
  const run = (steps) => () => runVector(vector(steps), new HostSubject(softfuse, vector([]).policy, {}));
  assert.throws(run([{ do: 'call', expect: { effect: 'stale' } }]), /expected "stale", found "recorded"/);
  assert.throws(run([{ do: 'call', expect: { effct: 'stale' } }]), /no key `effct`/);
  assert.throws(run([{ state: 'open' }]), /expected "open", found "closed"/);
  assert.throws(
    () => runLeaseVector({ name: 'wrong', holds: 'nothing', steps: [{ do: 'admit', expect: { admit: 'admitted' } }] }, lease),
    /expected "admitted", found "ask"/,
  );
});
