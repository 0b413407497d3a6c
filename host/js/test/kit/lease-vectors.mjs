// The vectors of the lease's host half, tests/vectors/lease: runs parsed ones on the package's Lease.

const STEP_KEYS = new Set([
  'do',
  'at_ns',
  'back_ns',
  'times',
  'every_ns',
  'terms',
  'until_ns',
  'permit',
  'outcome',
  'latency_ns',
  'score',
  'pending',
  'retry_after_ns',
  'expect',
]);
const TERM_KEYS = new Set([
  'permit',
  'outcomes_max',
  'until_ns',
  'latency_max_ns',
  'missing_score',
  'score_sums_min',
  'scores_roll',
  'scores_last',
  'details',
]);

const big = (value) => (value === undefined ? undefined : BigInt(value));

function terms(given) {
  for (const key of Object.keys(given)) if (!TERM_KEYS.has(key)) throw new Error(`there is no term \`${key}\``);
  const details = given.details ?? [];
  for (const detail of details) if (detail !== 'settled-at' && detail !== 'latency') throw new Error(`there is no detail \`${detail}\``);
  return {
    permit: BigInt(given.permit ?? 0),
    outcomesMax: given.outcomes_max ?? 0,
    until: big(given.until_ns),
    latencyMax: big(given.latency_max_ns),
    missingScore: big(given.missing_score),
    scoreSumsMin: given.score_sums_min === undefined ? undefined : BigInt64Array.from(given.score_sums_min, BigInt),
    scoresRoll: given.scores_roll === true,
    scoresLast: given.scores_last ?? 0,
    details: { settledAt: details.includes('settled-at'), latency: details.includes('latency') },
  };
}

/** Runs a vector on a fresh lease. Throws at the first step that differs. `inner` is the package's lease.js. */
export function runLeaseVector(vector, { Lease, Grant, ADMIT, REFUSE }) {
  const lease = new Lease();
  let now = 0;
  const act = (step) => {
    switch (step.do) {
      case 'grant':
        lease.grantTerms(terms(step.terms), 1, Infinity);
        return {};
      case 'refuse':
        lease.refuse(big(step.until_ns));
        return {};
      case 'ask':
        lease.ask();
        return {};
      case 'note':
        lease.note(now);
        return {};
      case 'admit': {
        if (lease.admission === ADMIT) {
          lease.note(now);
          return { admit: 'admitted', permit: Number(lease.grant.permit), retry_after_ns: null };
        }
        const left = lease.admission === REFUSE ? lease.countRefused(now) : -1;
        if (left < 0) return { admit: 'ask', permit: null, retry_after_ns: null };
        return { admit: 'refused', permit: null, retry_after_ns: left === Infinity ? null : left };
      }
      case 'settle': {
        const grant = new Grant(BigInt(step.permit), 1);
        const latency = step.latency_ns ?? 0;
        // Whoever keeps outcomes leaves those to the component that are never benign.
        if ((step.outcome ?? 'success') !== 'success' || step.retry_after_ns !== undefined) return { kept: false, together: false };
        const kept = lease.keep(grant, now, latency, step.score ?? NaN, step.pending === true);
        return { kept, together: !kept && lease.goesTogether(grant, now, latency) };
      }
      case 'late': {
        const kept = lease.keepLate(new Grant(BigInt(step.permit), 1), now, step.score);
        return { kept, together: false };
      }
      case 'drain': {
        const { waiting } = lease;
        const batch = lease.take();
        const { successes, lates, refused } = batch;
        const numbers = (column) => Array.from(column, Number);
        return {
          waiting,
          successes,
          lates,
          refused,
          scores: numbers(batch.scores),
          settled_at_ns: numbers(batch.settledAt),
          latencies_ns: numbers(batch.latencies),
          latest_ns: lease.latest,
        };
      }
      default:
        throw new Error(`there is no action \`${step.do}\``);
    }
  };
  vector.steps.forEach((step, index) => {
    const where = `\`${vector.name}\`, step ${index + 1} (holds: ${vector.holds})`;
    for (const key of Object.keys(step)) if (!STEP_KEYS.has(key)) throw new Error(`${where}: there is no key \`${key}\``);
    now += (step.at_ns ?? 0) - (step.back_ns ?? 0);
    for (let turn = 0; turn < (step.times ?? 1); turn += 1) {
      if (turn > 0) now += step.every_ns ?? 0;
      const found = act(step);
      for (const [key, expected] of Object.entries(step.expect ?? {})) {
        if (!(key in found)) throw new Error(`${where}: there is no key \`${key}\` to expect`);
        const same = expected === false ? found[key] === false || found[key] === null : JSON.stringify(expected) === JSON.stringify(found[key]);
        if (!same) throw new Error(`${where}, turn ${turn + 1}: ${key}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(found[key])}`);
      }
    }
  });
}
