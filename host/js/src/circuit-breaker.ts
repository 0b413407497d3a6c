// The short way: one call that wraps a function.

import type { Breaker } from './breaker.js';
import type { Conditions } from './conditions.js';
import type { GuardOptions } from './guard-options.js';
import { type PolicyLike, Registry } from './registry.js';
import type { BreakerEvents } from './types.js';

let ownRegistry: Registry | undefined;

/** The registry that {@link circuitBreaker} uses where it isn't handed one. */
export function defaultRegistry(): Registry {
  ownRegistry ??= new Registry();
  return ownRegistry;
}

/** What a wrapped function needs besides its policy. */
export interface CircuitBreakerOptions<F = never> extends GuardOptions<F> {
  /** The breaker's name. Default: the function's; two functions of one name share one breaker. */
  name?: string;
  /** Default: {@link defaultRegistry}. */
  registry?: Registry;
  /** Told each change of state. */
  onStateChange?: (event: BreakerEvents['state-change']) => void;
  /** The user's own conditions, by the names that the policy has for them. */
  conditions?: Conditions;
}

/** A wrapped function, with its breaker. */
export type Guarded<A extends unknown[], R, F, T = unknown> = ((this: T, ...args: A) => Guardian<R, F>) & {
  /** Its breaker. */
  readonly breaker: Breaker;
};

/** What comes back: of an asynchronous function a promise, of the fallback's answer too. */
export type Guardian<R, F> = [F] extends [never] ? R : R extends Promise<infer V> ? Promise<V | Awaited<F>> : R | F;

/**
 * Wraps a function, synchronous or not, in a circuit breaker: `this` and the arguments pass through. Where the circuit refuses
 * a call, the fallback answers, or `CircuitOpenError` is thrown (a rejected promise, where the function is asynchronous).
 *
 * The policy is text (TOML), settings, or compiled by the same registry.
 */
export function circuitBreaker<A extends unknown[], R, F = never, T = unknown>(
  run: (this: T, ...args: A) => R,
  policy: PolicyLike,
  options: CircuitBreakerOptions<F> = {},
): Guarded<A, R, F, T> {
  if (typeof run !== 'function') throw new TypeError(`circuitBreaker wraps a function: ${String(run)} is none`);
  const { name = run.name, registry = defaultRegistry(), onStateChange, conditions, ...guard } = options;
  if (name === '') throw new TypeError('the function has no name: give the breaker one by the option `name`');
  const breaker = registry.breaker(name, policy, conditions === undefined ? {} : { conditions });
  if (onStateChange !== undefined) breaker.on('state-change', onStateChange);
  const guarded = breaker.guard<F>(guard).wrap(run);
  return Object.defineProperty(guarded, 'breaker', { value: breaker, enumerable: true }) as unknown as Guarded<A, R, F, T>;
}
