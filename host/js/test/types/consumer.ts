// A user's TypeScript: what must compile, and, by @ts-expect-error, what must not.

import {
  type Breaker,
  type CircuitStatus,
  CircuitOpenError,
  type Condition,
  Registry,
  anyOf,
  circuitBreaker,
  consecutiveFailures,
  guardedFetch,
  qualityBelow,
  reportQuality,
} from 'softfuse';
import { Scorer } from 'softfuse/scorers';

interface Answer {
  text: string;
}
async function ask(question: string, limit?: number): Promise<Answer> {
  return { text: question.slice(0, limit) };
}

const registry = new Registry({ latencies: 'as-needed', salt: 5n });
const policy = registry.policy({ tripOn: anyOf(qualityBelow(0.6, { window: 5 }), consecutiveFailures(5)), halfOpenAfter: '30s' });
const plain = circuitBreaker(ask, policy, { registry });
const answer: Promise<Answer> = plain('why?', 5);
const breaker: Breaker = plain.breaker;
const status: CircuitStatus = breaker.status();
const wait: number | undefined = status.retryAfterMs;

// The fallback's type joins the function's.
const withNull = circuitBreaker(ask, policy, { name: 'b', registry, fallbackValue: null });
const maybe: Promise<Answer | null> = withNull('why?');
const withText = circuitBreaker((n: number) => n, policy, { name: 'c', registry, fallback: (cause) => cause.kind });
const either: number | string = withText(1);

const sum: number = breaker.call((permit) => {
  permit.reportQuality(0.5);
  return 5;
});
const drift: Condition = { record: (call) => (call.latencyMs > 5 ? 'slow' : undefined), reset: () => undefined };
breaker.on('state-change', ({ change }) => console.log(change.old, change.text, change.openUntilMs?.toFixed()));
registry.on('breaker-restored', ({ recordsLost }) => console.log(recordsLost + 1));
const get: typeof fetch = guardedFetch(policy);
const took: boolean = reportQuality(1);
const scorer: Promise<Scorer> = Scorer.load(new Uint8Array(), { name: 'mine', deadlineMs: 50 });

class Model {
  name = 'm';
  ask = circuitBreaker(
    async function (this: Model, question: string) {
      return `${this.name} ${question}`;
    },
    policy,
    { name: 'm', registry },
  );
}
const said: Promise<string> = new Model().ask('q');

try {
  await plain('x');
} catch (error) {
  if (error instanceof CircuitOpenError) console.log(error.retryAfterMs?.toFixed(), error.state === 'open', error.tripCount);
}

// @ts-expect-error: the argument is text
void plain(5);
// @ts-expect-error: the answer may be null
const never: Promise<Answer> = withNull('why?');
// @ts-expect-error: there is no such state
breaker.setOperatorState('open');
// @ts-expect-error: there is no such event
breaker.on('opened', () => undefined);
// @ts-expect-error: there is no such outcome
breaker.permit().settle('sucess');
// @ts-expect-error: there is no such option
circuitBreaker(ask, policy, { falback: 5 });
// @ts-expect-error: a policy is needed
circuitBreaker(ask);
// @ts-expect-error: inner parts are not for users
breaker.lease;
// @ts-expect-error: the threshold is a number
qualityBelow('0.6');

void [answer, wait, maybe, either, sum, drift, get, took, scorer, said, never];
