// `npm run bench`: guarded calls beside other breakers, in one run. Samples of all contestants take turns, so that what disturbs
// the machine disturbs all alike; medians of the samples are shown, and of each pair's ratios. `-- --json` for machines,
// `-- --quick` for a look, `-- --profile NAME` runs one contestant alone.

import { readFileSync } from 'node:fs';
import { ConsecutiveBreaker, circuitBreaker as cockatielBreaker, handleAll } from 'cockatiel';
import Opossum from 'opossum';

const dist = new URL('../dist/entry-node.js', import.meta.url);
const softfuse = await import(dist).catch((error) => {
  console.error(`build the package first, by \`npm run build\`: ${error.message}`);
  process.exit(1);
});
const { Registry, CircuitOpenError } = softfuse;

const args = process.argv.slice(2);
const json = args.includes('--json');
const rounds = args.includes('--quick') ? 15 : 61;
const TARGET_NS = 1.5e6;

const failures = 'trip_on = { consecutive_failures = 5 }';
const quality = 'trip_on = { quality_below = { threshold = 0.7, window = 20 } }';
const answer = { text: 'Paris' };
const model = async () => answer;
const modelSync = () => answer;

const needed = new Registry({ latencies: 'as-needed' });
const all = new Registry();
const guard = (registry, run, policy, name, options = {}) => softfuse.circuitBreaker(run, policy, { name, registry, ...options });

// A service that is fine, with scores that wobble.
const scores = Float64Array.from({ length: 1024 }, (_, place) => 0.85 + 0.1 * Math.sin(place * 12.9898));
let turn = 0;
const nextScore = () => scores[(turn = (turn + 1) & 1023)];

const plain = guard(needed, model, failures, 'plain');
const timed = guard(all, model, failures, 'timed');
const plainSync = guard(needed, modelSync, failures, 'plain, sync');
const timedSync = guard(all, modelSync, failures, 'timed, sync');
const scored = guard(needed, model, quality, 'scored', { score: nextScore });
const scoredTimed = guard(all, model, quality, 'scored, timed', { score: nextScore });
const reporting = all.breaker('reporting', quality);
const ambient = guard(
  all,
  async () => {
    softfuse.reportQuality(nextScore());
    return answer;
  },
  quality,
  'ambient',
);
const open = guard(all, modelSync, failures, 'open');
open.breaker.trip('bench', { openForMs: 1e9 });

const cockatiel = cockatielBreaker(handleAll, { halfOpenAfter: 10_000, breaker: new ConsecutiveBreaker(5) });
const cockatielTimed = cockatielBreaker(handleAll, { halfOpenAfter: 10_000, breaker: new ConsecutiveBreaker(5) });
let listened = 0;
cockatielTimed.onSuccess(({ duration }) => {
  listened += duration;
});
const cockatielOpen = cockatielBreaker(handleAll, { halfOpenAfter: 1e9, breaker: new ConsecutiveBreaker(1) });
await cockatielOpen
  .execute(async () => {
    throw new Error('down');
  })
  .catch(() => {});
const opossum = new Opossum(model, { timeout: false });
const opossumOpen = new Opossum(model, { timeout: false, resetTimeout: 1e9 });
opossumOpen.open();

const sync = (run) => (calls) => {
  for (let call = 0; call < calls; call += 1) run();
};
const async = (run) => async (calls) => {
  for (let call = 0; call < calls; call += 1) await run();
};
const refusedAsync = (run) => async (calls) => {
  for (let call = 0; call < calls; call += 1) {
    try {
      await run();
    } catch {
      // What is measured.
    }
  }
};

/** What is measured: the run, its peer, and the goal for the ratio. */
const contestants = {
  'await of the function alone': async(model),
  cockatiel: async(() => cockatiel.execute(model)),
  'cockatiel, durations listened to': async(() => cockatielTimed.execute(model)),
  opossum: async(() => opossum.fire()),
  'guarded call': async(plain),
  'guarded call, every latency measured': async(timed),
  'guarded call, scored': async(scored),
  'guarded call, scored, every latency measured': async(scoredTimed),
  'guarded call, score reported on the permit': async(() =>
    reporting.call(async (permit) => {
      permit.reportQuality(nextScore());
      return answer;
    }),
  ),
  'guarded call, score reported from anywhere': async(ambient),
  'guarded synchronous call': sync(plainSync),
  'guarded synchronous call, every latency measured': sync(timedSync),
  'two reads of the clock': sync(() => {
    performance.now();
    performance.now();
  }),
  'cockatiel, rejection': refusedAsync(() => cockatielOpen.execute(model)),
  'opossum, rejection': refusedAsync(() => opossumOpen.fire()),
  rejection: (calls) => {
    for (let call = 0; call < calls; call += 1) {
      try {
        open();
      } catch (error) {
        if (!(error instanceof CircuitOpenError)) throw error;
      }
    }
  },
};
const FOLLOWED = ['guarded call, score reported from anywhere', 'cockatiel, beside AsyncLocalStorage', 'await alone, beside AsyncLocalStorage'];
contestants['cockatiel, beside AsyncLocalStorage'] = contestants.cockatiel;
contestants['await alone, beside AsyncLocalStorage'] = contestants['await of the function alone'];
const comparisons = [
  ['guarded call', 'cockatiel', 1.0],
  ['guarded call, every latency measured', 'cockatiel, durations listened to', 1.0],
  ['guarded call, every latency measured', 'cockatiel', 1.0],
  ['guarded call', 'opossum', 0.5],
  ['guarded call, every latency measured', 'opossum', 0.5],
  ['guarded call, scored', 'cockatiel', undefined],
  ['guarded call, scored, every latency measured', 'cockatiel', undefined],
  ['guarded call, score reported on the permit', 'cockatiel', undefined],
  ['guarded call, score reported from anywhere', 'cockatiel, beside AsyncLocalStorage', undefined],
  ['guarded call', 'await of the function alone', undefined],
  ['rejection', 'cockatiel, rejection', undefined],
  ['rejection', 'opossum, rejection', undefined],
];

const only = args[args.indexOf('--profile') + 1];
if (args.includes('--profile')) {
  for (let round = 0; round < 40; round += 1) await contestants[only](200_000);
  process.exit(0);
}

async function sample(run, calls) {
  const began = process.hrtime.bigint();
  await run(calls);
  return Number(process.hrtime.bigint() - began) / calls;
}

const names = Object.keys(contestants);
const samples = Object.fromEntries(names.map((name) => [name, []]));

/** Samples of these, in turns. */
async function measure(some) {
  const counts = {};
  for (const name of some) {
    await sample(contestants[name], 20_000);
    const ns = await sample(contestants[name], 5_000);
    counts[name] = Math.max(100, Math.round(TARGET_NS / ns));
  }
  for (let round = 0; round < rounds; round += 1) {
    // Begins with another one each time, so that nobody always comes after the same one.
    for (let place = 0; place < some.length; place += 1) {
      const name = some[(place + round) % some.length];
      samples[name].push(await sample(contestants[name], counts[name]));
    }
  }
}
// Once AsyncLocalStorage is in use, older versions of Node follow every promise of the process: so that comes last, with its
// own peers.
await measure(names.filter((name) => !FOLLOWED.includes(name)));
await measure(FOLLOWED);
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const rows = names.map((name) => ({ name, ns: median(samples[name]) }));
const ratios = comparisons.map(([name, peer, goal]) => {
  const ratio = median(samples[name].map((ns, round) => ns / samples[peer][round]));
  return { name, peer, ratio, goal, met: goal === undefined ? undefined : ratio <= goal };
});
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
if (json) {
  console.log(JSON.stringify({ softfuse: version, node: process.version, rounds, nanoseconds: rows, ratios }, null, 2));
} else {
  console.log(`softfuse ${version}, node ${process.version}, ${rounds} rounds; medians in nanoseconds\n`);
  for (const { name, ns } of rows) console.log(`${name.padEnd(52)} ${ns.toFixed(0).padStart(7)}`);
  console.log('');
  for (const { name, peer, ratio, goal, met } of ratios) {
    const verdict = goal === undefined ? '' : `  goal <= ${goal}: ${met ? 'MET' : 'MISSED'}`;
    console.log(`${`${name} / ${peer}`.padEnd(86)} ${ratio.toFixed(2).padStart(6)}${verdict}`);
  }
}
process.exit(0);
