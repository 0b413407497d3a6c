// The breaker component at work: instances of it, the policies that they have compiled, and what happens when one fails.

import { spanNanos, toWit, type Clock } from './clock.js';
import { instantiate } from './component/breaker.js';
import type * as wit from './component/interfaces/softfuse-breaker-breaker.js';
import { ComponentFailure, type PolicyProblem, PolicyError, RestoreError } from './errors.js';

/** The component's functions. */
export type Api = typeof wit;

/** The core module of the component that comes with the package; the entry for each environment sets it. */
let ownModule: WebAssembly.Module | undefined;

/** Sets the core module that registries use by default. */
export function setCoreModule(module: WebAssembly.Module): void {
  ownModule = module;
}

/** Compiled policies that an instance keeps; beyond, the one that was compiled first is compiled again when it is needed. */
const POLICIES_MAX = 256;
/** So many failures within this time, in nanoseconds, and the component rests. */
const FAILURES_MAX = 3;
const FAILURES_WITHIN = 10e9;
/** The first rest; each that follows is twice as long, up to the last. */
const REST = 1e9;
const REST_MAX = 60e9;
/** What a breaker takes beside its windows: the table, the allocator, a first trip. */
const BREAKER_BYTES_BESIDE = 512;

/** What a result's error carries, where a call of the component ended in one; undefined for anything else that was thrown. */
export function payloadOf(thrown: unknown): unknown {
  if (thrown instanceof Error && Object.hasOwn(thrown, 'payload')) return (thrown as Error & { payload: unknown }).payload;
  return undefined;
}

/** What the host keeps of a policy, for whichever instance needs it. */
export interface PolicySource {
  readonly uid: number;
  readonly source: string;
  readonly text: string;
}

/** A snapshot and when it was taken, in nanoseconds of the registry's clock. */
export interface Saved {
  bytes: Uint8Array;
  at: number;
}

/** Who sits in an instance. */
export interface Seat {
  incarnation: number;
  id: number;
}

/** The component of a registry: one instance at a time, replaced when it fails. */
export class Component {
  /** Counts instances from 1. */
  incarnation = 0;
  failures = new Map<string, number>();
  restarts = 0;
  private api: Api | undefined;
  private policies = new Map<number, { id: number; bytes: number }>();
  private claimed = 0;
  private failedAt: number[] = [];
  private rests = 0;
  private restingUntil = -1;
  private startedAt = 0;
  private lastFailure = '';

  constructor(
    private readonly clock: Clock,
    private readonly bytesMax: number,
    private readonly module?: WebAssembly.Module,
  ) {}

  /** The instance at work; a new one where the last has failed, unless the component rests. */
  live(): Api {
    if (this.api !== undefined) return this.api;
    const module = this.module ?? ownModule;
    if (module === undefined) throw new Error('no breaker component is loaded: import "softfuse", not one of its inner files');
    const now = this.clock.now();
    if (now < this.restingUntil) {
      const rest = Math.ceil((this.restingUntil - now) / 1e6);
      throw new ComponentFailure('resting', `the breaker component failed too often and rests for ${rest} ms; last: ${this.lastFailure}`);
    }
    let root;
    try {
      root = instantiate(() => module, {});
    } catch (error) {
      throw this.fail(error);
    }
    this.incarnation += 1;
    if (this.incarnation > 1) this.restarts += 1;
    this.policies.clear();
    this.claimed = 0;
    this.startedAt = now;
    return (this.api = root.breaker);
  }

  /** Gives the instance up. An instance that has failed can't be entered again. */
  fail(cause: unknown): ComponentFailure {
    const failure =
      cause instanceof ComponentFailure ? cause : new ComponentFailure('trap', `the breaker component failed: ${String(cause)}`, { cause });
    this.failures.set(failure.kind, (this.failures.get(failure.kind) ?? 0) + 1);
    this.lastFailure = failure.message;
    const lived = this.api !== undefined;
    this.api = undefined;
    const now = this.clock.now();
    if (lived && now - this.startedAt > REST_MAX) this.rests = 0;
    this.failedAt.push(now);
    if (this.failedAt.length > FAILURES_MAX) this.failedAt.shift();
    const many = this.failedAt.length >= FAILURES_MAX && now - (this.failedAt[0] as number) <= FAILURES_WITHIN;
    if (many || this.rests > 0) {
      this.restingUntil = now + Math.min(REST * 2 ** Math.min(this.rests, 20), REST_MAX);
      this.rests += 1;
      this.failedAt = [];
    }
    return failure;
  }

  /** Calls the instance. What it answers as an error of its contract comes back by `refused`; anything else that it throws ends it. */
  call<T>(run: (api: Api) => T, refused?: (payload: any) => T): T {
    const api = this.live();
    try {
      return run(api);
    } catch (thrown) {
      const payload = payloadOf(thrown);
      if (payload !== undefined && refused !== undefined) {
        try {
          return refused(payload);
        } catch (failure) {
          if (failure instanceof ComponentFailure && failure.kind === 'nonsense') this.fail(failure);
          throw failure;
        }
      }
      throw this.fail(payload === undefined ? thrown : nonsense(`an answer that it doesn't have: ${JSON.stringify(payload)}`));
    }
  }

  /** Compiles a policy, or says all that is wrong with it. */
  load(policy: PolicySource): wit.PolicyInfo {
    const problems: PolicyProblem[] = [];
    const info = this.call<wit.PolicyInfo | undefined>(
      (api) => api.loadPolicy(policy.text),
      (payload: wit.PolicyProblem[]) => {
        problems.push(...payload);
        return undefined;
      },
    );
    if (info === undefined) throw new PolicyError(policy.source, problems);
    if (this.policies.size >= POLICIES_MAX) {
      const [oldest] = this.policies.entries();
      if (oldest !== undefined) {
        this.policies.delete(oldest[0]);
        this.call((api) => api.dropPolicy(oldest[1].id));
      }
    }
    this.policies.set(policy.uid, { id: info.id, bytes: Number(info.breakerBytes) });
    return info;
  }

  private known(policy: PolicySource): { id: number; bytes: number } {
    this.live();
    const known = this.policies.get(policy.uid);
    if (known !== undefined) return known;
    this.load(policy);
    return this.policies.get(policy.uid) as { id: number; bytes: number };
  }

  /** What a breaker of a policy claims of the component's memory. */
  claim(policy: PolicySource): number {
    return this.known(policy).bytes + BREAKER_BYTES_BESIDE;
  }

  private room(policy: PolicySource): { id: number; bytes: number } {
    const known = this.known(policy);
    const claim = known.bytes + BREAKER_BYTES_BESIDE;
    if (this.claimed + claim > this.bytesMax) {
      throw new ComponentFailure(
        'refused',
        `there is no room for another breaker: with full windows they would take up to ${this.claimed + claim} bytes of ` +
          `${this.bytesMax} that they may have; \`componentBytesMax\` sets the bound`,
      );
    }
    return known;
  }

  /** Makes a breaker. */
  create(policy: PolicySource, name: string, salt: bigint, now: number): Seat {
    const { id: policyId, bytes } = this.room(policy);
    const id = this.call(
      (api) => api.create(policyId, name, salt, toWit(now)),
      (payload: wit.CreateError): number => {
        throw new ComponentFailure('refused', payload.tag === 'too-many' ? `${payload.val} breakers exist, and no more can` : payload.tag);
      },
    );
    this.claimed += bytes + BREAKER_BYTES_BESIDE;
    return { incarnation: this.incarnation, id };
  }

  /** Makes a breaker from a snapshot. A {@link RestoreError} leaves the instance at work. */
  restore(policy: PolicySource, saved: Saved, now: number, away: number): Seat {
    const { id: policyId, bytes } = this.room(policy);
    const id = this.call(
      (api) => api.restore(policyId, saved.bytes, toWit(now), toWit(away)),
      (payload: wit.RestoreError): number => {
        throw restoreError(payload, policy.source);
      },
    );
    this.claimed += bytes + BREAKER_BYTES_BESIDE;
    return { incarnation: this.incarnation, id };
  }

  /** Forgets a breaker. */
  drop(seat: Seat, policy: PolicySource): void {
    if (this.api === undefined || seat.incarnation !== this.incarnation) return;
    this.call((api) => api.dropBreaker(seat.id));
    this.claimed -= this.claim(policy);
  }
}

/** The component has broken its contract. */
export function nonsense(what: string): ComponentFailure {
  return new ComponentFailure('nonsense', `the breaker component doesn't keep its contract: ${what}`);
}

function restoreError(error: wit.RestoreError, source: string): RestoreError {
  switch (error.tag) {
    case 'not-a-snapshot':
      return new RestoreError(error.tag, 'these bytes are not a snapshot of a breaker');
    case 'unknown-version':
      return new RestoreError(error.tag, `the snapshot has the format's version ${error.val}, which this component doesn't read`);
    case 'corrupt':
      return new RestoreError(error.tag, `the snapshot is damaged: ${error.val}`);
    case 'policy-differs':
      return new RestoreError(error.tag, `the snapshot was taken under another policy than ${source}, of the fingerprint ${error.val}`);
    case 'too-many':
      return new RestoreError(error.tag, `${error.val} breakers exist, and no more can`);
    case 'unknown-policy':
      return new RestoreError('other', 'its policy is not known');
    case 'other':
      return new RestoreError('other', error.val);
  }
}

/** A span of milliseconds that may be left out. */
export function optionalSpan(ms: number | undefined, what: string): bigint | undefined {
  return ms === undefined ? undefined : toWit(spanNanos(ms, what));
}
