// `fetch` behind breakers: one for each host that is asked.

import type { Classified, Ending } from './classify.js';
import { defaultRegistry } from './circuit-breaker.js';
import type { FallbackCause } from './guard-options.js';
import { Guard } from './guard.js';
import type { Keyed, KeyedOptions } from './keyed.js';
import type { PolicyLike, Registry } from './registry.js';
import type { StreamOptions } from './stream.js';
import type { Breaker } from './breaker.js';

type Fetch = typeof globalThis.fetch;

/** What a guarded `fetch` needs besides its policy. */
export interface GuardedFetchOptions {
  /** The family's name. Default `fetch`. */
  name?: string;
  /** Default: the default registry. */
  registry?: Registry;
  /** Makes the requests. Default: the global `fetch`. */
  fetch?: Fetch;
  /** Which breaker a request belongs to. Default: its origin. */
  key?: (url: string, init: RequestInit | undefined) => string;
  /** Says what an end means. Default: by the response's status and `Retry-After`. */
  classify?: (ending: Ending<Response>) => Classified;
  /** What to answer instead where a request is refused, or fails and opens the circuit. */
  fallback?: (cause: FallbackCause, input: string | URL | Request, init?: RequestInit) => Response | Promise<Response>;
  /** Watches bodies as they are read, so that a request has ended when its body has: `modelStream()`, say. Default: it has ended with its header. */
  stream?: StreamOptions;
  /** Bounds of the family. */
  keyed?: KeyedOptions;
}

/**
 * A `fetch` whose requests are guarded, by one breaker for each origin. 429, 503 and 529 are failures, and their `Retry-After`
 * extends the open period; 401 to 404 and 407 are failures, too, and every other 4xx is neutral (see `classifyStatus`). The response
 * is passed on in any case. An aborted request is neutral.
 */
export function guardedFetch(policy: PolicyLike, options: GuardedFetchOptions = {}): Fetch & { readonly breakers: Keyed } {
  const { registry = defaultRegistry(), name = 'fetch', key, classify, stream, fallback } = options;
  const guarding = { async: true, ...(classify && { classify }), ...(stream && { stream }) };
  const breakers = registry.keyed(name, policy, options.keyed);
  const guards = new WeakMap<Breaker, Guard<Response | Promise<Response>>>();
  const guarded = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const url = input instanceof Request ? input.url : String(input);
    const breaker = breakers.get(key === undefined ? new URL(url, globalThis.location?.href).origin : key(url, init));
    let guard = guards.get(breaker);
    if (guard === undefined) {
      guard = breaker.guard<Response | Promise<Response>>(guarding);
      guards.set(breaker, guard);
    }
    const signal = init?.signal ?? (input instanceof Request ? input.signal : undefined);
    const make = options.fetch ?? globalThis.fetch;
    const run = () => make(input, init);
    if (fallback === undefined) return guard.call(run, signal ? { signal } : undefined);
    const withFallback = breaker.guard<Response | Promise<Response>>({
      ...guarding,
      fallback: (cause) => fallback(cause, input, init),
    });
    return withFallback.call(run, signal ? { signal } : undefined);
  };
  return Object.defineProperty(guarded, 'breakers', { value: breakers, enumerable: true }) as Fetch & { readonly breakers: Keyed };
}
