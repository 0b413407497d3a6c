// Makes calls of a pretend model through a breaker, and draws what becomes of them.

import { CircuitOpenError, PolicyError, Registry } from 'softfuse';
import { Chart } from './chart.js';

const POLICY = `half_open_after = "3s"
recovery_threshold = 3
backoff = { multiplier = 1.5, max = "10s" }

[trip_on]
any_of = [
  { quality_below = { threshold = 0.6, window = 20 } },
  { error_rate_above = { rate = 0.4, window = 20 } },
]
`;
const EVENTS_MAX = 50;
const find = (id) => document.getElementById(id);
const began = performance.now();

/** A number from a bell curve around 0. */
function wobble() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

let breaker;
let refused = 0;
let disturbedUntil = 0;
const chart = new Chart(find('chart'));

/** What the page calls a model: it takes a while, may fail, and says how good its answer is. */
async function model() {
  const disturbed = performance.now() < disturbedUntil;
  await new Promise((resolve) => {
    setTimeout(resolve, 10 + 30 * Math.random());
  });
  if (Math.random() * 100 < Number(find('failures').value)) throw new Error('the service failed');
  const mean = disturbed ? 0.2 : Number(find('quality').value);
  return { score: Math.min(1, Math.max(0, mean + 0.1 * wobble())) };
}

async function call() {
  try {
    await breaker.call(async (permit) => {
      const probe = breaker.state === 'half-open';
      try {
        const { score } = await model();
        permit.reportQuality(score);
        chart.answered(performance.now(), score, probe);
      } catch (error) {
        chart.failed(performance.now());
        throw error;
      }
    });
  } catch (error) {
    if (!(error instanceof CircuitOpenError)) return;
    refused += 1;
    chart.refused(performance.now());
  }
}

function told({ change }) {
  chart.changed(performance.now(), change.new);
  const item = document.createElement('li');
  const time = document.createElement('time');
  time.textContent = `${((performance.now() - began) / 1000).toFixed(1)} s`;
  const what = document.createElement('span');
  const state = document.createElement('b');
  state.className = change.new;
  state.textContent = change.new;
  what.append(`${change.old} → `, state, `: ${change.text}`);
  item.append(time, what);
  find('events').prepend(item);
  while (find('events').children.length > EVENTS_MAX) find('events').lastChild.remove();
}

function apply(text) {
  const problems = find('problems');
  try {
    // A registry of its own: one name has one policy.
    breaker = new Registry().breaker('chat', text);
    breaker.on('state-change', told);
    refused = 0;
    chart.changed(performance.now(), 'closed');
    problems.className = 'fine';
    problems.textContent = '';
    return true;
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    problems.className = '';
    problems.textContent = error.message;
    return false;
  }
}

function show() {
  const { state, totals, tripCount, conditions, retryAfterMs } = breaker.status();
  const quality = conditions.find(({ path }) => path.endsWith('quality_below'));
  find('state').textContent = state;
  find('state').className = `state ${state}`;
  find('calls').textContent = totals.calls;
  find('failed').textContent = totals.failures;
  find('refused').textContent = refused;
  find('trips').textContent = tripCount;
  find('mean').textContent = quality?.value === undefined ? '-' : quality.value.toFixed(2);
  find('wait').textContent = retryAfterMs === undefined ? '-' : `${(retryAfterMs / 1000).toFixed(1)} s`;
  chart.mean(performance.now(), quality?.value, quality?.limit);
  chart.draw(performance.now());
  requestAnimationFrame(show);
}

let credit = 0;
let last = performance.now();
function make() {
  const now = performance.now();
  credit = Math.min(10, credit + ((now - last) / 1000) * Number(find('rate').value));
  last = now;
  for (; credit >= 1; credit -= 1) void call();
  setTimeout(make, 16);
}

for (const [id, shown] of [
  ['quality', (value) => Number(value).toFixed(2)],
  ['failures', (value) => `${value} %`],
  ['rate', (value) => value],
]) {
  find(id).addEventListener('input', () => {
    find(`${id}-shown`).textContent = shown(find(id).value);
  });
}
find('disturb').addEventListener('click', () => {
  disturbedUntil = performance.now() + 4000;
});
find('trip').addEventListener('click', () => breaker.trip('you tripped it'));
find('reset').addEventListener('click', () => breaker.reset());
find('metrics-only').addEventListener('click', () => breaker.setOperatorState('metrics-only'));
find('apply').addEventListener('click', () => {
  if (apply(find('policy').value)) find('problems').textContent = 'in force';
});
find('policy').value = POLICY;
apply(POLICY);
make();
show();
