// What a call's end means where its user doesn't say: thrown errors and HTTP responses, by what is common among JavaScript's
// clients.

import { StreamError } from './errors.js';
import { type Outcome, type OutcomeKind, isFailure } from './types.js';

/** What a `classify` function may answer: a kind, or an outcome in full; undefined leaves it to the defaults. */
export type Classified = OutcomeKind | Outcome | undefined;

/** How a call has ended, for a `classify` function. */
export type Ending<R = unknown> = { ok: true; value: R } | { ok: false; error: unknown };

/** The longest that a `Retry-After` may ask for; the policy's `retry_after_max` bounds what it does. */
const RETRY_AFTER_MS_MAX = 365 * 24 * 60 * 60 * 1000;

/**
 * What a response with this HTTP status counts as, in every host of Softfuse. Below 400: a success. 408 and 504: timeouts; 429: a
 * rate limit; 503 and 529: load; 499: cancelled; 451: the content policy. 401, 402, 403, 404 and 407 are errors: as it is set up,
 * the provider serves nobody (a key revoked, an account unpaid, a deployment gone). Every other 4xx is a bad request, which is
 * neutral; all else is an error.
 */
export function classifyStatus(status: number): OutcomeKind {
  if (status < 400) return 'success';
  if (status === 408 || status === 504) return 'timeout';
  if (status === 429) return 'rate-limited';
  if (status === 503 || status === 529) return 'overloaded';
  if (status === 451) return 'content-policy';
  if (status === 499) return 'cancelled';
  if ((status >= 401 && status <= 404) || status === 407) return 'error';
  return status < 500 ? 'bad-request' : 'error';
}

interface HeadersLike {
  get(name: string): string | null;
}

function header(headers: unknown, name: string): string | undefined {
  if (typeof headers !== 'object' || headers === null) return undefined;
  if (typeof (headers as HeadersLike).get === 'function') return (headers as HeadersLike).get(name) ?? undefined;
  // A plain object tells upper case from lower case, and clients write either.
  const spelt = Object.keys(headers).find((key) => key.toLowerCase() === name);
  const plain = spelt === undefined ? undefined : (headers as Record<string, unknown>)[spelt];
  return typeof plain === 'string' ? plain : undefined;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** A date of HTTP's, in its three forms (RFC 9110, 5.6.7), in milliseconds since 1970; NaN for any other text. `Date.parse` takes far more. */
function httpDate(text: string): number {
  const found =
    /^[A-Z][a-z]{2}, (?<day>\d\d) (?<month>[A-Z][a-z]{2}) (?<year>\d{4}) (?<time>[\d:]{8}) GMT$/.exec(text) ??
    /^[A-Z][a-z]{5,8}, (?<day>\d\d)-(?<month>[A-Z][a-z]{2})-(?<year>\d\d) (?<time>[\d:]{8}) GMT$/.exec(text) ??
    /^[A-Z][a-z]{2} (?<month>[A-Z][a-z]{2}) (?<day>[ \d]\d) (?<time>[\d:]{8}) (?<year>\d{4})$/.exec(text);
  const { day = '', month = '', year = '', time = '' } = found?.groups ?? {};
  const clock = /^([01]\d|2[0-3]):([0-5]\d):([0-5]\d)$/.exec(time);
  const at = MONTHS.indexOf(month);
  if (clock === null || at < 0) return NaN;
  // Of two digits those from 69 on are of the last century, as POSIX has it.
  const whole = year.length === 4 ? Number(year) : Number(year) + (Number(year) < 69 ? 2000 : 1900);
  const midnight = new Date(Date.UTC(whole, at, Number(day)));
  // A day that the month hasn't got would be one of the next month's.
  if (midnight.getUTCDate() !== Number(day)) return NaN;
  const [, hours, minutes, seconds] = clock;
  return midnight.getTime() + ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000;
}

/**
 * How long a service asks not to be called, in milliseconds, 365 days at most: `retry-after-ms`, or `Retry-After` in seconds
 * (fractions too) or as a date of HTTP's. Undefined where nothing can be read.
 */
export function retryAfterMs(headers: unknown, wallClockMs: number = Date.now()): number | undefined {
  const number = /^\d+(\.\d+)?$/;
  const millis = header(headers, 'retry-after-ms')?.trim();
  if (millis !== undefined && number.test(millis)) return Math.min(Number(millis), RETRY_AFTER_MS_MAX);
  const after = header(headers, 'retry-after')?.trim();
  if (after === undefined) return undefined;
  if (number.test(after)) return Math.min(Number(after) * 1000, RETRY_AFTER_MS_MAX);
  const date = httpDate(after);
  return Number.isNaN(date) ? undefined : Math.min(Math.max(0, date - wallClockMs), RETRY_AFTER_MS_MAX);
}

function withHint(kind: OutcomeKind, headers: unknown): Outcome {
  return { kind, retryAfterMs: isFailure(kind) ? retryAfterMs(headers) : undefined };
}

/** What a `Response` means, its `Retry-After` included. */
export function classifyResponse(response: { readonly status: number; readonly headers?: unknown }): Outcome {
  return withHint(classifyStatus(response.status), response.headers);
}

const POLICY_CODES: ReadonlySet<unknown> = new Set(['content_filter', 'content_policy_violation', 'content_policy']);
const TIMEOUT_CODES: ReadonlySet<unknown> = new Set([
  'ETIMEDOUT',
  'ESOCKETTIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
]);

/** What the words mean that services for language models put into an error's type and code. The more telling come first. */
const SIGNS: readonly (readonly [string, OutcomeKind])[] = [
  ['rate_limit', 'rate-limited'],
  ['insufficient_quota', 'rate-limited'],
  ['overloaded', 'overloaded'],
  ['unavailable', 'overloaded'],
  ['slow_down', 'overloaded'],
  ['timeout', 'timeout'],
  ['content_filter', 'content-policy'],
  ['_policy', 'content-policy'],
  ['moderation', 'content-policy'],
  // What is wrong with the request's own images, whatever isn't found of them.
  ['invalid_image', 'bad-request'],
  ['invalid_base64', 'bad-request'],
  ['image_file', 'bad-request'],
  ['image_too', 'bad-request'],
  ['image_parse', 'bad-request'],
  ['image_media_type', 'bad-request'],
  ['download_image', 'bad-request'],
  // The provider, as it is set up, serves nobody, though it may call the request invalid.
  ['api_key', 'error'],
  ['not_found', 'error'],
  ['billing', 'error'],
  ['invalid_request', 'bad-request'],
  ['invalid_prompt', 'bad-request'],
  ['context_length', 'bad-request'],
  ['too_large', 'bad-request'],
  ['conflict', 'bad-request'],
];

/** A text, or a number as one; empty for all else. */
const word = (value: unknown): string => (typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '');

/**
 * What an error counts as that a service for language models describes: by the words of its `type` and its `code`, or by its `code` where that is
 * an HTTP status; else an error. Meant for errors that come without a status of their own, inside of a stream that began with 200.
 */
export function classifyModelError({ type, code }: { readonly type?: unknown; readonly code?: unknown }): OutcomeKind {
  const words = `${word(type)} ${word(code)}`.toLowerCase();
  const sign = SIGNS.find(([one]) => words.includes(one));
  if (sign !== undefined) return sign[1];
  return /^[45]\d\d$/.test(word(code)) ? classifyStatus(Number(code)) : 'error';
}

/** What OpenAI's and Anthropic's clients call it that a caller has gone, and that nothing came in time. */
const CANCELLED_NAMES: ReadonlySet<unknown> = new Set(['AbortError', 'APIUserAbortError']);
const TIMEOUT_NAMES: ReadonlySet<unknown> = new Set(['TimeoutError', 'APIConnectionTimeoutError']);

/**
 * The same by what they say, as OpenAI's client names its errors by their classes alone, whose names a bundler may change. Both have a
 * `status`, and it is undefined.
 */
const CANCELLED_TEXT = 'Request was aborted.';
const TIMEOUT_TEXT = 'Request timed out.';

/** How far causes of causes are looked at. */
const CAUSES_MAX = 4;

/** Whether a network's timeout is among an error's causes. */
function isCausedByTimeout(error: object): boolean {
  let found: unknown = error;
  for (let depth = 0; depth <= CAUSES_MAX && typeof found === 'object' && found !== null; depth += 1) {
    if (TIMEOUT_CODES.has((found as { code?: unknown }).code)) return true;
    found = (found as { cause?: unknown }).cause;
  }
  return false;
}

/** What a service said of an error that a client made of it, which keeps that: with the answer around it, or without. */
function bodyOf({ error }: { error?: any }): object | undefined {
  const said: unknown = error?.error ?? error;
  return typeof said === 'object' && said !== null ? said : undefined;
}

/**
 * What a thrown error means. `AbortError`, clients' own errors for that, and whatever the caller's own signal was aborted with: cancelled,
 * which is neutral; `TimeoutError` and its like: a timeout. Errors with an HTTP status (`status`, `statusCode` or `response.status`) by that; those
 * without, which clients throw for what comes inside of a stream, by what the service said (`error`), as `classifyModelError` has it; everything
 * else is a failure.
 */
export function classifyError(error: unknown, signal?: AbortSignal): Outcome {
  if (typeof error !== 'object' || error === null) {
    return { kind: signal?.aborted === true && error === signal.reason ? 'cancelled' : 'error' };
  }
  if (error instanceof StreamError) return error.outcome();
  const { name, code } = error as { name?: unknown; code?: unknown };
  // Not all clients give their errors names.
  const names = [name, error.constructor?.name];
  const said = 'status' in error && error.status === undefined ? (error as { message?: unknown }).message : undefined;
  const isOneOf = (known: ReadonlySet<unknown>, text: string) => names.some((one) => known.has(one)) || said === text;
  if (isOneOf(TIMEOUT_NAMES, TIMEOUT_TEXT) || TIMEOUT_CODES.has(code)) return { kind: 'timeout' };
  const isCancelled = isOneOf(CANCELLED_NAMES, CANCELLED_TEXT);
  if (signal?.aborted === true && (error === signal.reason || isCancelled)) {
    const reason: unknown = signal.reason;
    return { kind: reason instanceof Error && reason.name === 'TimeoutError' ? 'timeout' : 'cancelled' };
  }
  if (isCancelled) return { kind: 'cancelled' };
  if (POLICY_CODES.has(code)) return { kind: 'content-policy' };
  const { status, statusCode, response, headers } = error as {
    status?: unknown;
    statusCode?: unknown;
    response?: { status?: unknown; headers?: unknown };
    headers?: unknown;
  };
  const found = [status, statusCode, response?.status].find((one) => typeof one === 'number');
  // Who throws means a failure, whatever the status says.
  const kind = typeof found === 'number' ? classifyStatus(found) : 'success';
  if (kind !== 'success') return withHint(kind, headers ?? response?.headers);
  if (isCausedByTimeout(error)) return { kind: 'timeout' };
  return { kind: classifyModelError(bodyOf(error) ?? {}) };
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
