// Time as breakers see it: nanoseconds of a monotonic clock, as plain numbers.
//
// A double counts nanoseconds exactly for 104 days from the clock's origin, the start of the process. After that times are
// even numbers of nanoseconds, after 208 days multiples of four, and so on: still monotonic, still integers, so that nothing
// but the last digit of a latency is lost. That is why the hot path needs no BigInt.

/** A clock. Breakers ask it for the time and never for anything else. */
export interface Clock {
  /** Nanoseconds from any origin, a whole number that never becomes smaller. */
  now(): number;
}

/** Milliseconds as the contract's nanoseconds. */
export const NANOS_PER_MS = 1e6;

const performanceClock = globalThis.performance;

/** The clock of the machine: `performance.now()`. */
export const systemClock: Clock = {
  now: () => Math.floor(performanceClock.now() * NANOS_PER_MS),
};

/** A clock that stands still until it is told otherwise: for tests, and to replay what was recorded. */
export class ManualClock implements Clock {
  #nanos: number;

  /** Begins at so many milliseconds. */
  constructor(startMs = 0) {
    this.#nanos = spanNanos(startMs, 'startMs');
  }

  now(): number {
    return this.#nanos;
  }

  /** Moves on. Fractions of a millisecond count, to the nanosecond. */
  advanceMs(ms: number): void {
    this.#nanos += spanNanos(ms, 'ms');
  }

  /** Sets the time, in milliseconds from the origin; backwards, too: breakers then go by the latest time that they saw. */
  setMs(ms: number): void {
    this.#nanos = spanNanos(ms, 'ms');
  }

  /** Sets the time in whole nanoseconds. */
  setNanos(nanos: number): void {
    if (!Number.isInteger(nanos) || nanos < 0) throw new RangeError(`nanos is ${nanos}: a whole number from 0 is expected`);
    this.#nanos = nanos;
  }
}

/** A span in milliseconds as whole nanoseconds, or an error that names what it was given for. */
export function spanNanos(ms: number, what: string): number {
  if (typeof ms !== 'number' || !(ms >= 0)) throw new RangeError(`${what} is ${String(ms)}: a number of milliseconds from 0 is expected`);
  return Math.round(ms * NANOS_PER_MS);
}

const NANOS_MAX = 2 ** 63;

/** Whole nanoseconds as they cross to the component. */
export function toWit(nanos: number): bigint {
  return nanos >= NANOS_MAX ? 0x7fffffffffffffffn : BigInt(nanos);
}

/** The contract's nanoseconds as milliseconds. */
export function toMs(nanos: bigint): number {
  return Number(nanos) / NANOS_PER_MS;
}
