// Reads the shared vectors' files. Everything that needs a file system is here, so that the rest runs in a browser, too.

import { readFileSync, readdirSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { parse } from 'smol-toml';
import { vectorsOf } from './vectors.mjs';

/** The repository's root; the tests run elsewhere. */
export const root = process.env.SOFTFUSE_ROOT;
if (root === undefined) throw new Error('SOFTFUSE_ROOT is not set: run the tests by `npm test`');

const folder = join(root, 'tests/vectors');
const toml = (path) => parse(readFileSync(path, 'utf8'), { integersAsBigInt: 'asNeeded' });
const tomls = (path) =>
  readdirSync(path)
    .filter((name) => name.endsWith('.toml'))
    .sort();

/** Timelines of the shared folder, and of the files that SOFTFUSE_VECTORS names. */
export function timelines() {
  const more = (process.env.SOFTFUSE_VECTORS ?? '').split(delimiter).filter((path) => path !== '');
  const paths = [
    ...tomls(folder)
      .filter((name) => name !== 'policies.toml')
      .map((name) => join(folder, name)),
    ...more,
  ];
  const vectors = paths.flatMap((path) => vectorsOf(basename(path), toml(path)));
  const names = new Set();
  for (const { name } of [...vectors, ...badPolicies(), ...leaseVectors()]) {
    if (names.has(name)) throw new Error(`two vectors are named \`${name}\``);
    names.add(name);
  }
  return vectors;
}

/** Bad policies, with the problems that each host must report. */
export function badPolicies() {
  return toml(join(folder, 'policies.toml')).policy;
}

/** What HTTP statuses count as, and what is read of `Retry-After`. */
export function httpVectors() {
  const http = join(folder, 'http');
  return {
    statuses: toml(join(http, 'statuses.toml')).status,
    retryAfter: toml(join(http, 'retry_after.toml')),
    streamErrors: toml(join(http, 'stream_errors.toml')).event,
  };
}

/** Vectors of the lease's host half. */
export function leaseVectors() {
  const lease = join(folder, 'lease');
  return tomls(lease).flatMap((name) => toml(join(lease, name)).vector);
}
