// The scorers of examples/scorers, one in each language, by their own cases: the folder SOFTFUSE_SCORERS has LANGUAGE/scorer.wasm and
// LANGUAGE/cases.toml of each.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { Scorer, ScorerError } from 'softfuse/scorers';
import { parse } from 'smol-toml';

const folder = process.env.SOFTFUSE_SCORERS;
const body = (given) => {
  if (given === undefined) return { content: '' };
  if (typeof given === 'string') return { content: given, contentType: '' };
  return { content: given.text ?? Uint8Array.from(given.bytes, Number), contentType: given.content_type ?? '' };
};

const isCut = (one) => one.answer?.truncated === true;

async function check(one, scorer) {
  const { operation, model, metadata } = one;
  const exchange = { operation, model, metadata, request: body(one.request), answer: body(one.answer) };
  let found;
  try {
    found = await scorer.score(exchange);
  } catch (error) {
    assert.ok(error instanceof ScorerError, `${one.name}: ${error}`);
    const expected = one.malformed ?? one.fails;
    assert.ok(expected !== undefined && error.message.includes(expected), `${one.name}: ${error.kind}: ${error.message}`);
    assert.equal(error.kind === 'malformed', one.malformed !== undefined, `${one.name}: ${error.kind}`);
    return;
  }
  if (one.score === undefined) {
    assert.ok(one.abstains !== undefined && found === undefined, `${one.name}: ${found}`);
    return;
  }
  const { at_least: least = -Infinity, at_most: most = Infinity } =
    typeof one.score === 'object' ? one.score : { at_least: Number(one.score), at_most: Number(one.score) };
  assert.ok(found >= least - 1e-9 && found <= most + 1e-9, `${one.name}: ${found}, and ${least} to ${most} was expected`);
}

async function run(language) {
  const read = (name) => readFileSync(join(folder, language, name));
  const component = read('scorer.wasm');
  const { config = '', case: cases } = parse(read('cases.toml').toString());
  const load = (options) => Scorer.load(component, { name: language, startDeadlineMs: 600_000, deadlineMs: 60_000, ...options });
  const scorers = new Map();
  for (const one of cases) {
    const own = one.config ?? config;
    if (one.misconfigured !== undefined) {
      await assert.rejects(
        load({ config: own }),
        (error) => error.kind === 'refused' && error.message.includes(one.misconfigured),
        `${one.name}: ${own}`,
      );
    } else if (isCut(one)) {
      // One byte more than the bound: so the host cuts it where the case has it cut.
      const { content, contentType } = body(one.answer);
      const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
      const scorer = await load({ config: own, bodyBytesMax: bytes.length });
      await check({ ...one, answer: { content_type: contentType, bytes: [...bytes, 0x20] } }, scorer);
      scorer.close();
    } else {
      if (!scorers.has(own)) scorers.set(own, await load({ config: own }));
      await check(one, scorers.get(own));
    }
  }
  for (const scorer of scorers.values()) scorer.close();
  return cases.length;
}

const languages = folder === undefined ? [] : readdirSync(folder).filter((name) => existsSync(join(folder, name, 'scorer.wasm')));

test('SOFTFUSE_SCORERS has scorers in five languages', { skip: folder === undefined && 'set SOFTFUSE_SCORERS: `cargo test -p softfuse-hosts` does' }, () => {
  assert.deepEqual([...languages].sort(), ['c', 'go', 'js', 'python', 'rust']);
});

/** Whether this engine has extended constant expressions, which componentize-py's libraries are linked by: Node.js 20 hasn't. */
const hasExtendedConstants = WebAssembly.validate(
  Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 6, 9, 1, 0x7f, 0, 0x41, 1, 0x41, 2, 0x6a, 0x0b]),
);

for (const language of languages) {
  test(`a scorer in ${language} says what its cases want`, { timeout: 900_000 }, async () => {
    if (language === 'python' && !hasExtendedConstants) {
      // It says so, and harms nothing.
      await assert.rejects(run(language), (error) => error.kind === 'refused' && /constant expression/.test(error.message));
      return;
    }
    assert.ok((await run(language)) >= 10);
  });
}
