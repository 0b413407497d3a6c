// Events in the order in which they happened, handed out one at a time. What a listener throws never reaches a guarded call.

import type { BreakerEvents } from './types.js';

/** A listener to one kind of event. */
export type Listener<K extends keyof BreakerEvents> = (event: BreakerEvents[K]) => void;

type AnyListener = (event: any) => void;

/** Whoever can be listened to. */
export class Emitter {
  private listeners: Map<keyof BreakerEvents, Set<AnyListener>> | undefined;

  /** Listens, until what it returns is called. */
  on<K extends keyof BreakerEvents>(kind: K, listener: Listener<K>): () => void {
    this.listeners ??= new Map();
    let some = this.listeners.get(kind);
    if (some === undefined) this.listeners.set(kind, (some = new Set()));
    some.add(listener);
    return () => this.off(kind, listener);
  }

  /** Listens once. */
  once<K extends keyof BreakerEvents>(kind: K, listener: Listener<K>): () => void {
    const off = this.on(kind, (event) => {
      off();
      listener(event);
    });
    return off;
  }

  /** Listens no more. */
  off<K extends keyof BreakerEvents>(kind: K, listener: Listener<K>): void {
    this.listeners?.get(kind)?.delete(listener);
  }

  /** @internal */
  emit(kind: keyof BreakerEvents, event: unknown, onThrown: (thrown: unknown) => void): void {
    const some = this.listeners?.get(kind);
    if (some === undefined) return;
    for (const listener of [...some]) {
      try {
        listener(event);
      } catch (thrown) {
        onThrown(thrown);
      }
    }
  }
}

/** One event, for its breaker's listeners and its registry's. */
export interface Told {
  kind: keyof BreakerEvents;
  event: unknown;
  breaker: Emitter;
}

/** Events that may wait while listeners are slow or make more of them. */
const WAITING_MAX = 1024;

/** A registry's events. A listener may call breakers: what happens by that is told after what it is being told. */
export class Hub {
  dropped = 0;
  private readonly waiting: Told[] = [];
  private delivering = false;

  constructor(
    private readonly registry: Emitter,
    private readonly onThrown: (thrown: unknown) => void,
  ) {}

  tell(told: readonly Told[]): void {
    for (const one of told) {
      if (this.waiting.length < WAITING_MAX) this.waiting.push(one);
      else this.dropped += 1;
    }
    if (this.delivering) return;
    this.delivering = true;
    try {
      for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift()) {
        next.breaker.emit(next.kind, next.event, this.thrown);
        this.registry.emit(next.kind, next.event, this.thrown);
      }
    } finally {
      this.delivering = false;
    }
  }

  private readonly thrown = (thrown: unknown): void => {
    try {
      this.onThrown(thrown);
    } catch {
      // Whoever is told of errors must not make any.
    }
  };
}
