// Policies: text that the component compiles, from a file, by hand, or from a builder.

import type { Component } from './component.js';
import { PolicyError } from './errors.js';

/** A span: milliseconds as a number, or text such as `"1m30s"`. */
export type Span = number | string;

/** What a condition looks at. */
export interface WindowSettings {
  /** So many calls, or a span such as `"60s"`. Default 20 calls. */
  window?: number | string;
  /** The samples that it takes before the condition can hold. */
  minimumCalls?: number;
  /** Of a window by time: into how many slices it is cut. */
  slices?: number;
}

/** A condition's settings, by the names of the policy's text in camel case. */
export type ConditionSettings =
  | { qualityBelow: number | ({ threshold: number } & WindowSettings) }
  | { latencyAbove: number | ({ thresholdMs: number } & WindowSettings) }
  | { errorRateAbove: number | ({ rate: number } & WindowSettings) }
  | { slowCallRateAbove: { rate: number; thresholdMs: number } & WindowSettings }
  | { consecutiveFailures: number | { count: number } }
  | { hostCondition: string }
  | { anyOf: readonly ConditionSettings[] }
  | { allOf: readonly ConditionSettings[] };

/** A policy as an object: the keys of the policy's text in camel case. What it means is the component's to say, as for text. */
export interface PolicySettings {
  tripOn: ConditionSettings;
  /** How long an open circuit refuses before it probes. Default 60 s. */
  halfOpenAfter?: Span;
  halfOpenMaxCalls?: number;
  recoveryThreshold?: number;
  probeTimeout?: Span;
  retryAfterMax?: Span;
  requireQualitySignal?: boolean;
  missingScore?: number;
  backoff?: { multiplier?: number; max?: Span; jitter?: number; seed?: number };
  [key: string]: unknown;
}

/** The mean score of a full window is below the threshold. */
export function qualityBelow(threshold: number, options: WindowSettings = {}): ConditionSettings {
  return { qualityBelow: { threshold, ...options } };
}

/** All latencies of a full window exceed the threshold, in milliseconds. */
export function latencyAbove(thresholdMs: number, options: WindowSettings = {}): ConditionSettings {
  return { latencyAbove: { thresholdMs, ...options } };
}

/** The share of failures in a full window exceeds the rate. */
export function errorRateAbove(rate: number, options: WindowSettings = {}): ConditionSettings {
  return { errorRateAbove: { rate, ...options } };
}

/** The share of calls of a full window that took longer than the threshold, in milliseconds, exceeds the rate. */
export function slowCallRateAbove(rate: number, thresholdMs: number, options: WindowSettings = {}): ConditionSettings {
  return { slowCallRateAbove: { rate, thresholdMs, ...options } };
}

/** So many calls in a row failed. */
export function consecutiveFailures(count: number): ConditionSettings {
  return { consecutiveFailures: count };
}

/** A condition of the user's own holds, which is handed in under this name. */
export function hostCondition(name: string): ConditionSettings {
  return { hostCondition: name };
}

/** Any of these holds. */
export function anyOf(...conditions: ConditionSettings[]): ConditionSettings {
  return { anyOf: conditions };
}

/** All of these hold. */
export function allOf(...conditions: ConditionSettings[]): ConditionSettings {
  return { allOf: conditions };
}

/** Tables within tables at most. */
const DEPTH_MAX = 64;

/** Settings in milliseconds become text with a unit, since the policy's plain numbers are seconds. */
const SPANS: ReadonlySet<string> = new Set(['half_open_after', 'probe_timeout', 'retry_after_max', 'max']);

function snake(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function toml(value: unknown, path: string, key: string, depth: number): string {
  const wrong = (message: string): never => {
    throw new PolicyError('settings', [{ line: 0, column: 0, key: path, message }]);
  };
  if (depth > DEPTH_MAX) wrong(`conditions may be nested ${DEPTH_MAX} deep`);
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value).replaceAll('\u007f', '\\u007F');
    case 'boolean':
      return String(value);
    case 'number': {
      if (!Number.isFinite(value)) return wrong(`is ${value}: a finite number is expected`);
      if (SPANS.has(key)) return JSON.stringify(`${decimal(value)}ms`);
      return decimal(value);
    }
    case 'object': {
      if (value === null) return wrong('is null: leave it out');
      if (Array.isArray(value)) return `[${value.map((item, place) => toml(item, `${path}[${place}]`, key, depth + 1)).join(', ')}]`;
      const pairs = Object.entries(value).filter(([, inner]) => inner !== undefined);
      return `{ ${pairs.map(([name, inner]) => `${bare(name)} = ${toml(inner, `${path}.${snake(name)}`, snake(name), depth + 1)}`).join(', ')} }`;
    }
    default:
      return wrong(`is a ${typeof value}: a number, text, or settings are expected`);
  }
}

/** A number without an exponent where that is short. */
function decimal(value: number): string {
  const text = String(value);
  return text.includes('e') ? value.toFixed(20).replace(/\.?0+$/, '') : text;
}

function bare(key: string): string {
  const name = snake(key);
  return /^[A-Za-z0-9_-]+$/.test(name) ? name : JSON.stringify(name);
}

/** A policy's text from settings, as one would write it. */
export function policyText(settings: PolicySettings): string {
  if (typeof settings !== 'object' || settings === null || Array.isArray(settings)) {
    throw new PolicyError('settings', [{ line: 0, column: 0, key: '', message: 'settings are an object with `tripOn`' }]);
  }
  const lines = Object.entries(settings).filter(([, value]) => value !== undefined);
  return `${lines.map(([key, value]) => `${bare(key)} = ${toml(value, snake(key), snake(key), 0)}`).join('\n')}\n`;
}

let uids = 0;

/** A policy that was compiled. Immutable; any number of breakers may have it. */
export class Policy {
  /** @internal */
  readonly uid = (uids += 1);
  /** Equal for equal meaning. */
  readonly fingerprint: bigint;
  /** The names of the user's own conditions, each once. */
  readonly hostConditions: readonly string[];
  /** Whether any condition looks at scores: where not, no scorer need run. */
  readonly usesScores: boolean;
  /** Whether a success without a score is recorded as the policy's `missing_score`. */
  readonly requireQualitySignal: boolean;

  /** @internal */
  constructor(
    component: Component,
    /** Where the text came from, for messages. */
    readonly source: string,
    /** The text. */
    readonly text: string,
  ) {
    const info = component.load(this);
    this.fingerprint = info.fingerprint;
    this.hostConditions = info.hostConditions;
    this.usesScores = info.usesScores;
    this.requireQualitySignal = info.requireQualitySignal;
  }
}
