// Scorers in other languages, each with its cases, where the environment's SOFTFUSE_SCORERS names the folder in which they were built: as
// LANGUAGE/scorer.wasm and LANGUAGE/cases.toml.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { parse } from 'smol-toml';
import { Scorer, ScorerError } from 'softfuse/scorers';

const folder = process.env.SOFTFUSE_SCORERS;
// A busy machine is no fault of a scorer's.
const OPTIONS = { startDeadlineMs: 600_000, deadlineMs: 60_000, memoryBytesMax: 512 << 20 };
const CASE_KEYS = ['name', 'config', 'operation', 'model', 'request', 'metadata', 'answer', 'score', 'abstains', 'malformed', 'fails', 'misconfigured'];

function known(table, keys, what) {
  for (const key of Object.keys(table)) assert.ok(keys.includes(key), `${what}: there is no key \`${key}\``);
}

/** A body: a text alone, or a table. */
function body(given) {
  if (given === undefined || typeof given === 'string') return { content: given ?? '' };
  known(given, ['content_type', 'text', 'bytes', 'truncated'], 'a body');
  const { content_type: contentType = '', text, bytes, truncated = false } = given;
  return { contentType, content: text ?? Uint8Array.from(bytes), truncated };
}

/** What an exchange comes to: a score, nothing, or an error. */
async function came(scored) {
  try {
    const score = await scored();
    return score === undefined ? { abstained: true } : { score };
  } catch (error) {
    assert.ok(error instanceof ScorerError, String(error));
    return { failed: error.kind, says: error.message };
  }
}

function met(wanted, found) {
  const { score, abstains, malformed, fails, misconfigured } = wanted;
  const says = (kinds, part) => kinds.includes(found.failed) && found.says.includes(part);
  if (score !== undefined) {
    if (typeof score === 'object') known(score, ['at_least', 'at_most'], 'a score');
    const [least, most] = typeof score === 'object' ? [score.at_least ?? -Infinity, score.at_most ?? Infinity] : [score, score];
    return found.score >= least - 1e-9 && found.score <= most + 1e-9;
  }
  // This host doesn't pass on why a scorer abstains.
  if (abstains !== undefined) return found.abstained === true;
  if (malformed !== undefined) return says(['malformed'], malformed);
  if (misconfigured !== undefined) return says(['refused'], misconfigured);
  assert.ok(fails !== undefined, `${wanted.name}: it says not what is expected`);
  return says(['other', 'trap', 'timeout', 'invalid-score'], fails);
}

/** Python's components compute constants, which WebAssembly allows since V8 11.4, and so Node since 21. */
const EXTENDED_CONST = WebAssembly.validate(
  // A global whose value is 1 + 1.
  new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 6, 9, 1, 127, 0, 65, 1, 65, 1, 106, 11]),
);

const languages = folder === undefined ? [] : readdirSync(folder).filter((name) => existsSync(join(folder, name, 'scorer.wasm')));

test('scorers in other languages are there', { skip: folder === undefined && 'SOFTFUSE_SCORERS is not set: see tests/hosts' }, () => {
  assert.ok(languages.length >= 2, `${folder}: ${languages}`);
});

for (const language of languages) {
  test(`the scorer in ${language} keeps its cases`, { timeout: 1_200_000 }, async (t) => {
    const component = readFileSync(join(folder, language, 'scorer.wasm'));
    const file = parse(readFileSync(join(folder, language, 'cases.toml'), 'utf8'));
    known(file, ['config', 'case'], 'cases.toml');
    assert.ok(file.case.length > 3);
    const loaded = new Map();
    if (language === 'python' && !EXTENDED_CONST) {
      const refused = await came(() => Scorer.load(component, OPTIONS));
      assert.ok(refused.failed === 'refused' && refused.says.includes('constant expressions'), JSON.stringify(refused));
      return t.diagnostic(`Node ${process.version} is too old for it, and says so`);
    }
    t.after(() => loaded.forEach((scorer) => scorer.close()));
    for (const wanted of file.case) {
      known(wanted, CASE_KEYS, wanted.name);
      const { config = file.config ?? '', operation = '', model = '', metadata = {} } = wanted;
      const found = await came(async () => {
        if (!loaded.has(config)) loaded.set(config, await Scorer.load(component, { ...OPTIONS, name: language, config }));
        return loaded.get(config).score({ operation, model, request: body(wanted.request), answer: body(wanted.answer), metadata });
      });
      assert.ok(met(wanted, found), `${wanted.name}: ${JSON.stringify(found)}`);
    }
  });
}
