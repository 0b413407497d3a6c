// Registries: names, health, metrics, snapshots, keyed families, bounds, and what happens when the component fails.

import assert from 'node:assert/strict';
import test from 'node:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  CircuitOpenError,
  ComponentFailure,
  METRICS_CONTENT_TYPE,
  ManualClock,
  Registry,
  RegistryError,
  RestoreError,
  circuitBreaker,
  defaultRegistry,
} from 'softfuse';
import { inner, packageFolder } from './kit/inner.mjs';

const POLICY = 'trip_on = { consecutive_failures = 2 }\nhalf_open_after = "1s"\nrecovery_threshold = 1';

function setUp(options = {}) {
  const clock = new ManualClock();
  return { clock, registry: new Registry({ clock, salt: 0n, ...options }) };
}

test('one name is one breaker; two policies of one name are refused', () => {
  const { registry } = setUp();
  const breaker = registry.breaker('chat', POLICY);
  assert.equal(registry.breaker('chat', `# the same\n${POLICY}`), breaker);
  assert.equal(registry.get('chat'), breaker);
  assert.throws(
    () => registry.breaker('chat', registry.policy('trip_on = { consecutive_failures = 3 }', 'other.toml')),
    /"chat" has the policy policy already, and other.toml says something else/,
  );
  assert.throws(() => registry.breaker('', POLICY), RegistryError);
  assert.throws(() => registry.keyed('chat', POLICY), /already/);
  assert.throws(() => new Registry({ cloc: 1 }), /no option "cloc"/);
  assert.throws(() => new Registry({ failureMode: 'ajar' }), /failureMode is ajar: open or closed is expected/);
  assert.throws(() => new Registry({ leaseAfter: -1 }), /leaseAfter is -1/);
  assert.deepEqual(
    registry.all().map((one) => one.name),
    ['chat'],
  );
  assert.equal(registry.remove('chat'), true);
  assert.equal(registry.remove('chat'), false);
  assert.equal(registry.get('chat'), undefined);
  // Who holds it still may call it.
  assert.equal(
    breaker.call(() => 5),
    5,
  );
  assert.equal(defaultRegistry(), defaultRegistry());
});

test('health asks what would be refused now', () => {
  const { clock, registry } = setUp();
  assert.equal(`${registry.health()}`, '0/0 circuits healthy');
  for (const name of ['a', 'b', 'c', 'd']) registry.breaker(name, POLICY);
  registry.get('a').permit().failure();
  registry.get('a').trip('maintenance');
  let health = registry.health();
  assert.equal(health.statusCode, 200);
  assert.equal(JSON.parse(JSON.stringify(health)).summary, '3/4 circuits healthy');
  assert.deepEqual(health.circuits[0], {
    name: 'a',
    state: 'open',
    available: false,
    failure_rate: 1,
    trip_count: 1,
    retry_after_seconds: 1,
    reason: 'maintenance',
    component_failure: null,
  });
  registry.get('b').setOperatorState('forced-open');
  health = registry.health();
  assert.equal(health.statusCode, 503);
  assert.equal(health.toJSON().status, 'unhealthy');
  clock.advanceMs(1000);
  assert.equal(registry.health().statusCode, 200);
  assert.equal(registry.get('a').state, 'open');
  registry.reset();
  assert.deepEqual(
    registry.all().map((one) => one.state),
    ['closed', 'closed', 'closed', 'closed'],
  );
  assert.equal(registry.reset('none'), false);
});

test('operator states', () => {
  const { registry } = setUp();
  const breaker = registry.breaker('ops', POLICY);
  assert.equal(breaker.setOperatorState('disabled').new, 'disabled');
  assert.equal(breaker.setOperatorState('disabled'), undefined);
  for (let call = 0; call < 40; call += 1) assert.equal(breaker.permit().failure().effect, 'ignored');
  for (let call = 0; call < 40; call += 1) assert.equal(breaker.permit().success().effect, 'ignored');
  assert.equal(breaker.setOperatorState('metrics-only').new, 'metrics-only');
  breaker.permit().failure();
  assert.equal(breaker.permit().failure().change.reason.kind, 'would-have-tripped');
  breaker.setOperatorState('forced-open');
  for (let call = 0; call < 40; call += 1) {
    assert.throws(
      () => breaker.permit(),
      (error) => error instanceof CircuitOpenError && error.state === 'forced-open' && error.retryAfterMs === undefined,
    );
  }
  assert.equal(breaker.status().totals.rejections, 40);
  assert.equal(breaker.reset().new, 'closed');
  assert.throws(() => breaker.setOperatorState('open'), /'forced-open', 'disabled' or 'metrics-only'/);
});

test('what an idle service keeps is not forgotten', () => {
  const { clock, registry } = setUp({ leaseAfter: 0 });
  const breaker = registry.breaker('idle', POLICY);
  for (let call = 0; call < 100; call += 1) breaker.permit().success();
  clock.advanceMs(3_600_000);
  const { totals, consecutiveSuccesses } = breaker.status();
  assert.equal(totals.successes, 100);
  assert.equal(consecutiveSuccesses, 100);
});

test('metrics are OpenMetrics text', () => {
  const { clock, registry } = setUp({ leaseAfter: 0 });
  const breaker = registry.breaker('say "hi"\n\\', 'trip_on = { any_of = [{ quality_below = 0.2 }, { consecutive_failures = 2 }] }');
  for (const score of [0.95, 0.5, 1.5]) {
    const permit = breaker.permit();
    clock.advanceMs(7);
    permit.settle({ kind: 'success', score });
  }
  breaker.permit().cancel();
  breaker.permit().failure();
  breaker.permit().failure();
  assert.throws(() => breaker.permit());
  const family = registry.keyed('tenants', POLICY);
  family.get('a').permit().success();
  family.get('b').trip('x');
  const text = registry.metricsText();
  const name = '{breaker="say \\"hi\\"\\n\\\\"';
  for (const line of [
    '# TYPE softfuse_state gauge',
    `softfuse_state${name}} 1`,
    `softfuse_trip_total${name}} 1`,
    `softfuse_call_total${name},outcome="success"} 3`,
    `softfuse_call_total${name},outcome="failure"} 2`,
    `softfuse_call_total${name},outcome="neutral"} 1`,
    `softfuse_call_total${name},outcome="rejected"} 1`,
    `softfuse_quality_score_bucket${name},le="0.5"} 1`,
    `softfuse_quality_score_bucket${name},le="+Inf"} 3`,
    `softfuse_quality_score_count${name}} 3`,
    `softfuse_latency_seconds_bucket${name},le="0.005"} 3`,
    `softfuse_latency_seconds_bucket${name},le="0.01"} 6`,
    'softfuse_keyed_breakers{breaker="tenants",state="closed"} 1',
    'softfuse_keyed_breakers{breaker="tenants",state="open"} 1',
    'softfuse_component_restarts_total 0',
    'softfuse_records_lost_total 0',
    'softfuse_events_dropped_total 0',
  ])
    assert.ok(text.split('\n').includes(line), `${line}\n\n${text}`);
  assert.ok(text.endsWith('# EOF\n'));
  assert.match(METRICS_CONTENT_TYPE, /^application\/openmetrics-text/);
});

test('snapshots come back in another registry, and bad ones say what is wrong', () => {
  const { registry } = setUp();
  const breaker = registry.breaker('chat', POLICY);
  breaker.trip('down');
  const snapshot = breaker.snapshot();
  const other = setUp();
  const restored = other.registry.restore('chat', POLICY, snapshot, { awayMs: 400 });
  assert.equal(restored.state, 'open');
  assert.equal(restored.wouldRefuse().retryAfterMs, 600);
  assert.throws(() => other.registry.restore('chat', POLICY, snapshot), /there is a breaker "chat" already/);
  const kinds = [
    [new Uint8Array([1, 2, 3]), 'not-a-snapshot'],
    [snapshot.slice(0, -3), 'corrupt'],
    [new Uint8Array(0), 'not-a-snapshot'],
  ];
  for (const [bytes, kind] of kinds)
    assert.throws(
      () => other.registry.restore('bad', POLICY, bytes),
      (error) => error instanceof RestoreError && error.kind === kind,
      kind,
    );
  assert.throws(
    () => other.registry.restore('bad', 'trip_on = { consecutive_failures = 9 }', snapshot),
    (error) => error.kind === 'policy-differs',
  );
  assert.equal(other.registry.get('bad'), undefined);
  assert.equal(other.registry.breaker('bad', POLICY).state, 'closed');
});

test('keyed families are bounded: closed ones retire and come back, open ones stay', () => {
  const { registry } = setUp();
  const family = registry.keyed('tenants', POLICY, { liveMax: 3, retiredMax: 2 });
  family.get('a').permit().failure();
  family.get('b').trip('down');
  family.get('c');
  assert.equal(registry.keyed('tenants', POLICY), family);
  family.get('d');
  assert.equal(family.has('a'), false);
  assert.equal(family.has('b'), true);
  assert.equal(family.retiredSize, 1);
  // It comes back with its failure: one more opens it.
  assert.equal(family.get('a').permit().failure().change.new, 'open');
  family.get('d').trip('down');
  family.get('b');
  // Nobody can retire: they share one.
  assert.equal(family.get('x'), family.get('y'));
  assert.equal(family.get('x').name, 'tenants/(overflow)');
  assert.equal(family.size, 4);
  assert.throws(() => family.get('k'.repeat(2000)), /2000 characters/);
  assert.throws(() => family.get(5), /a number/);
  assert.deepEqual(registry.health().families, [{ name: 'tenants', available: false, at_work: 4, refusing: 3 }]);
  family.reset();
  assert.equal(registry.health().families[0].available, true);
});

test('thousands of keys, and the least recently used retires', () => {
  const { registry } = setUp();
  const family = registry.keyed('many', POLICY, { liveMax: 100, retiredMax: 50 });
  for (let key = 0; key < 3000; key += 1) {
    family.get('kept').permit().success();
    family.get(`key ${key}`).permit().success();
  }
  assert.equal(family.has('kept'), true);
  assert.equal(family.size, 100);
  assert.equal(family.retiredSize, 50);
  assert.equal(family.get('kept').status().totals.calls, 3000);
});

test('memory is bounded by what policies claim', () => {
  const { registry } = setUp({ componentBytesMax: 100_000 });
  const wide = 'trip_on = { quality_below = { threshold = 0.5, window = 2000 } }';
  registry.breaker('one', wide);
  assert.throws(
    () => {
      for (let more = 0; more < 100; more += 1) registry.breaker(`more ${more}`, wide);
    },
    (error) => error instanceof ComponentFailure && error.kind === 'refused' && /componentBytesMax/.test(error.message),
  );
});

/** A component that breaks off when it is told to. */
async function brittle(options) {
  const component = await inner('component.js');
  const { clock, registry } = setUp({ leaseAfter: 0, ...options });
  const proto = component.Component.prototype;
  const breaks = { next: undefined };
  const { live } = proto;
  const patched = function () {
    const api = live.call(this);
    return new Proxy(api, {
      get: (target, name) =>
        breaks.next === name || breaks.next === 'all'
          ? () => {
              if (breaks.once) breaks.next = undefined;
              throw new WebAssembly.RuntimeError('unreachable');
            }
          : target[name],
    });
  };
  return {
    clock,
    registry,
    breaks,
    install: () => {
      proto.live = patched;
    },
    remove: () => {
      proto.live = live;
    },
  };
}

for (const name of ['beforeCall', 'recordOutcome', 'recordLeased', 'grantLease', 'snapshot', 'status', 'restore']) {
  test(`a component that breaks off in ${name} is replaced, and the breaker comes back`, async () => {
    const { clock, registry, breaks, install, remove } = await brittle();
    install();
    try {
      const restored = [];
      registry.on('breaker-restored', (event) => restored.push(event));
      const failed = [];
      registry.on('component-failed', ({ failure }) => failed.push(failure));
      const call = circuitBreaker(
        (ok) => {
          if (!ok) throw new Error('down');
          return 'fine';
        },
        POLICY,
        { registry, name: 'brittle' },
      );
      assert.equal(call(true), 'fine');
      assert.throws(() => call(false), /down/);
      assert.throws(() => call(false), /down/);
      assert.equal(call.breaker.state, 'open');
      if (name === 'restore') {
        breaks.next = 'status';
        breaks.once = true;
        assert.throws(() => call.breaker.status(), ComponentFailure);
      }
      breaks.next = name;
      breaks.once = true;
      if (name === 'status')
        assert.throws(
          () => call.breaker.status(),
          (error) => error instanceof ComponentFailure && error.kind === 'trap',
        );
      else {
        clock.advanceMs(1000);
        for (let turn = 0; turn < 60 && breaks.next !== undefined; turn += 1) {
          if (turn % 9 === 8) {
            try {
              call(false);
            } catch (error) {
              assert.match(error.message, /down|is open|half-open/);
            }
          } else {
            try {
              call(true);
            } catch (error) {
              assert.ok(error instanceof CircuitOpenError, String(error));
            }
          }
          if (turn % 9 === 8) clock.advanceMs(1000);
          if (turn % 20 === 19)
            try {
              call.breaker.status();
            } catch (error) {
              assert.ok(error instanceof ComponentFailure);
            }
        }
      }
      assert.equal(breaks.next, undefined, 'it was never called');
      clock.advanceMs(120_000);
      call.breaker.status();
      for (let turn = 0; turn < 5; turn += 1) assert.equal(call(true), 'fine');
      assert.equal(call.breaker.state, 'closed');
      assert.ok(restored.length >= 1 && failed.length >= 1, `${restored.length} ${failed.length}`);
      if (name !== 'restore' && name !== 'snapshot') assert.equal(restored[0].fromSnapshot, true);
      assert.match(registry.metricsText(), /softfuse_component_restarts_total [1-9]/);
    } finally {
      remove();
    }
  });
}

test('an open circuit stays open over a failure of the component', async () => {
  const { registry, breaks, install, remove } = await brittle();
  install();
  try {
    const breaker = registry.breaker('open', POLICY);
    breaker.trip('down', { openForMs: 5000 });
    breaks.next = 'status';
    breaks.once = true;
    assert.throws(() => breaker.status(), ComponentFailure);
    assert.throws(
      () => breaker.permit(),
      (error) => error instanceof CircuitOpenError && error.reason === 'down' && error.retryAfterMs === 5000,
    );
  } finally {
    remove();
  }
});

test('a component that fails always: calls go on unguarded, or are refused, and it rests', async () => {
  for (const failureMode of ['open', 'closed']) {
    const { clock, registry, breaks, install, remove } = await brittle({ failureMode });
    const breaker = registry.breaker('broken', POLICY);
    install();
    try {
      breaks.next = 'all';
      breaks.once = false;
      const results = [];
      for (let turn = 0; turn < 20; turn += 1) {
        try {
          results.push(breaker.call((permit) => permit.guarded));
        } catch (error) {
          assert.ok(error instanceof CircuitOpenError && error.cause instanceof ComponentFailure, String(error));
          results.push('refused');
        }
      }
      assert.deepEqual(new Set(results), new Set([failureMode === 'open' ? false : 'refused']));
      assert.throws(
        () => breaker.status(),
        (error) => error.kind === 'resting',
      );
      assert.equal(registry.health().circuits[0].available, failureMode === 'open');
      breaks.next = undefined;
      clock.advanceMs(61_000);
      assert.equal(
        breaker.call((permit) => permit.guarded),
        true,
      );
      assert.match(registry.metricsText(), /softfuse_component_failures_total\{reason="trap"\} [1-9]/);
    } finally {
      remove();
    }
  }
});

test('a component that is no breaker, or breaks off at once, harms no call', () => {
  // Its start function is `unreachable`.
  const bytes = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 8, 1, 0, 10, 5, 1, 3, 0, 0, 11]);
  const registry = new Registry({ module: new WebAssembly.Module(bytes) });
  assert.throws(() => registry.policy(POLICY), ComponentFailure);
  const own = new Registry({ module: new WebAssembly.Module(readFileSync(join(packageFolder, 'dist/component/breaker.core.wasm'))) });
  assert.equal(
    own.breaker('own', POLICY).call(() => 1),
    1,
  );
});
