// A registry's health, as a load balancer or a person asks for it: how many circuits would admit a call now.

import type { State } from './types.js';

/** A named circuit's part in its registry's health. */
export interface CircuitHealth {
  name: string;
  /** Where it stands; `open` until somebody calls, though it may be available. */
  state: State;
  /** Whether it would admit a call now. */
  available: boolean;
  /** Failed calls by those that succeeded or failed, from 0 to 1; null where none has been yet, or the component failed. */
  failure_rate: number | null;
  trip_count: number | null;
  /** While open: what is left of the open period. */
  retry_after_seconds: number | null;
  /** Unless it is closed: why it last opened, in words. */
  reason: string | null;
  component_failure: string | null;
}

/** A keyed family's part. No key is named, since keys may be tenants, and health pages are public. */
export interface FamilyHealth {
  name: string;
  /** Whether fewer than half of its breakers at work would refuse a call now. */
  available: boolean;
  at_work: number;
  refusing: number;
}

/** As JSON: what a `/health` page shows. Keys are those of Softfuse's other hosts. */
export interface HealthReport {
  status: 'healthy' | 'unhealthy';
  /** As in `3/4 circuits healthy`. */
  summary: string;
  available: number;
  total: number;
  circuits: CircuitHealth[];
  families: FamilyHealth[];
}

/** The rule, for circuits and for a family's breakers: fewer than half of them are open, or there are none. */
export function fewerThanHalf(open: number, total: number): boolean {
  return total === 0 || open * 2 < total;
}

/** A registry's health at a moment: healthy while fewer than half of its circuits are open. A keyed family counts as one. */
export class Health {
  constructor(
    readonly circuits: CircuitHealth[],
    readonly families: FamilyHealth[],
  ) {}

  /** Named circuits and families. */
  get total(): number {
    return this.circuits.length + this.families.length;
  }

  /** Those of them that would admit a call now. */
  get available(): number {
    return [...this.circuits, ...this.families].filter((one) => one.available).length;
  }

  /** Whether fewer than half are open, or there are none. */
  get healthy(): boolean {
    return fewerThanHalf(this.total - this.available, this.total);
  }

  /** The HTTP status for it: 200 where it is healthy, else 503. */
  get statusCode(): 200 | 503 {
    return this.healthy ? 200 : 503;
  }

  /** As in `3/4 circuits healthy`. */
  toString(): string {
    return `${this.available}/${this.total} circuits healthy`;
  }

  /** For `JSON.stringify` and a `/health` page. */
  toJSON(): HealthReport {
    const { available, total, circuits, families } = this;
    return { status: this.healthy ? 'healthy' : 'unhealthy', summary: this.toString(), available, total, circuits, families };
  }
}
