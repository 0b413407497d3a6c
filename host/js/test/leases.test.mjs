// A leased host decides as an eager one: random policies and histories, every answer and every status compared.

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import * as softfuse from 'softfuse';
import { drive, history, policy } from './kit/histories.mjs';
import { inner } from './kit/inner.mjs';
import { HostSubject, statusSeen } from './kit/subject.mjs';

const RUNS = Number(process.env.SOFTFUSE_RUNS ?? 1000);
const { Lease } = await inner('lease.js');

test('a leased host decides as an eager one', () => {
  let leased = 0;
  let settled = 0;
  let trips = 0;
  fc.assert(
    fc.property(policy, history, fc.constantFrom(0, 1, 5), fc.constantFrom(1000, 50), (text, ops, leaseAfter, snapshotIntervalMs) => {
      const eager = new HostSubject(softfuse, text, { leaseAfter: Infinity });
      const lent = new HostSubject(softfuse, text, { leaseAfter, snapshotIntervalMs });
      assert.deepEqual(drive(ops, lent), drive(ops, eager));
      const count = (subject, name) =>
        Number(new RegExp(`^softfuse_${name}_total\\{breaker="test"\\} (\\d+)$`, 'm').exec(subject.registry.metricsText())[1]);
      leased += count(lent, 'leased');
      trips += count(lent, 'trip');
      settled += lent.breaker.status().totals.calls;
      assert.equal(count(eager, 'leased'), 0);
    }),
    { numRuns: RUNS },
  );
  console.log(`# ${trips} trips, ${leased} of ${settled} outcomes recorded late`);
  assert.ok(trips > RUNS / 4, `only ${trips} trips`);
  assert.ok(leased > settled / 10, `only ${leased} of ${settled} outcomes were recorded late`);
});

test('a host that reads the clock only where it must decides as one that always does', () => {
  const step = fc.record({
    fails: fc.integer({ min: 0, max: 9 }).map((one) => one === 0),
    scored: fc.option(fc.constantFrom(0.2, 0.9, 0.95), { nil: undefined }),
    gap: fc.integer({ min: 0, max: 30 }),
    takes: fc.integer({ min: 0, max: 12 }),
  });
  let untimed = 0;
  fc.assert(
    fc.property(policy, fc.array(step, { minLength: 20, maxLength: 200 }), (text, steps) => {
      const run = (latencies, leaseAfter) => {
        let reads = 0;
        const manual = new softfuse.ManualClock();
        const clock = {
          now: () => {
            reads += 1;
            return manual.now();
          },
        };
        const registry = new softfuse.Registry({ clock, salt: 0n, latencies, leaseAfter });
        const call = softfuse.circuitBreaker(
          (one) => {
            manual.advanceMs(one.takes);
            if (one.fails) throw new Error('no');
            return one;
          },
          text,
          { name: 'test', registry, score: (one) => one.scored },
        );
        const seen = steps.map((one) => {
          manual.advanceMs(one.gap);
          try {
            call(one);
            return 'answered';
          } catch (error) {
            return error instanceof softfuse.CircuitOpenError ? `${error.state} ${error.retryAfterMs} ${error.reason}` : 'failed';
          }
        });
        const readings = reads;
        return { seen: [...seen, statusSeen(call.breaker.status())], reads: readings };
      };
      const always = run('all', Infinity);
      const needed = run('as-needed', 0);
      assert.deepEqual(needed.seen, always.seen);
      if (needed.reads < always.reads) untimed += 1;
    }),
    { numRuns: Math.ceil(RUNS / 3) },
  );
  assert.ok(untimed > RUNS / 30, `only ${untimed} histories read the clock less often`);
});

test('what is kept is taken whole, whatever is asked of it', () => {
  const lease = new Lease();
  const grant = { permit: 7n, incarnation: 1 };
  lease.grantTerms({ permit: 7n, outcomesMax: 10, scoresRoll: false, scoresLast: 0, details: {} }, 1, Infinity);
  for (let at = 0; at < 10; at += 1) assert.equal(lease.keep(grant, at, 1, NaN, false), true);
  assert.equal(lease.keep(grant, 10, 1, NaN, false), false);
  assert.equal(lease.take({ at: 10, latency: 1, units: NaN, pending: false }).successes, 11);
  assert.equal(lease.keep(grant, 11, 1, NaN, false), false);
});

test('a score so large that sums of such lose digits is left to the component', () => {
  const lease = new Lease();
  lease.grantTerms(
    { permit: 7n, outcomesMax: 10, scoreSumsMin: BigInt64Array.of(0n, 0n), scoresRoll: false, scoresLast: 2, details: {} },
    1,
    Infinity,
  );
  assert.equal(lease.keep({ permit: 7n, incarnation: 1 }, 0, 1, 1e15, false), false);
  assert.equal(lease.keep({ permit: 7n, incarnation: 1 }, 0, 1, 1e9, false), true);
});

test('times beyond 2^53 ns end a lease a little earlier, never later', () => {
  const lease = new Lease();
  const until = 2n ** 60n + 12345n;
  lease.grantTerms({ permit: 7n, outcomesMax: 10, until, scoresRoll: false, scoresLast: 0, details: {} }, 1, Infinity);
  assert.equal(lease.keep({ permit: 7n, incarnation: 1 }, Number(until) - 4096, 1, NaN, false), true);
  assert.equal(lease.keep({ permit: 7n, incarnation: 1 }, Number(until), 1, NaN, false), false);
});
