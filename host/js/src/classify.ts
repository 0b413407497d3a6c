// What a call's end means where its user doesn't say: thrown errors and HTTP responses, by what is common among JavaScript's
// clients.

import { type Outcome, type OutcomeKind } from './types.js';

/** What a `classify` function may answer: a kind, or an outcome in full; undefined leaves it to the defaults. */
export type Classified = OutcomeKind | Outcome | undefined;

/** How a call has ended, for a `classify` function. */
export type Ending<R = unknown> = { ok: true; value: R } | { ok: false; error: unknown };

const SECONDS_MAX = 1e9;

/** What an HTTP status means: undefined for a success. */
export function classifyStatus(status: number): OutcomeKind | undefined {
  if (status === 429) return 'rate-limited';
  if (status === 503 || status === 529) return 'overloaded';
  if (status === 408 || status === 504) return 'timeout';
  // The request was bad by itself: it would be so anywhere.
  if (status === 400 || status === 413 || status === 414 || status === 415 || status === 422) return 'bad-request';
  if (status === 499) return 'cancelled';
  if (status >= 400) return 'error';
  return undefined;
}

interface HeadersLike {
  get(name: string): string | null;
}

function header(headers: unknown, name: string): string | undefined {
  if (typeof headers !== 'object' || headers === null) return undefined;
  if (typeof (headers as HeadersLike).get === 'function') return (headers as HeadersLike).get(name) ?? undefined;
  const plain = (headers as Record<string, unknown>)[name];
  return typeof plain === 'string' ? plain : undefined;
}

/** How long a service asks not to be called, in milliseconds: `retry-after-ms`, or `Retry-After` in seconds or as a date. */
export function retryAfterMs(headers: unknown, wallClockMs: number = Date.now()): number | undefined {
  const millis = header(headers, 'retry-after-ms');
  if (millis !== undefined && /^\d+(\.\d+)?$/.test(millis.trim())) return Math.min(Number(millis), SECONDS_MAX * 1000);
  const after = header(headers, 'retry-after')?.trim();
  if (after === undefined || after === '') return undefined;
  if (/^\d+(\.\d+)?$/.test(after)) return Math.min(Number(after), SECONDS_MAX) * 1000;
  const date = Date.parse(after);
  return Number.isNaN(date) ? undefined : Math.min(Math.max(0, date - wallClockMs), SECONDS_MAX * 1000);
}

function withHint(kind: OutcomeKind, headers: unknown): Outcome {
  return { kind, retryAfterMs: kind === 'bad-request' || kind === 'cancelled' ? undefined : retryAfterMs(headers) };
}

/** What a `Response` means, its `Retry-After` included. */
export function classifyResponse(response: { readonly status: number; readonly headers?: unknown }): Outcome {
  const kind = classifyStatus(response.status);
  return kind === undefined ? { kind: 'success' } : withHint(kind, response.headers);
}

const POLICY_CODES: ReadonlySet<unknown> = new Set(['content_filter', 'content_policy_violation', 'content_policy']);
const TIMEOUT_CODES: ReadonlySet<unknown> = new Set([
  'ETIMEDOUT',
  'ESOCKETTIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
]);

/**
 * What a thrown error means. `AbortError`, and whatever the caller's own signal was aborted with: cancelled, which is neutral;
 * `TimeoutError`: a timeout. Errors with an HTTP status (`status`, `statusCode` or `response.status`) by that; everything else
 * is a failure.
 */
export function classifyError(error: unknown, signal?: AbortSignal): Outcome {
  if (typeof error !== 'object' || error === null) {
    return { kind: signal?.aborted === true && error === signal.reason ? 'cancelled' : 'error' };
  }
  const { name, code, cause } = error as { name?: unknown; code?: unknown; cause?: unknown };
  if (name === 'TimeoutError' || TIMEOUT_CODES.has(code)) return { kind: 'timeout' };
  if (signal?.aborted === true && (error === signal.reason || name === 'AbortError')) {
    const reason: unknown = signal.reason;
    return { kind: reason instanceof Error && reason.name === 'TimeoutError' ? 'timeout' : 'cancelled' };
  }
  if (name === 'AbortError') return { kind: 'cancelled' };
  if (POLICY_CODES.has(code)) return { kind: 'content-policy' };
  const { status, statusCode, response, headers } = error as {
    status?: unknown;
    statusCode?: unknown;
    response?: { status?: unknown; headers?: unknown };
    headers?: unknown;
  };
  const found = [status, statusCode, response?.status].find((one) => typeof one === 'number');
  const kind = typeof found === 'number' ? classifyStatus(found) : undefined;
  if (kind !== undefined) return withHint(kind, headers ?? response?.headers);
  if (typeof cause === 'object' && cause !== null && TIMEOUT_CODES.has((cause as { code?: unknown }).code)) return { kind: 'timeout' };
  return { kind: 'error' };
}

/** Whether a value is a response of `fetch`, whoever made it. Asking for the global `Response` would load all of fetch. */
export function isResponse(
  value: unknown,
): value is { readonly status: number; readonly ok: boolean; readonly headers: { get(name: string): string | null } } {
  if (typeof value !== 'object' || value === null) return false;
  const { status, ok, headers } = value as { status?: unknown; ok?: unknown; headers?: { get?: unknown } };
  return (
    typeof status === 'number' && typeof ok === 'boolean' && typeof headers === 'object' && headers !== null && typeof headers.get === 'function'
  );
}

/** What a value means: a `Response` by its status, everything else is a success. */
export function classifyValue(value: unknown): Outcome | undefined {
  return isResponse(value) ? classifyResponse(value) : undefined;
}
