// Whose quality is reported: the guarded call under way, found without being handed through.

import type { Permit } from './permit.js';

/** As much of `AsyncLocalStorage` as is needed. */
export interface CallStorage {
  run<R>(permit: Permit, run: () => R): R;
  getStore(): Permit | undefined;
}

let storage: CallStorage | undefined;
/** The call whose synchronous part is running. */
let current: Permit | undefined;

/** Sets what follows calls over their awaits; the entry for each environment does. */
export function setCallStorage(found: CallStorage | undefined): void {
  storage = found;
}

/** Whether calls are followed over their awaits here. Where not, {@link reportQuality} finds them until their first `await`. */
export function followsAwaits(): boolean {
  return storage !== undefined;
}

/** Runs a call so that {@link reportQuality} finds it. */
export function inCall<R>(permit: Permit, run: () => R): R {
  const before = current;
  current = permit;
  try {
    return storage === undefined ? run() : storage.run(permit, run);
  } finally {
    current = before;
  }
}

/** The permit of the guarded call under way, for reports that come after it has ended; undefined where there is none. */
export function currentPermit(): Permit | undefined {
  return storage?.getStore() ?? current;
}

/**
 * Says how good the answer of the guarded call under way is, from anywhere within it. Of several reports the last one counts.
 * Whether there was such a call: where there is none, nothing happens. Throws {@link InvalidScoreError} for a number that is
 * no score.
 *
 * Calls are followed over their awaits by `AsyncLocalStorage`, which Node, Bun, Deno and workerd have. Browsers have none: there
 * it finds a call until its first `await`; use the permit that `breaker.call` hands to its function.
 */
export function reportQuality(score: number): boolean {
  const permit = currentPermit();
  if (permit === undefined) return false;
  permit.reportQuality(score);
  return true;
}
