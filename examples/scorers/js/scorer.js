// Scores JSON answers by how much of a JSON schema they keep: 1 where all of it, 0 where the answer is no JSON.
//
// The configuration is a JSON schema (draft 2020-12 unless it names another). Each top-level property that is missing or wrong
// costs an equal part of the score, and so does everything that is wrong outside of them.

import { Validator } from '@cfworker/json-schema';

/** Languages models wrap their JSON in. */
const FENCE = /^\s*```(?:json)?\s*\n([\s\S]*?)\n?\s*```\s*$/;
const DRAFTS = new Map([
  ['http://json-schema.org/draft-07/schema#', '7'],
  ['https://json-schema.org/draft/2019-09/schema', '2019-09'],
]);

let schema;
let validator;

const problem = (key, message) => [{ key, message }];

export const scorer = {
  configure(config) {
    if (config.trim() === '') throw problem('', 'the configuration is a JSON schema, as in {"type": "object", "required": ["name"]}');
    try {
      schema = JSON.parse(config);
    } catch (error) {
      throw problem('', `the configuration is a JSON schema, and this is no JSON: ${error.message}`);
    }
    if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) throw problem('', 'a JSON schema is an object');
    try {
      validator = new Validator(schema, DRAFTS.get(schema.$schema) ?? '2020-12', false);
      validator.validate(null);
    } catch (error) {
      throw problem('$ref', `this schema can't be used: ${error.message}`);
    }
  },

  score({ answer }) {
    const type = answer.contentType;
    if (type !== '' && !type.includes('json') && !type.startsWith('text/')) return { tag: 'abstain', val: `answers of the type ${type} are no JSON` };
    if (answer.truncated) return { tag: 'abstain', val: 'the answer was cut, so that nobody knows how it ends' };
    const text = new TextDecoder().decode(answer.bytes);
    let value;
    try {
      value = JSON.parse(FENCE.exec(text)?.[1] ?? text);
    } catch {
      return { tag: 'score', val: 0 };
    }
    const { valid, errors } = validator.validate(value);
    if (valid) return { tag: 'score', val: 1 };
    const parts = new Set([...Object.keys(schema.properties ?? {}), ...(schema.required ?? [])]);
    const wrong = new Set((schema.required ?? []).filter((name) => typeof value !== 'object' || value === null || !(name in value)));
    let outside = false;
    for (const { instanceLocation, keyword } of errors) {
      const name = instanceLocation.split('/')[1]?.replaceAll('~1', '/').replaceAll('~0', '~');
      if (name !== undefined && parts.has(name)) wrong.add(name);
      // Those two say at the top what others say of a property.
      else if (keyword !== 'properties' && keyword !== 'required') outside = true;
    }
    const lost = wrong.size + (outside || wrong.size === 0 ? 1 : 0);
    return { tag: 'score', val: Math.max(0, 1 - lost / (parts.size + 1)) };
  },
};
