// What runs in every environment alike: every vector under leases and without, those of the lease, and a smoke test of the API.

import { runLeaseVector } from '../kit/lease-vectors.mjs';
import { HostSubject } from '../kit/subject.mjs';
import { runVector } from '../kit/vectors.mjs';

function check(condition, what) {
  if (!condition) throw new Error(`failed: ${what}`);
}

async function smoke(softfuse, followsAwaits) {
  const { CircuitOpenError, ManualClock, Registry, circuitBreaker, reportQuality } = softfuse;
  const clock = new ManualClock();
  const registry = new Registry({ clock });
  const policy = { tripOn: { qualityBelow: { threshold: 0.6, window: 5 } }, halfOpenAfter: 250, recoveryThreshold: 2 };
  const changes = [];
  const ask = circuitBreaker(
    async (score) => {
      if (followsAwaits)
        await new Promise((resolve) => {
          setTimeout(resolve, 1);
        });
      check(reportQuality(score), 'the call is found');
      await null;
      return score;
    },
    policy,
    { name: 'chat', registry, onStateChange: ({ change }) => changes.push(change.new) },
  );
  for (const score of [0.9, 0.9, 0.9, 0.9, 0.9, 0.2, 0.2, 0.2]) await ask(score);
  const refused = await ask(1).catch((error) => error);
  check(refused instanceof CircuitOpenError && refused.retryAfterMs === 250, `a refusal: ${refused}`);
  clock.advanceMs(250);
  await ask(0.9);
  await ask(0.9);
  check(changes.join() === 'open,half-open,closed', changes.join());
  const real = new Registry();
  const plain = circuitBreaker(() => 5, 'trip_on = { consecutive_failures = 2 }', { name: 'real', registry: real });
  for (let call = 0; call < 1000; call += 1) check(plain() === 5, 'a value');
  check(plain.breaker.status().totals.successes === 1000, 'all are counted');
  const aborted = new AbortController();
  const hanging = plain.breaker.call(() => new Promise(() => {}), { signal: aborted.signal });
  aborted.abort();
  check((await hanging.catch((error) => error)).name === 'AbortError', 'an abort');
  check(plain.breaker.status().totals.neutral === 1, 'an abort is neutral');
  check(real.metricsText().includes('softfuse_call_total{breaker="real",outcome="success"} 1000'), 'metrics');
  let unknown;
  try {
    real.policy('trip_on = { consecutive_failure = 2 }');
  } catch (error) {
    unknown = error;
  }
  check(unknown?.problems[0].nearest === 'consecutive_failures', `${unknown}`);
}

/** How many vectors were run. `data` are those parsed; `lease` the package's inner lease.js. */
export async function runAll(softfuse, lease, data, followsAwaits) {
  let vectors = 0;
  for (const leaseAfter of [0, Infinity]) {
    for (const vector of data.timelines) {
      runVector(vector, new HostSubject(softfuse, vector.policy, { leaseAfter }));
      vectors += 1;
    }
  }
  for (const vector of data.leaseVectors) {
    runLeaseVector(vector, lease);
    vectors += 1;
  }
  await smoke(softfuse, followsAwaits);
  return vectors;
}
