// Scorers for tests: the components that come with Softfuse, and what was loaded, which is closed when the file's tests are over.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import { Scorer } from 'softfuse/scorers';
import { root } from './load.mjs';

const components = process.env.SOFTFUSE_COMPONENTS ?? join(root, 'target/components');

/** The bytes of a scorer that comes with Softfuse, by its file's name; or of another component of its build, by the path from `scorers`. */
export function bytes(name) {
  const path = join(components, 'scorers', name);
  assert.ok(existsSync(path), `${path} is missing: cargo run --release -- components target/components`);
  return readFileSync(path);
}

const loaded = [];
after(() => loaded.forEach((scorer) => scorer.close()));

/** [`Scorer.load`], of one that is closed in the end. */
export async function load(component, options) {
  const scorer = await Scorer.load(component, options);
  loaded.push(scorer);
  return scorer;
}
