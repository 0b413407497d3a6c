// One breaker per key, bounded: those that nobody has used for long retire to a snapshot, and come back from it.

import type { Breaker } from './breaker.js';
import type { Saved } from './component.js';
import type { Conditions } from './conditions.js';
import { ComponentFailure, RegistryError } from './errors.js';
import type { Policy } from './policy.js';

/** How a keyed family is bounded. */
export interface KeyedOptions {
  /** Breakers at work at most. Default 10,000. Beyond, the closed one that was used least recently retires; if none can, the overflow breaker serves. */
  liveMax?: number;
  /** Snapshots of retired ones that are kept. Default 100,000. Beyond, the one that retired first is forgotten: its key starts afresh. */
  retiredMax?: number;
  /** Bytes that those snapshots and their keys may have together. Default 64 MiB. */
  retiredBytesMax?: number;
  /** Makes the user's own conditions for a key, where the policy names some. */
  conditions?: (key: string) => Conditions;
}

interface Retired {
  saved: Saved;
  bytes: number;
}

/** The longest key, in characters: keys come from outside, and are kept. */
const KEY_CHARS_MAX = 1024;
/** Breakers that are looked at for one that may retire. */
const RETIRE_LOOKS_MAX = 16;

/** A family of breakers: one policy, a breaker per key. {@link Registry.keyed} makes it. */
export class Keyed {
  private readonly live = new Map<string, Breaker>();
  private readonly retired = new Map<string, Retired>();
  private retiredBytes = 0;
  private overflowBreaker: Breaker | undefined;
  private readonly bounds: Required<Omit<KeyedOptions, 'conditions'>>;

  /** @internal */
  constructor(
    /** The family's name. */
    readonly name: string,
    readonly policy: Policy,
    private readonly options: KeyedOptions,
    private readonly make: (name: string, conditions: Conditions | undefined, saved?: Saved) => Breaker,
    private readonly now: () => number,
  ) {
    const { liveMax = 10_000, retiredMax = 100_000, retiredBytesMax = 64 << 20 } = options;
    for (const [key, value] of Object.entries({ liveMax, retiredMax, retiredBytesMax })) {
      if (!Number.isInteger(value) || value < (key === 'liveMax' ? 1 : 0))
        throw new RegistryError(`${key} of "${name}" is ${String(value)}: a whole number is expected`);
    }
    this.bounds = { liveMax, retiredMax, retiredBytesMax };
  }

  /** Breakers at work, the overflow breaker among them once it was wanted. */
  get size(): number {
    return this.live.size + (this.overflowBreaker === undefined ? 0 : 1);
  }

  /** Snapshots of retired ones that are kept. */
  get retiredSize(): number {
    return this.retired.size;
  }

  /** Whether a key has a breaker at work. */
  has(key: string): boolean {
    return this.live.has(key);
  }

  /** A key's breaker. Don't keep it for long: ask again for each call, so that the family knows which keys are in use. */
  get(key: string): Breaker {
    const found = this.live.get(key);
    if (found !== undefined) {
      // Last in the map's order is used last.
      this.live.delete(key);
      this.live.set(key, found);
      return found;
    }
    if (typeof key !== 'string' || key.length > KEY_CHARS_MAX) {
      throw new RegistryError(
        `a key of "${this.name}" is ${typeof key === 'string' ? `${key.length} characters long` : `a ${typeof key}`}: ` +
          `text of at most ${KEY_CHARS_MAX} characters is expected`,
      );
    }
    if (this.live.size >= this.bounds.liveMax && !this.retireOne()) return this.overflow();
    const retired = this.retired.get(key);
    const name = `${this.name}/${key}`;
    const conditions = this.options.conditions?.(key);
    let breaker: Breaker;
    try {
      breaker = this.make(name, conditions, retired?.saved);
    } catch (failure) {
      if (!(failure instanceof ComponentFailure) || failure.kind !== 'refused') throw failure;
      if (!this.retireOne()) return this.overflow();
      breaker = this.make(name, conditions, retired?.saved);
    }
    if (retired !== undefined) this.forget(key, retired);
    this.live.set(key, breaker);
    return breaker;
  }

  /** The breaker that serves keys for which there is no room. */
  private overflow(): Breaker {
    this.overflowBreaker ??= this.make(`${this.name}/(overflow)`, this.options.conditions?.('(overflow)'));
    return this.overflowBreaker;
  }

  private forget(key: string, retired: Retired): void {
    this.retired.delete(key);
    this.retiredBytes -= retired.bytes;
  }

  /** Retires one that is closed, of those that were used least recently. */
  private retireOne(): boolean {
    let looks = 0;
    for (const [key, breaker] of this.live) {
      if ((looks += 1) > RETIRE_LOOKS_MAX) break;
      // A circuit that isn't closed must not be forgotten; a user's conditions can't be saved.
      if (breaker.state !== 'closed' || breaker.conditions !== undefined) continue;
      const saved = { bytes: breaker.snapshot(), at: this.now() };
      this.live.delete(key);
      breaker.leave();
      const bytes = key.length * 2 + saved.bytes.length;
      this.retired.set(key, { saved, bytes });
      this.retiredBytes += bytes;
      while (this.retired.size > this.bounds.retiredMax || this.retiredBytes > this.bounds.retiredBytesMax) {
        const [oldest] = this.retired;
        if (oldest === undefined) break;
        this.forget(...oldest);
      }
      return true;
    }
    return false;
  }

  /** Every breaker at work. */
  breakers(): Breaker[] {
    return [...this.live.values(), ...(this.overflowBreaker === undefined ? [] : [this.overflowBreaker])];
  }

  /** Closes the circuits of all that are at work, and forgets those that retired. */
  reset(): void {
    for (const breaker of this.breakers()) breaker.reset();
    this.retired.clear();
    this.retiredBytes = 0;
  }
}
