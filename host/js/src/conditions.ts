// A user's own conditions: code that sees every record and may hold, as a leaf of the policy.

import { RegistryError } from './errors.js';
import type { OutcomeKind } from './types.js';

/** One settled call, as a condition sees it. */
export interface CallRecord {
  /** A success or a failure. Neutral outcomes are not shown. */
  kind: OutcomeKind;
  latencyMs: number;
  /** Its score, where it had one when it was settled. */
  score: number | undefined;
  /** When it was settled, on the breaker's clock. */
  atMs: number;
}

/**
 * A condition of the user's own, which a policy names by `host_condition = "name"`. It sees every record that takes its place
 * in the windows. It must not call its breaker. If it throws, it counts as not holding, and that is told as an event.
 */
export interface Condition {
  /** Takes a record. The reason, where the condition holds now; 1,024 bytes of it are kept. */
  record(call: CallRecord): string | undefined;
  /** Forgets all records: the circuit went half-open, closed, or was reset. */
  reset(): void;
}

/** Conditions by the names that the policy has for them. */
export type Conditions = Readonly<Record<string, Condition>>;

const REASON_BYTES_MAX = 1024;

/** A breaker's conditions, in the order in which its policy asks for their verdicts. */
export class HeldConditions {
  private constructor(private readonly held: readonly { name: string; condition: Condition }[]) {}

  /** Matches what was handed in with what the policy names. None where it names none. */
  static of(names: readonly string[], given: Conditions | undefined, breaker: string, source: string): HeldConditions | undefined {
    const conditions = given ?? {};
    const held = names.map((name) => {
      const condition = Object.hasOwn(conditions, name) ? conditions[name] : undefined;
      if (condition === undefined) {
        throw new RegistryError(`"${breaker}" needs the condition "${name}", which its policy ${source} names: hand it in by \`conditions\``);
      }
      if (typeof condition.record !== 'function' || typeof condition.reset !== 'function') {
        throw new RegistryError(`the condition "${name}" of "${breaker}" needs the methods record(call) and reset()`);
      }
      return { name, condition };
    });
    for (const name of Object.keys(conditions)) {
      if (!names.includes(name)) throw new RegistryError(`the policy ${source} of "${breaker}" names no condition "${name}"`);
    }
    return held.length === 0 ? undefined : new HeldConditions(held);
  }

  /** As many verdicts as the policy asks for, none of which holds. */
  none(): undefined[] {
    return this.held.map(() => undefined);
  }

  /** Shows every condition the record. */
  record(call: CallRecord, onThrown: (condition: string, thrown: unknown) => void): (string | undefined)[] {
    return this.held.map(({ name, condition }) => {
      try {
        const reason: unknown = condition.record(call);
        if (reason === undefined || reason === null || reason === false) return undefined;
        if (typeof reason !== 'string') throw new TypeError(`record() returned ${String(reason)}: a reason, or undefined, is expected`);
        return shortened(reason);
      } catch (thrown) {
        onThrown(name, thrown);
        return undefined;
      }
    });
  }

  reset(onThrown: (condition: string, thrown: unknown) => void): void {
    for (const { name, condition } of this.held) {
      try {
        condition.reset();
      } catch (thrown) {
        onThrown(name, thrown);
      }
    }
  }
}

/** A text as the component would cut it: with dots where something is missing. */
export function shortened(text: string): string {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= REASON_BYTES_MAX) return text;
  let end = REASON_BYTES_MAX - 3;
  while (end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end -= 1;
  return `${new TextDecoder().decode(bytes.subarray(0, end))}...`;
}
