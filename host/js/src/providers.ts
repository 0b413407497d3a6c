// Providers of one service, in the order in which they are to be asked, each behind a breaker of its own; and calls that go from one to
// the next.

import type { Breaker } from './breaker.js';
import { classifyError, classifyValue, type Classified, type Ending } from './classify.js';
import { CircuitOpenError, InvalidScoreError } from './errors.js';
import type { FallbackCause, GuardOptions } from './guard-options.js';
import type { Permit } from './permit.js';
import type { Registry } from './registry.js';
import { type OutcomeKind, isFailure, isOutcomeKind, isScore } from './types.js';

/** Providers of a chain at most: a call may be made of each, one after the other. */
const PROVIDERS_MAX = 64;

/** Providers with the policies that the breakers for LLMs that came before Softfuse have for them, in the order in which they are asked. */
export const PROVIDER_PRESETS: readonly { readonly name: string; readonly policy: string }[] = Object.freeze([
  Object.freeze({ name: 'openai', policy: 'half_open_after = "60s"\ntrip_on = { consecutive_failures = 5 }\n' }),
  Object.freeze({ name: 'azure', policy: 'half_open_after = "60s"\ntrip_on = { consecutive_failures = 5 }\n' }),
  Object.freeze({ name: 'anthropic', policy: 'half_open_after = "120s"\ntrip_on = { consecutive_failures = 3 }\n' }),
]);

/** A provider that was tried in vain. */
export interface Tried {
  provider: string;
  /** Its breaker's refusal, a {@link CircuitOpenError}, or what the call threw. */
  error: unknown;
}

/** No provider gave an answer. */
export class NoProviderError extends Error {
  override readonly name = 'NoProviderError';

  constructor(
    /**
     * Those that were tried, in order, and why in vain. Those after them were not, where the last one's outcome was neutral, or a failure
     * under `moveOn: 'rejection'`.
     */
    readonly tried: readonly Tried[],
  ) {
    const each = tried.map(({ provider, error }) => {
      const verb = error instanceof CircuitOpenError ? 'refused' : 'failed';
      return `"${provider}" ${verb}: ${error instanceof Error ? error.message : String(error)}`;
    });
    super(`no provider gave an answer: ${each.join('; ') || 'none was named'}`, { cause: tried.at(-1)?.error });
  }

  /** When to try again, in milliseconds: the shortest wait that a refusal names. Undefined where none does. */
  get retryAfterMs(): number | undefined {
    const waits = this.tried.flatMap(({ error }) => (error instanceof CircuitOpenError ? (error.retryAfterMs ?? []) : []));
    return waits.length === 0 ? undefined : Math.min(...waits);
  }
}

/** One attempt of a call, at one provider. */
export interface Attempt {
  /** The provider to call. */
  provider: string;
  /** The permit of its breaker. Undefined for an unknown provider, whose calls are unguarded. */
  permit: Permit | undefined;
  /** The caller's. */
  signal: AbortSignal | undefined;
  /** Says how good the answer is. Of an unknown provider's answer nobody takes note. */
  reportQuality(score: number): void;
}

/** What calls of one kind need besides their providers: what a guard does for each, and when a call goes on to the next one. */
export interface ChainOptions extends Omit<GuardOptions, 'fallback' | 'fallbackValue' | 'ambient' | 'async' | 'stream'> {
  /**
   * `'failure'` (default): where a breaker refuses the call, where it fails, or is answered badly (see `replaceBelow`). `'rejection'`:
   * where it is refused; a call that was made is not made again. A neutral outcome ends the chain all the same: a request that is bad by
   * itself is bad for everyone.
   */
  moveOn?: 'failure' | 'rejection';
}

/** Of one call of a chain. */
export interface ChainCallOptions {
  /** The caller's own: where it is aborted the call ends, and the attempt under way is neutral. */
  signal?: AbortSignal;
  /** These providers, in this order, in the place of all. One that isn't in the chain is called unguarded, with a warning on the console. */
  among?: readonly string[];
}

/** Providers in the order in which they are to be asked, each with a breaker, whose name is the provider's. */
export class Providers {
  /** Their breakers, in order. */
  readonly breakers: readonly Breaker[];

  constructor(breakers: Iterable<Breaker>) {
    const all = [...breakers];
    if (all.length === 0) throw new RangeError('a chain has one provider at least, and none was named');
    if (all.length > PROVIDERS_MAX) throw new RangeError(`a chain has ${PROVIDERS_MAX} providers at most, and ${all.length} were named`);
    all.forEach(({ name }, at) => {
      if (all.findIndex((one) => one.name === name) < at) {
        throw new RangeError(`the provider "${name}" was named twice: each has its place in the order once`);
      }
    });
    this.breakers = Object.freeze(all);
  }

  /** OpenAI, then Azure, then Anthropic, with the policies of {@link PROVIDER_PRESETS}. */
  static presets(registry: Registry): Providers {
    return new Providers(PROVIDER_PRESETS.map(({ name, policy }) => registry.breaker(name, policy)));
  }

  /** The breaker of the provider of this name. */
  get(name: string): Breaker | undefined {
    return this.breakers.find((breaker) => breaker.name === name);
  }

  /** Those that would admit a call now, in order: an open circuit whose time has passed among them. Asking takes no probe. */
  available(): Breaker[] {
    return this.breakers.filter((breaker) => !breaker.isOpen);
  }

  /** Begins a chain for calls of one kind. Made once, used for many calls. */
  chain(options: ChainOptions = {}): Chain {
    return new Chain(this, options);
  }
}

/** What an attempt came to. */
interface Came {
  kind: OutcomeKind | undefined;
  cause: FallbackCause | undefined;
}

const INSTEAD = Symbol('the fallback was asked');

/**
 * Calls that go to the first provider that admits them, and on to the next where that one refuses or fails. Each provider is asked once at
 * most, and each attempt is an outcome of that provider's breaker. An answer that counts as a failure, or is bad, is kept while others are
 * asked: if none does better, the caller gets the best of them.
 */
export class Chain {
  private readonly guarding: Omit<ChainOptions, 'moveOn'>;
  private readonly onFailure: boolean;

  /** @internal */
  constructor(
    /** Those that are asked. */
    readonly providers: Providers,
    options: ChainOptions,
  ) {
    const { moveOn = 'failure', ...guarding } = options;
    if (moveOn !== 'failure' && moveOn !== 'rejection') throw new RangeError(`moveOn is ${String(moveOn)}: 'failure' or 'rejection' is expected`);
    for (const key of ['fallback', 'fallbackValue', 'ambient', 'async', 'stream']) {
      if (Object.hasOwn(guarding, key)) throw new TypeError(`there is no option "${key}" of a chain`);
    }
    this.onFailure = moveOn === 'failure';
    this.guarding = guarding;
    // What is wrong with them is said now, and not with the first call.
    for (const breaker of providers.breakers) breaker.guard(guarding);
  }

  /** Makes the call: it runs once for each provider that admits it. Rejects with {@link NoProviderError} where none gave an answer. */
  async call<R>(call: (attempt: Attempt) => R | PromiseLike<R>, options: ChainCallOptions = {}): Promise<R> {
    const { signal, among } = options;
    const tried: Tried[] = [];
    let kept: { value: R; score: number } | undefined;
    const keep = (value: R, score: number): void => {
      if (kept === undefined || score > kept.score) kept = { value, score };
    };
    for (const provider of among ?? this.providers.breakers.map(({ name }) => name)) {
      // Whoever gave up wants no other answer.
      if (signal?.aborted === true) {
        if (kept === undefined) throw signal.reason;
        break;
      }
      const came: Came = { kind: undefined, cause: undefined };
      try {
        const value = await this.attempt(provider, call, signal, came);
        if (value !== INSTEAD && !(this.onFailure && came.kind !== undefined && isFailure(came.kind))) return value as R;
        if (value !== INSTEAD) keep(value as R, -Infinity);
        else if (came.cause?.kind === 'bad-answer') {
          if (!this.onFailure) return came.cause.answer as R;
          keep(came.cause.answer as R, came.cause.score);
        } else {
          tried.push({ provider, error: came.cause?.error });
          if (came.cause?.kind === 'tripped' && !this.onFailure) break;
        }
      } catch (error) {
        tried.push({ provider, error });
        if (!this.onFailure || came.kind === undefined || !isFailure(came.kind)) break;
      }
    }
    if (kept !== undefined) return kept.value;
    throw new NoProviderError(tried);
  }

  private async attempt(name: string, call: (attempt: Attempt) => unknown, signal: AbortSignal | undefined, came: Came): Promise<unknown> {
    const { classify } = this.guarding;
    const classified = (ending: Ending): Classified => {
      came.kind = ending.ok ? (classifyValue(ending.value)?.kind ?? 'success') : classifyError(ending.error, signal).kind;
      const said = classify?.(ending);
      const kind = typeof said === 'object' ? said.kind : said;
      if (isOutcomeKind(kind)) came.kind = kind;
      return said;
    };
    const breaker = this.providers.get(name);
    if (breaker === undefined) return this.unguarded(name, call, signal, classified);
    const guard = breaker.guard<typeof INSTEAD>({
      ...this.guarding,
      async: true,
      classify: classified,
      fallback: (cause) => {
        came.cause = cause;
        return INSTEAD;
      },
    });
    const run = (permit: Permit): unknown =>
      call({ provider: name, permit, signal, reportQuality: (score) => void permit.reportQuality(score) });
    return guard.call(run, signal === undefined ? undefined : { signal });
  }

  private async unguarded(
    name: string,
    call: (attempt: Attempt) => unknown,
    signal: AbortSignal | undefined,
    classified: (ending: Ending) => Classified,
  ): Promise<unknown> {
    console.warn(`softfuse: the provider "${name.slice(0, 256)}" isn't in the chain, and is called unguarded`);
    const reportQuality = (score: number): void => {
      if (!isScore(score)) throw new InvalidScoreError(score);
    };
    const noted = (ending: Ending): void => {
      try {
        classified(ending);
      } catch {
        // The kind is the default's then.
      }
    };
    try {
      const value = await call({ provider: name, permit: undefined, signal, reportQuality });
      noted({ ok: true, value });
      return value;
    } catch (error) {
      noted({ ok: false, error });
      throw error;
    }
  }
}
