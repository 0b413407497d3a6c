// The quickstart in JavaScript: a circuit that opens on poor answers, refuses, probes, and closes again.
//
//   npm install softfuse
//   node main.mjs

import { readFileSync } from 'node:fs';
import { CircuitOpenError, circuitBreaker, reportQuality } from 'softfuse';

const policy = readFileSync(new URL('../../policies/quickstart.toml', import.meta.url), 'utf8');

// A model that pretends: good answers, poor ones while it is disturbed.
let disturbed = false;
async function askModel() {
  return disturbed ? { text: 'Paris Paris Paris Paris', score: 0.2 } : { text: 'Paris is the capital of France.', score: 0.9 };
}

let refusal;
const chat = circuitBreaker(
  async () => {
    const { text, score } = await askModel();
    reportQuality(score); // how good the answer is: from a scorer, a judge, token probabilities
    return text;
  },
  policy,
  {
    name: 'chat',
    onStateChange: ({ change }) => console.log(`${change.old} -> ${change.new}: ${change.text}`),
    fallback: (cause) => {
      if (!(cause.error instanceof CircuitOpenError)) throw cause.error;
      refusal = cause.error;
      console.log(`refused: ${refusal.state}, trip ${refusal.tripCount}`);
      return '(cached answer)';
    },
  },
);

let calls = 0;
async function ask() {
  const text = await chat();
  calls += 1;
  console.log(`answer ${calls}: ${text}`);
}

for (let good = 0; good < 8; good += 1) await ask();
disturbed = true;
while (refusal === undefined) await ask();
disturbed = false;
// A timer may ring a little early, so it waits a little longer.
await new Promise((resolve) => {
  setTimeout(resolve, refusal.retryAfterMs + 5);
});
while (chat.breaker.state !== 'closed') await ask();
