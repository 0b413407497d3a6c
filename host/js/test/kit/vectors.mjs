// The shared vectors, as tests/vectors/README.md has them: runs parsed ones on a subject, in any environment.

const MS = 1_000_000;
const LATENCY_MS = 10;

const STEP_KEYS = new Set([
  'do',
  'at_ms',
  'at_ns',
  'times',
  'every_ms',
  'permit',
  'permit_bits',
  'outcome',
  'latency_ms',
  'latency_ns',
  'score',
  'pending',
  'retry_after_ms',
  'verdicts',
  'operator',
  'reason',
  'open_for_ms',
  'away_ms',
  'clock_ms',
  'expect',
  'state',
]);
const VECTOR_KEYS = new Set(['name', 'holds', 'policy', 'steps']);

function unknownKeys(table, keys, what) {
  for (const key of Object.keys(table)) if (!keys.has(key)) throw new Error(`${what}: there is no key \`${key}\``);
}

/** The vectors of a file's parsed TOML, each with its file and the number of its verdicts. Slips of the vectors' are errors. */
export function vectorsOf(file, parsed) {
  unknownKeys(parsed, new Set(['vector']), file);
  return parsed.vector.map((vector) => {
    const what = `${file}: \`${vector.name}\``;
    unknownKeys(vector, VECTOR_KEYS, what);
    vector.steps.forEach((step, index) => {
      unknownKeys(step, STEP_KEYS, `${what}, step ${index + 1}`);
      if (step.times === 0) throw new Error(`${what}: \`times\` is 0: nothing would happen`);
      if (step.expect !== undefined && step.do === undefined) throw new Error(`${what}: \`expect\` without \`do\``);
    });
    if (!vector.steps.some((step) => step.expect !== undefined || step.state !== undefined)) throw new Error(`${what} expects nothing`);
    const verdicts = Math.max(0, ...vector.steps.map((step) => step.verdicts?.length ?? 0));
    return { ...vector, file, verdicts, raw: file === 'contract.toml' };
  });
}

function ending(step) {
  const nanos = Number(step.latency_ns ?? 0);
  return {
    kind: step.outcome ?? 'success',
    latency: Number(step.latency_ms ?? (nanos > 0 ? 0 : LATENCY_MS)) * MS + nanos,
    score: step.score === undefined ? undefined : Number(step.score),
    pending: step.pending === true,
    retryAfterMs: step.retry_after_ms === undefined ? undefined : Number(step.retry_after_ms),
    verdicts: (step.verdicts ?? []).map((reason) => (reason === '' ? undefined : reason)),
  };
}

/** What an answer has, where it has it. */
export function seen(found) {
  return {
    admitted: null,
    permit: null,
    state: null,
    retry_after_ns: null,
    trip_count: null,
    reason: null,
    effect: null,
    error: null,
    event: null,
    ...found,
  };
}

/** Whether two numbers are the same. Beyond 2^53, in nanoseconds 104 days, JavaScript's have steps. */
function same(expected, found) {
  return expected === found || (Math.abs(expected) > Number.MAX_SAFE_INTEGER && Math.abs(expected - found) <= Math.abs(expected) * 1e-12);
}

function matches(expected, found, path) {
  const fail = () => {
    const show = (value) => JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? `${inner}n` : inner));
    throw new Error(`${path}: expected ${show(expected)}, found ${show(found)}`);
  };
  if (Array.isArray(expected)) {
    if (!Array.isArray(found) || found.length !== expected.length) fail();
    expected.forEach((item, index) => matches(item, found[index], `${path}[${index}]`));
  } else if (typeof expected === 'object') {
    if (typeof found !== 'object' || found === null) fail();
    for (const [key, value] of Object.entries(expected)) {
      if (!(key in found)) throw new Error(`${path}: there is no key \`${key}\` to expect; there are ${Object.keys(found).join(', ')}`);
      matches(value, found[key], `${path}.${key}`);
    }
  } else if (expected === false) {
    if (found !== null && found !== undefined && found !== false) fail();
  } else if (typeof expected === 'number' || typeof expected === 'bigint') {
    if ((typeof found !== 'number' && typeof found !== 'bigint') || !same(Number(expected), Number(found))) fail();
  } else if (found !== expected) fail();
}

/** Runs a vector on a fresh subject. Throws at the first step that differs. */
export function runVector(vector, subject) {
  let now = 0;
  const permits = new Map();
  const act = (step) => {
    const permit = () => {
      if (step.permit !== undefined) {
        if (!permits.has(step.permit)) throw new Error(`no permit \`${step.permit}\` was given`);
        return permits.get(step.permit);
      }
      if (step.permit_bits === undefined) throw new Error('the step names no permit');
      return BigInt(step.permit_bits);
    };
    switch (step.do) {
      case 'before': {
        const answer = subject.before(now);
        if (step.permit !== undefined && answer.handle !== undefined) permits.set(step.permit, answer.handle);
        return answer.seen;
      }
      case 'settle':
        return subject.settle(permit(), ending(step), now);
      case 'call': {
        const answer = subject.before(now);
        if (answer.handle === undefined) throw new Error(`the call was refused: ${JSON.stringify(answer.seen)}`);
        return subject.settle(answer.handle, ending(step), now);
      }
      case 'report':
        return subject.report(permit(), Number(step.score), now);
      case 'missing':
        return subject.report(permit(), undefined, now);
      case 'would-refuse':
        return subject.wouldRefuse(now);
      case 'status':
        return subject.status(now);
      case 'reset':
        return subject.reset(now);
      case 'operator':
        return subject.operator(step.operator, now);
      case 'trip':
        return subject.trip(step.reason ?? 'why', step.open_for_ms, now);
      case 'reincarnate': {
        const then = step.clock_ms === undefined ? now : step.clock_ms * MS;
        subject.reincarnate(now, then, step.away_ms ?? 0);
        now = then;
        return seen({});
      }
      default:
        throw new Error(`there is no action \`${step.do}\``);
    }
  };
  vector.steps.forEach((step, index) => {
    try {
      if (step.at_ms !== undefined) now = Number(step.at_ms) * MS;
      now += Number(step.at_ns ?? 0);
      for (let turn = 0; turn < (step.times ?? 1); turn += 1) {
        if (turn > 0) now += Number(step.every_ms ?? 0) * MS;
        if (step.do === undefined) continue;
        const answer = act(step);
        if ('error' in answer) answer.late = answer.error ?? answer.effect;
        if (step.expect !== undefined) matches(step.expect, answer, step.do);
      }
      if (step.state !== undefined) matches(step.state, subject.status(now).state, 'state');
    } catch (failure) {
      throw new Error(`${vector.file}: \`${vector.name}\`, step ${index + 1} (holds: ${vector.holds}): ${failure.message}`, { cause: failure });
    }
  });
}
