// Records smollm2.jsonl: real answers of a small chat model, with their token log-probabilities and latencies, in three
// phases (healthy, degraded, healthy again). README.md says how to run it and what the phases are.

import { createHash } from "node:crypto";
import { createReadStream, openSync, writeSync, closeSync } from "node:fs";
import { parseArgs } from "node:util";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { corruptedText, prompts, seededRandom, truncatedContext } from "./prompts.mjs";

const MODEL_NAME = "smollm2-135m-instruct";
// The file that the published trace was recorded with; another file records too, with a warning.
const MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
// What the model's own chat template puts in front of a conversation that has no system message.
const DEFAULT_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";
// How many of the likeliest tokens are fetched for every token, in every phase: the degraded phase samples from these,
// and the healthy ones fetch as many, so that latencies compare.
const CANDIDATES_MAX = 256;
const TOP_LOGPROBS = 3;
const ANSWER_TOKENS_MAX = 64;
const CONTEXT_TOKENS_MAX = 1024;
const PROMPT_SEED = 20;
const CORRUPTION_SEED = 21;
const SAMPLING_SEED = 22;

/** The phases in order. `settings` are part of the request; `damage` is what happens to each prompt, taken in turn. */
const PHASES = [
  { phase: "healthy", calls: 140, settings: { temperature: 0 }, damage: ["none"] },
  {
    phase: "degraded",
    calls: 104,
    settings: { temperature: 1.5, top_k: CANDIDATES_MAX },
    damage: ["temperature", "truncated", "corrupted"],
  },
  { phase: "recovered", calls: 116, settings: { temperature: 0 }, damage: ["none"] },
];

const round = (value, digits) => Number(value.toFixed(digits));

async function sha256(path) {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path)) hash.update(piece);
  return hash.digest("hex");
}

/** The model's chat template (ChatML), as tokens. Its marks are tokens of their own; the text between them never is. */
function chatTokens(model, messages) {
  const all = messages[0].role === "system" ? messages : [{ role: "system", content: DEFAULT_SYSTEM }, ...messages];
  const mark = (text) => model.tokenize(text, true);
  const plain = (text) => model.tokenize(text, false);
  const turns = all.flatMap(({ role, content }) => [
    ...mark("<|im_start|>"),
    ...plain(`${role}\n${content}`),
    ...mark("<|im_end|>"),
    ...plain("\n"),
  ]);
  return [...turns, ...mark("<|im_start|>"), ...plain("assistant\n")];
}

/**
 * One step: feeds `tokens` and returns the likeliest next tokens, best first, each with its log-probability. That is of
 * the model's own distribution over the whole vocabulary, at temperature 1, whatever temperature the answer is sampled
 * at.
 */
async function nextCandidates(sequence, tokens) {
  const wanted = {
    generateNext: {
      logits: { filter: { includeTop: CANDIDATES_MAX } },
      totalLogitWeight: true,
      options: { temperature: 0 },
    },
  };
  const input = tokens.map((token, index) => (index === tokens.length - 1 ? [token, wanted] : token));
  const { logits, totalLogitWeight } = (await sequence.controlledEvaluate(input)).at(-1).next;
  const pairs = [...logits.entries()];
  // softmax: ln p(token) = logit - max - ln(sum over the vocabulary of e^(logit - max)); the library gives that sum.
  const norm = pairs[0][1] + Math.log(totalLogitWeight);
  return pairs.map(([token, logit]) => ({ token, logprob: logit - norm }));
}

/** Greedy at temperature 0; otherwise draws from the `top_k` best by e^(logprob / temperature). */
function choose(candidates, { temperature, top_k: topK = CANDIDATES_MAX }, random) {
  if (temperature === 0) return candidates[0];
  const pool = candidates.slice(0, topK);
  const weights = pool.map(({ logprob }) => Math.exp((logprob - pool[0].logprob) / temperature));
  let left = random() * weights.reduce((sum, weight) => sum + weight, 0);
  const index = weights.findIndex((weight) => (left -= weight) < 0);
  return pool[index === -1 ? pool.length - 1 : index];
}

/** Answers one request and returns the response as an OpenAI-compatible server would send it. */
async function complete(model, sequence, request, random) {
  const promptTokens = chatTokens(model, request.messages);
  if (promptTokens.length + request.max_tokens > CONTEXT_TOKENS_MAX)
    throw new Error("a prompt is too long for the context");
  await sequence.clearHistory();
  const answer = [];
  const content = [];
  let finishReason = "length";
  for (let input = promptTokens; answer.length < request.max_tokens; input = [answer.at(-1)]) {
    const candidates = await nextCandidates(sequence, input);
    const chosen = choose(candidates, request, random);
    if (model.isEogToken(chosen.token)) {
      finishReason = "stop";
      break;
    }
    const named = ({ token, logprob }) => ({ token: model.detokenize([token], true), logprob: round(logprob, 4) });
    content.push({ ...named(chosen), top_logprobs: candidates.slice(0, TOP_LOGPROBS).map(named) });
    answer.push(chosen.token);
  }
  return {
    object: "chat.completion",
    model: MODEL_NAME,
    choices: [
      {
        index: 0,
        message: { role: "assistant", content: model.detokenize(answer) },
        finish_reason: finishReason,
        logprobs: { content },
      },
    ],
    usage: {
      prompt_tokens: promptTokens.length,
      completion_tokens: answer.length,
      total_tokens: promptTokens.length + answer.length,
    },
  };
}

function damaged(prompt, kind, random) {
  if (kind === "truncated") return truncatedContext(prompt);
  if (kind === "corrupted") return corruptedText(prompt, random);
  return prompt;
}

/** The whole plan before the first call, so that what is asked does not depend on what was answered. */
function plan(scale) {
  const asked = prompts(PROMPT_SEED);
  const corruption = seededRandom(CORRUPTION_SEED);
  let next = 0;
  return PHASES.flatMap(({ phase, calls, settings, damage }) =>
    Array.from({ length: Math.round(calls * scale) }, (_, index) => {
      if (next === asked.length)
        throw new Error(`the phases ask for more than the ${asked.length} prompts that there are`);
      const kind = damage[index % damage.length];
      const { messages, ...rest } = damaged(asked[next++], kind, corruption);
      const request = {
        messages,
        ...settings,
        max_tokens: ANSWER_TOKENS_MAX,
        logprobs: true,
        top_logprobs: TOP_LOGPROBS,
        ...rest,
      };
      return { phase, kind, request };
    }),
  );
}

async function main() {
  const { values } = parseArgs({
    options: { model: { type: "string" }, out: { type: "string" }, scale: { type: "string", default: "1" } },
  });
  if (!values.model || !values.out)
    throw new Error("usage: node record.mjs --model FILE.gguf --out TRACE.jsonl [--scale 0.1]");
  const scale = Number(values.scale);
  if (!(scale > 0 && scale <= 1)) throw new Error(`--scale is ${values.scale}: it must be above 0 and at most 1`);
  const found = await sha256(values.model);
  if (found !== MODEL_SHA256) console.error(`warning: ${values.model} has SHA-256 ${found}, not ${MODEL_SHA256}`);

  const llama = await getLlama({
    gpu: false,
    build: "never",
    skipDownload: true,
    maxThreads: 1,
    logLevel: LlamaLogLevel.error,
  });
  const model = await llama.loadModel({ modelPath: values.model });
  const context = await model.createContext({ contextSize: CONTEXT_TOKENS_MAX, threads: 1 });
  const sequence = context.getSequence();
  const calls = plan(scale);
  const random = seededRandom(SAMPLING_SEED);

  // One answer that isn't recorded: the first one pays for the pages of the model file.
  await complete(model, sequence, calls[0].request, random);

  const out = openSync(values.out, "w");
  const began = performance.now();
  for (const [index, { phase, kind, request }] of calls.entries()) {
    const at = performance.now();
    const response = await complete(model, sequence, request, random);
    const latency = performance.now() - at;
    const line = {
      at_ms: round(at - began, 1),
      latency_ms: round(latency, 1),
      outcome: "success",
      operation: "chat",
      model: MODEL_NAME,
      request,
      response,
      phase,
      damage: kind,
    };
    writeSync(out, `${JSON.stringify(line)}\n`);
    if ((index + 1) % 10 === 0) console.error(`${index + 1}/${calls.length} ${phase}`);
  }
  closeSync(out);
  await llama.dispose();
}

try {
  await main();
} catch (problem) {
  console.error(`record.mjs: ${problem.message}`);
  process.exit(1);
}
