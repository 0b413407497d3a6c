// Breakers by name, and what they share: the component, a clock, events, metrics.

import { Breaker, type Recorded } from './breaker.js';
import { type Clock, spanNanos, systemClock } from './clock.js';
import { Component, type Saved } from './component.js';
import { type Conditions, HeldConditions } from './conditions.js';
import { Emitter, Hub } from './emitter.js';
import { ComponentFailure, RegistryError } from './errors.js';
import { type CircuitHealth, type FamilyHealth, Health, fewerThanHalf } from './health.js';
import { Keyed, type KeyedOptions } from './keyed.js';
import { Tally, exposition } from './metrics.js';
import type { Home } from './operate.js';
import { Policy, type PolicySettings, policyText } from './policy.js';

export type { Recorded };

/** A registry's settings. */
export interface RegistryOptions {
  /** Default: the machine's. */
  clock?: Clock;
  /** Seeds the jitter beside a policy's seed and a breaker's name, so that replicas differ. Default: drawn at random. */
  salt?: bigint;
  /** What happens to calls while the component fails: `open` admits them unguarded, `closed` refuses them. Default `open`. */
  failureMode?: 'open' | 'closed';
  /** After how many records a snapshot is taken to come back from, besides the one after each change. Default 256. */
  snapshotEvery?: number;
  /** How long lies at least between two such snapshots, and how long outcomes wait at most while calls come. Default 1,000. */
  snapshotIntervalMs?: number;
  /** After how many calls a breaker asks for leases; `Infinity` for never. Default 16. */
  leaseAfter?: number;
  /** What breakers may take of the component's memory. Default 256 MiB. */
  componentBytesMax?: number;
  /** Whose latencies are measured: `all` calls', or those that a policy looks at, which saves reading the clock. Default `all`. */
  latencies?: 'all' | 'as-needed';
  /** Told what listeners throw. Default: `console.error`. */
  onListenerError?: (thrown: unknown) => void;
  /** The breaker component's core module, where another than the package's own is to be used. */
  module?: WebAssembly.Module;
}

/** What a breaker needs besides its policy. */
export interface BreakerOptions {
  /** The user's own conditions, by the names that the policy has for them. */
  conditions?: Conditions;
}

const OPTION_KEYS: ReadonlySet<string> = new Set<keyof RegistryOptions>([
  'clock',
  'salt',
  'failureMode',
  'snapshotEvery',
  'snapshotIntervalMs',
  'leaseAfter',
  'componentBytesMax',
  'latencies',
  'onListenerError',
  'module',
]);

/** Longest name, in characters. */
const NAME_CHARS_MAX = 1024;
/** Policies by text that are remembered, so that equal texts are compiled once. */
const TEXTS_MAX = 256;

/** A policy in any form: compiled, as text (TOML), or as settings. */
export type PolicyLike = Policy | string | PolicySettings;

function randomSalt(): bigint {
  const [salt] = globalThis.crypto.getRandomValues(new BigUint64Array(1));
  return salt ?? 0n;
}

function oneOf<T>(value: T, values: readonly T[], what: string): T {
  if (!values.includes(value)) throw new RegistryError(`${what} is ${String(value)}: ${values.map(String).join(' or ')} is expected`);
  return value;
}

function whole(value: number, least: number, what: string): number {
  if (value !== Infinity && (!Number.isInteger(value) || value < least))
    throw new RegistryError(`${what} is ${String(value)}: a whole number from ${least} is expected`);
  return value;
}

/** Breakers by name. Two users of one name share one breaker. */
export class Registry extends Emitter {
  /** Its clock. */
  readonly clock: Clock;
  private readonly home: Home;
  private readonly salt: bigint;
  private readonly hub: Hub;
  private readonly component: Component;
  private readonly named = new Map<string, Breaker>();
  private readonly families = new Map<string, Keyed>();
  private readonly tallies = new Map<string, Tally>();
  private readonly texts = new Map<string, Policy>();

  constructor(options: RegistryOptions = {}) {
    super();
    for (const key of Object.keys(options)) {
      if (!OPTION_KEYS.has(key)) throw new RegistryError(`there is no option "${key}" of a registry: there are ${[...OPTION_KEYS].join(', ')}`);
    }
    const { clock = systemClock, failureMode = 'open', latencies = 'all', leaseAfter = 16, snapshotEvery = 256 } = options;
    this.clock = clock;
    this.salt = options.salt ?? randomSalt();
    this.component = new Component(clock, whole(options.componentBytesMax ?? 256 << 20, 1, 'componentBytesMax'), options.module);
    this.hub = new Hub(this, options.onListenerError ?? ((thrown) => console.error('softfuse: a listener threw', thrown)));
    this.home = {
      clock,
      component: this.component,
      hub: this.hub,
      failureMode: oneOf(failureMode, ['open', 'closed'], 'failureMode'),
      leaseAfter: whole(leaseAfter, 0, 'leaseAfter'),
      snapshotEvery: whole(snapshotEvery, 1, 'snapshotEvery'),
      snapshotInterval: spanNanos(options.snapshotIntervalMs ?? 1000, 'snapshotIntervalMs'),
      latencies: oneOf(latencies, ['all', 'as-needed'], 'latencies'),
    };
  }

  /** Compiles a policy's text (TOML), or settings. `source` names it in messages. Throws {@link PolicyError} with all that is wrong. */
  policy(policy: PolicyLike, source?: string): Policy {
    if (policy instanceof Policy) return policy;
    const text = typeof policy === 'string' ? policy : policyText(policy);
    const from = source ?? (typeof policy === 'string' ? 'policy' : 'settings');
    const key = `${from}\n${text}`;
    const known = this.texts.get(key);
    if (known !== undefined) return known;
    const compiled = new Policy(this.component, from, text);
    if (this.texts.size >= TEXTS_MAX)
      for (const oldest of this.texts.keys()) {
        this.texts.delete(oldest);
        break;
      }
    this.texts.set(key, compiled);
    return compiled;
  }

  /** The breaker of this name, made where there is none yet. A name that has another policy is an error that names both. */
  breaker(name: string, policy: PolicyLike, options: BreakerOptions = {}): Breaker {
    const compiled = this.policy(policy);
    const found = this.named.get(name);
    if (found === undefined) return this.make(name, compiled, options);
    if (found.policy.fingerprint !== compiled.fingerprint) {
      throw new RegistryError(
        `"${name}" has the policy ${found.policy.source} already, and ${compiled.source} says something else: use one policy, or two names`,
      );
    }
    return found;
  }

  /**
   * Makes a breaker from a snapshot, which decides as the saved one would. `awayMs` is how long ago that was, by the wall clock
   * where the process changed. Its name must be free.
   */
  restore(name: string, policy: PolicyLike, snapshot: Uint8Array, options: BreakerOptions & { awayMs?: number } = {}): Breaker {
    const compiled = this.policy(policy);
    if (this.named.has(name)) throw new RegistryError(`there is a breaker "${name}" already: remove it first`);
    const away = spanNanos(options.awayMs ?? 0, 'awayMs');
    return this.make(name, compiled, options, { bytes: snapshot, at: this.clock.now() - away });
  }

  private checkName(name: string): void {
    if (typeof name !== 'string' || name === '' || name.length > NAME_CHARS_MAX) {
      throw new RegistryError(`the name is ${JSON.stringify(name)}: text of 1 to ${NAME_CHARS_MAX} characters is expected`);
    }
    if (this.tallies.has(name)) throw new RegistryError(`the name "${name}" is a keyed family's or a breaker's already`);
  }

  private make(name: string, policy: Policy, { conditions }: BreakerOptions, saved?: Saved): Breaker {
    this.checkName(name);
    const tally = new Tally(name, false);
    const breaker = this.seated(name, policy, conditions, tally, saved);
    tally.waiting = () => waitingOf([breaker]);
    this.tallies.set(name, tally);
    this.named.set(name, breaker);
    return breaker;
  }

  private seated(name: string, policy: Policy, conditions: Conditions | undefined, tally: Tally, saved?: Saved): Breaker {
    const held = HeldConditions.of(policy.hostConditions, conditions, name, policy.source);
    const breaker = new Breaker(policy, name, this.home, policy, this.salt, tally, held);
    try {
      breaker.settleIn(this.clock.now(), saved);
    } catch (failure) {
      tally.vanished('closed');
      // One that the component fails at now comes to sit in the next instance; its calls are as the failure mode says.
      if (!(failure instanceof ComponentFailure) || failure.kind === 'refused' || saved !== undefined) throw failure;
      tally.appeared('closed');
    }
    return breaker;
  }

  /** A family of breakers, one for each key. */
  keyed(name: string, policy: PolicyLike, options: KeyedOptions = {}): Keyed {
    const compiled = this.policy(policy);
    const found = this.families.get(name);
    if (found !== undefined) {
      if (found.policy.fingerprint === compiled.fingerprint) return found;
      throw new RegistryError(`the family "${name}" has the policy ${found.policy.source} already, and ${compiled.source} says something else`);
    }
    this.checkName(name);
    const tally = new Tally(name, true);
    const family = new Keyed(
      name,
      compiled,
      options,
      (key, conditions, saved) => this.seated(key, compiled, conditions, tally, saved),
      () => this.clock.now(),
    );
    tally.waiting = () => waitingOf(family.breakers());
    this.tallies.set(name, tally);
    this.families.set(name, family);
    return family;
  }

  /** The breaker of this name, if there is one. */
  get(name: string): Breaker | undefined {
    return this.named.get(name);
  }

  /** All named breakers, by name. */
  all(): Breaker[] {
    return [...this.named.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** All keyed families, by name. */
  allKeyed(): Keyed[] {
    return [...this.families.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Closes every circuit, or the one of this name: whether there was one. */
  reset(name?: string): boolean {
    if (name !== undefined) {
      const found = this.named.get(name) ?? this.families.get(name);
      found?.reset();
      return found !== undefined;
    }
    for (const one of [...this.named.values(), ...this.families.values()]) one.reset();
    return this.named.size + this.families.size > 0;
  }

  /** Forgets a breaker and its metrics: whether there was one. Who holds it may go on using it, as one that came back afresh. */
  remove(name: string): boolean {
    const found = this.named.get(name);
    if (found === undefined) return false;
    found.leave();
    this.named.delete(name);
    this.tallies.delete(name);
    return true;
  }

  /** How many circuits would admit a call now. Asking changes nothing, and takes no probe. */
  health(): Health {
    return new Health(this.all().map(circuitHealth), this.allKeyed().map(familyHealth));
  }

  /** All metrics, in the OpenMetrics text format that Prometheus reads; see {@link METRICS_CONTENT_TYPE}. */
  metricsText(): string {
    const { failures, restarts } = this.component;
    const tallies = [...this.tallies.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    return exposition(tallies, { componentFailures: failures, componentRestarts: restarts, eventsDropped: this.hub.dropped });
  }
}

function waitingOf(breakers: readonly Breaker[]): { successes: number; refused: number; entries: number } {
  const sum = { successes: 0, refused: 0, entries: 0 };
  for (const { lease } of breakers) {
    sum.successes += lease.successes;
    sum.refused += lease.refused;
    sum.entries += lease.successes + lease.lates;
  }
  return sum;
}

function circuitHealth(breaker: Breaker): CircuitHealth {
  const { name } = breaker;
  try {
    const { state, wouldRefuse, totals, tripCount, retryAfterMs, lastTrip } = breaker.status();
    const judged = totals.successes + totals.failures;
    return {
      name,
      state,
      available: !wouldRefuse,
      failure_rate: judged === 0 ? null : totals.failures / judged,
      trip_count: tripCount,
      retry_after_seconds: retryAfterMs === undefined ? null : retryAfterMs / 1000,
      reason: state === 'closed' ? null : (lastTrip?.text ?? null),
      component_failure: null,
    };
  } catch (failure) {
    const available = breaker.wouldRefuse() === undefined;
    return {
      name,
      state: breaker.state,
      available,
      failure_rate: null,
      trip_count: null,
      retry_after_seconds: null,
      reason: null,
      component_failure: String(failure),
    };
  }
}

function familyHealth(family: Keyed): FamilyHealth {
  const breakers = family.breakers();
  const refusing = breakers.filter((breaker) => breaker.state !== 'closed' && breaker.isOpen).length;
  return { name: family.name, available: fewerThanHalf(refusing, breakers.length), at_work: breakers.length, refusing };
}
