/*
 * Softfuse: a circuit breaker for services that fail softly. It trips on bad answers, not only on errors and latency.
 *
 * Generated from host/c/src by `BLESS=1 cargo test -p softfuse-c --test header`. Don't edit it.
 *
 *     sf_permit permit;
 *     sf_rejection refused = SF_INIT(sf_rejection);
 *     if (sf_permit_take(breaker, &permit, &refused) == SF_OK) {
 *         answer = ask_the_model();                        // no lock is held meanwhile
 *         sf_permit_report_quality(&permit, 0.9, NULL);    // how good the answer is
 *         sf_permit_settle(&permit, NULL, NULL);           // NULL: a success
 *     }                                                    // else: refused.retry_after_ns, your fallback
 *
 * The rules, for all functions:
 *
 * Handles (sf_registry, sf_policy, sf_breaker and so on) are pointers to what the library keeps. Each that a function gives is the
 *   caller's, who frees it once with the function that its type names, in any order: what others still need lives on. NULL where
 *   a handle is asked for is SF_INVALID_ARGUMENT; freeing NULL is nothing. A handle that was freed must not be used.
 * Permits are structs of the caller's. A permit names its breaker's handle, which must outlive the permit's last use.
 * Structs that grow begin with `size`. Set it to the struct's `sizeof`, and all that you don't set to zero: SF_INIT does both. A program
 *   that was built with an older header goes with a newer library, and one with a newer header with an older library, as long as it
 *   leaves at zero what the library doesn't know (else SF_INVALID_ARGUMENT). Fields are added at the end only; functions and numbers
 *   are added only; none changes its meaning within a major version. sf_permit has its size for good.
 * Kinds and states are `int32_t`, their names are in the enums. Any other number is SF_INVALID_ARGUMENT.
 * Texts that are handed in are UTF-8 and end with a zero byte; they are read during the call and not kept. Texts that are given are
 *   either the caller's (`char *`, to be freed with sf_string_free) or their owner's (`const char *`, for as long as it lives).
 * Buffers of the caller's, of a `capacity` in bytes, get a text that ends with a zero, cut between characters where it is too long.
 * Bytes are a pointer and a length. The pointer may be NULL where the length is 0.
 * Pointers point to what they say for the call's duration, are aligned, and don't overlap one another. Where NULL may stand, it is said.
 * Times are nanoseconds of the registry's clock, spans are nanoseconds.
 * Errors come as a code; functions with an `error` give an object that says more, if `error` isn't NULL: *error is then NULL after
 *   SF_OK, else to be freed with sf_error_free. What a function gives is NULL where it fails.
 * Threads: any function may be called from any thread. Handles may be used by several threads at once, but for freeing them; permits,
 *   streams and errors by one at a time. No function may be called in a process that was forked after the first registry or scorer.
 * Stack: breakers need 128 KiB of the calling thread's stack, scorers 768 KiB.
 * Callbacks run on the thread that causes them. They must return, by no longjmp and no exception.
 */

#ifndef SOFTFUSE_H
#define SOFTFUSE_H

#include <stddef.h>
#include <stdint.h>

/** A struct with its size, and zeros beside. As in `sf_outcome outcome = SF_INIT(sf_outcome);` */
#ifdef __cplusplus
#define SF_INIT(type) sf_init_<type>()
template <typename T> static inline T sf_init_() { T value = T(); value.size = sizeof(T); return value; }
#else
#define SF_INIT(type) ((type){ .size = sizeof(type) })
#endif

// Bytes of the buffer that a condition writes its reason to, the zero at its end included.
#define SF_REASON_BYTES 1025

// What a function came to. Functions that return it change nothing where it isn't `SF_OK`, unless they say otherwise. Later
// versions may add codes: take an unknown one for a failure.
enum sf_code
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Done.
    SF_OK = 0,
    // The circuit refuses the call. It is no error: it is what a breaker is for.
    SF_REJECTED = 1,
    // An argument is NULL that mustn't be, a number is out of its range, or a struct's `size` is none that is known.
    SF_INVALID_ARGUMENT = 2,
    // A text isn't UTF-8.
    SF_INVALID_UTF8 = 3,
    // These bytes are no permit: it was never taken, or taking it had failed.
    SF_INVALID_PERMIT = 4,
    // The permit is settled already. It was not counted twice.
    SF_PERMIT_SETTLED = 5,
    // A score is not finite, or over 10^6 in magnitude.
    SF_INVALID_SCORE = 6,
    // A policy's text is wrong: `sf_error_problem` tells each problem.
    SF_INVALID_POLICY = 7,
    // A file can't be read.
    SF_UNREADABLE = 8,
    // A component can't be loaded: it is none, imports what it isn't granted, or doesn't keep its contract.
    SF_NOT_LOADED = 9,
    // A breaker of this name exists with a policy of another meaning.
    SF_POLICY_DIFFERS = 10,
    // The conditions that were handed in are not those that the policy names.
    SF_CONDITIONS_DIFFER = 11,
    // There is no room for as many breakers.
    SF_NO_ROOM = 12,
    // The name is taken, by a family of keyed breakers say.
    SF_NAME_TAKEN = 13,
    // A snapshot can't be restored: it is damaged, or of another policy.
    SF_NOT_RESTORED = 14,
    // The breaker component failed. The next call starts it anew.
    SF_COMPONENT_FAILED = 15,
    // A scorer doesn't start, or refuses its configuration.
    SF_SCORER_FAILED = 16,
    // A bulkhead's places are taken, and no further caller may wait.
    SF_BULKHEAD_FULL = 17,
    // No place of a bulkhead came free in time.
    SF_BULKHEAD_TIMED_OUT = 18,
    // There is nothing of this name.
    SF_NOT_FOUND = 19,
    // No provider of a chain gave an answer.
    SF_NO_PROVIDER = 20,
    // The system gave no thread.
    SF_SYSTEM = 21,
    // Too many answers wait to be scored: this one isn't.
    SF_BUSY = 22,
    // The library failed by a mistake of its own. It may have done a part of what was asked; it can be used on.
    SF_PANICKED = 99,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sf_code sf_code;
#else
typedef int32_t sf_code;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Where a circuit stands.
enum sf_state
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Calls flow.
    SF_CLOSED = 0,
    // Calls are refused until the open period has passed.
    SF_OPEN = 1,
    // A few calls at a time are admitted as probes.
    SF_HALF_OPEN = 2,
    // An operator refuses every call until `sf_breaker_reset`.
    SF_FORCED_OPEN = 3,
    // An operator admits every call; outcomes change totals only.
    SF_DISABLED = 4,
    // Every call is admitted and recorded; what would have tripped is said and never refused.
    SF_METRICS_ONLY = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sf_state sf_state;
#else
typedef int32_t sf_state;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How a guarded call ended.
enum sf_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The service answered. Whether the answer was any good is the score's matter.
    SF_SUCCESS = 0,
    // A failure of the service: a broken connection, a 5xx, a broken stream.
    SF_ERROR = 1,
    // A failure: no answer in time.
    SF_TIMEOUT = 2,
    // A failure: the service refused for its rate limit (429).
    SF_RATE_LIMITED = 3,
    // A failure: the service refused for its load (503, 529).
    SF_OVERLOADED = 4,
    // Neutral: the caller went away.
    SF_CANCELLED = 5,
    // Neutral: the service refused what was asked, by its content policy.
    SF_CONTENT_POLICY = 6,
    // Neutral: the request was bad by itself.
    SF_BAD_REQUEST = 7,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sf_kind sf_kind;
#else
typedef int32_t sf_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What an outcome says of its answer's quality.
enum sf_signal
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Nothing; the score that was reported on the permit takes its place. Without any, under `require_quality_signal`, a
    // success records the policy's `missing_score`.
    SF_NO_SCORE = 0,
    // The outcome's `score`, which wins over one that was reported.
    SF_SCORE = 1,
    // The score comes later: whoever settles owes the settled permit a score, or `sf_permit_report_missing`.
    SF_PENDING = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sf_signal sf_signal;
#else
typedef int32_t sf_signal;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What became of a settled outcome or a late score.
enum sf_effect
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // It took its place in the windows.
    SF_RECORDED = 0,
    // It was a probe's, and the probe passed or failed by it.
    SF_PROBED = 1,
    // Totals changed, nothing else: a neutral outcome, or any outcome of a disabled circuit. For a late score: nothing changed,
    // since its call's outcome was neutral, or the circuit is disabled.
    SF_IGNORED = 2,
    // The permit belongs to an earlier generation or to a probe that is gone: totals changed, nothing else. For a late score:
    // nothing changed.
    SF_STALE = 3,
    // Kept: a score that was reported before its call was settled, or a probe's outcome whose score is owed.
    SF_KEPT = 4,
    // Nothing was recorded: the breaker component failed, or had failed when the permit was taken.
    SF_LOST = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sf_effect sf_effect;
#else
typedef int32_t sf_effect;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What an event tells of. Later versions may add some: pass over what you don't know.
enum sf_event_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // A breaker's state changed, or would have, where it is metrics-only.
    SF_STATE_CHANGED = 0,
    // The breaker component failed in a call. It is told when it begins, not with every call while it lasts.
    SF_FAILED = 1,
    // A breaker was brought back after its component had failed or was replaced.
    SF_RESTORED = 2,
    // A scorer gave no score, and did not abstain.
    SF_SCORER_GAVE_NONE = 3,
    // A condition of a host's own panicked. It never happens to conditions in C.
    SF_CONDITION_PANICKED = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sf_event_kind sf_event_kind;
#else
typedef int32_t sf_event_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Why a state changed.
enum sf_change
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The event is none of a state.
    SF_NO_CHANGE = 0,
    // The circuit opened, or opened again: `trip` says why.
    SF_TRIPPED = 1,
    // A metrics-only circuit would have opened: `trip` says why. Its state stays; its windows are fresh.
    SF_WOULD_HAVE_TRIPPED = 2,
    // The open period has passed, and a call asked.
    SF_OPEN_PERIOD_OVER = 3,
    // As many probes passed as the policy's `recovery_threshold` asks.
    SF_RECOVERED = 4,
    // `sf_breaker_reset` was called.
    SF_RESET = 5,
    // An operator's state was set.
    SF_OPERATOR = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sf_change sf_change;
#else
typedef int32_t sf_change;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Why a circuit opened.
enum sf_trip
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // It didn't.
    SF_NO_TRIP = 0,
    // Conditions of the policy held: `causes`.
    SF_TRIP_CONDITIONS = 1,
    // A probe ended in a failure: `probe_kind`.
    SF_TRIP_PROBE_FAILED = 2,
    // A probe was too slow, or failed a host's condition; or the probes' mean score was too low: `causes`.
    SF_TRIP_PROBE_CONDITIONS = 3,
    // `sf_breaker_trip` was called, with `reason`.
    SF_TRIP_HOST = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sf_trip sf_trip;
#else
typedef int32_t sf_trip;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Where compiled code is kept, so that the next process needn't compile.
enum sf_cache
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // In the user's cache folder.
    SF_CACHE_DEFAULT = 0,
    // In the folder `cache_dir`, which is made where it isn't there.
    SF_CACHE_DIR = 1,
    // Nowhere.
    SF_CACHE_NONE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sf_cache sf_cache;
#else
typedef int32_t sf_cache;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What happens to calls while the breaker component fails.
enum sf_failure_mode
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // They are admitted, unguarded: a breaker that is broken harms nobody.
    SF_FAIL_OPEN = 0,
    // They are refused.
    SF_FAIL_CLOSED = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sf_failure_mode sf_failure_mode;
#else
typedef int32_t sf_failure_mode;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a scorer says.
enum sf_verdict_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Nothing yet, of an answer that is being streamed.
    SF_VERDICT_NONE_YET = 0,
    // A score.
    SF_VERDICT_SCORE = 1,
    // The exchange is none of the scorer's business; `text` says why. It is no score, and no failure.
    SF_VERDICT_ABSTAINED = 2,
    // There is no score; `failure` and `text` say why.
    SF_VERDICT_FAILED = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sf_verdict_kind sf_verdict_kind;
#else
typedef int32_t sf_verdict_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Why a scorer gave no score. Later versions may add some.
enum sf_scorer_failure
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // It didn't fail.
    SF_SCORER_NO_FAILURE = 0,
    // It didn't answer in time.
    SF_SCORER_DEADLINE = 1,
    // It asked for more memory than it may have.
    SF_SCORER_MEMORY = 2,
    // Its stack overflowed.
    SF_SCORER_STACK = 3,
    // It trapped, or ended itself.
    SF_SCORER_TRAPPED = 4,
    // It returned a number that is no score.
    SF_SCORER_INVALID_SCORE = 5,
    // It handed over too much at once.
    SF_SCORER_OUTPUT = 6,
    // The answer isn't of the form that it reads.
    SF_SCORER_MALFORMED = 7,
    // It said that it can't say.
    SF_SCORER_REFUSED = 8,
    // It refused its configuration.
    SF_SCORER_CONFIG = 9,
    // It could not be instantiated.
    SF_SCORER_NOT_STARTING = 10,
    // All its instances were at work for too long, or too many answers waited.
    SF_SCORER_BUSY = 11,
    // Another failure.
    SF_SCORER_OTHER = 12,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sf_scorer_failure sf_scorer_failure;
#else
typedef int32_t sf_scorer_failure;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// When a call goes on to the next provider.
enum sf_move_on
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Where this one's breaker refuses it, or it fails. A neutral outcome ends the chain all the same.
    SF_ON_FAILURE = 0,
    // Where its breaker refuses it. A call that was made is not made again.
    SF_ON_REJECTION = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum sf_move_on sf_move_on;
#else
typedef int32_t sf_move_on;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A handle of a circuit breaker; several handles may be of one breaker. Whoever got it frees it with `sf_breaker_free`, after the
// last use of the permits that were taken by it. Any threads, at once too.
typedef struct sf_breaker sf_breaker;

// Bounds how many calls of one operation are made at once. It stands outside the breaker: take a place first, then the permit.
// Whoever got it frees it with `sf_bulkhead_free`; places that it gave live on. Any threads, at once too.
typedef struct sf_bulkhead sf_bulkhead;

// Why a function failed. Whoever got it frees it with `sf_error_free`. One thread at a time, any thread.
typedef struct sf_error sf_error;

// A family of breakers: one per key, a tenant perhaps. Whoever got it frees it with `sf_keyed_free`; the family stays in its registry.
// Any threads, at once too.
typedef struct sf_keyed sf_keyed;

// A callback that hears of events, until `sf_listener_free`.
typedef struct sf_listener sf_listener;

// The right to one of the calls that a bulkhead allows at once, until `sf_place_free`, on any thread.
typedef struct sf_place sf_place;

// A policy: validated, immutable settings. Whoever got it frees it with `sf_policy_free`; breakers that were made with it keep
// what they need. Any threads, at once too.
typedef struct sf_policy sf_policy;

// Providers in the order in which they are to be asked, each with a breaker, whose name is the provider's. Whoever got it frees it
// with `sf_providers_free`. Any threads, at once too.
typedef struct sf_providers sf_providers;

// Makes breakers and keeps them by name. Whoever got it frees it with `sf_registry_free`; breakers, policies and listeners that it
// gave may live longer. Any threads, at once too.
typedef struct sf_registry sf_registry;

// A scorer: a component that says how good an answer is, in a sandbox. Whoever got it frees it with `sf_scorer_free`. Any threads,
// at once too: as many as `instances_max` are served at once, the others wait, no longer than `deadline_ns`.
typedef struct sf_scorer sf_scorer;

// A scorer with threads of its own, for any number of breakers. Whoever got it frees it with `sf_scoring_free`. Any threads, at once
// too.
typedef struct sf_scoring sf_scoring;

// An answer that is being streamed to a scorer. Whoever got it ends it, once, with `sf_stream_finish` or `sf_stream_free`. One
// thread at a time.
typedef struct sf_stream sf_stream;

// A refusal. The caller sets `size`, and `reason` and `reason_capacity` where it wants the reason.
typedef struct {
    // `sizeof(sf_rejection)`, set by the caller.
    size_t size;
    // Where the circuit stands, an `sf_state`.
    int32_t state;
    // 1 where `retry_after_ns` is known: exact while open; nobody knows while half-open is full, or forced open.
    uint32_t has_retry_after;
    // How long to wait, in nanoseconds.
    uint64_t retry_after_ns;
    // How often the circuit has opened since it was made or last reset.
    uint64_t trip_count;
    // 1 where the call is refused since the breaker component failed, and the registry fails closed.
    uint32_t component_failed;
    // 1 where there is a reason; there is none where an operator opened a circuit that had never tripped.
    uint32_t has_reason;
    // A buffer of the caller's for the reason that the circuit last opened for, or NULL. The text ends with a zero, and is cut
    // between characters where it is too long.
    char *reason;
    // How many bytes the buffer has, the zero included. Set by the caller.
    size_t reason_capacity;
    // How many bytes the whole reason has, without the zero.
    size_t reason_bytes;
} sf_rejection;

// How an operation is bounded. All zeros but `size` are chat completions' bounds: 10 calls at once, and 100 callers that wait for
// 30 s. Embeddings' are 20, 100 and 10 s; tools' 5, 100 and 30 s.
typedef struct {
    // `sizeof(sf_bulkhead_settings)`, set by the caller.
    size_t size;
    // Calls at once: 1 to 1,000,000; 0 for 10.
    size_t concurrent_max;
    // Callers that wait for a place: up to 1,000,000; 0 for 100. For none, see `nobody_waits`.
    size_t queue_max;
    // How long each of them waits, in nanoseconds: up to 24 hours; 0 for 30 s.
    uint64_t queue_timeout_ns;
    // Not 0: nobody waits.
    uint32_t nobody_waits;
    // For later versions: 0.
    uint32_t reserved;
} sf_bulkhead_settings;

// What goes on in a bulkhead, and what went on since it was made.
typedef struct {
    // `sizeof(sf_bulkhead_counts)`, set by the caller.
    size_t size;
    // Places that are taken.
    size_t in_use;
    // Callers that wait.
    size_t waiting;
    // Callers that were refused, since it was full.
    uint64_t refused;
    // Callers that waited in vain.
    uint64_t timed_out;
} sf_bulkhead_counts;

// The identified right to one call. The caller lays it out, on the stack say; `sf_permit_take` fills it. Its fields are the
// library's own. Nothing in it is to be freed, but it is to be settled once, by `sf_permit_settle` or `sf_permit_cancel`: a
// probe that isn't keeps its place until its deadline.
//
// It names its breaker, whose handle must live as long as the permit is used. It may be moved, to another thread too, but is
// used by one thread at a time. A copy of it is the same permit: settle one of them, once. Copies that are made after that may
// all report late scores.
typedef struct {
    // Whose it is.
    const sf_breaker *breaker;
    // As the component gave it.
    uint64_t number;
    // When it was given.
    int64_t admitted_at_ns;
    // What was reported last.
    double score;
    // Whether it was taken, and settled.
    uint32_t standing;
    // Whether `score` is one.
    uint32_t has_score;
    // For later versions.
    uint64_t reserved[3];
} sf_permit;

// How a guarded call ended. All zeros but `size` is a success, its latency measured by the permit, its score the reported one.
typedef struct {
    // `sizeof(sf_outcome)`, set by the caller.
    size_t size;
    // How it ended, an `sf_kind`.
    int32_t kind;
    // What is said of the answer's quality, an `sf_signal`.
    int32_t signal;
    // With `SF_SCORE`: finite, at most 10^6 in magnitude, by convention from 0 (worthless) to 1 (good).
    double score;
    // Not 0: `latency_ns` is given. 0: it is the time from taking the permit to settling it.
    uint32_t has_latency;
    // Not 0: `retry_after_ns` is given.
    uint32_t has_retry_after;
    // From the start of the call to its end, in nanoseconds: retries included, queueing before the breaker excluded.
    uint64_t latency_ns;
    // How long the service asked not to be called (`Retry-After`), in nanoseconds.
    uint64_t retry_after_ns;
} sf_outcome;

// The guarded code. It may report a score on `permit`, and says in `outcome` how the call ended, which is a success as it is
// handed in. Both are the library's, and end with the function. It must return: no `longjmp`, no exception through it.
typedef void (*sf_call_fn)(void *user, sf_permit *permit, sf_outcome *outcome);

// What became of a settled permit, or of a late score.
typedef struct {
    // `sizeof(sf_settled)`, set by the caller.
    size_t size;
    // What became of it, an `sf_effect`.
    int32_t effect;
    // 1 where this opened the circuit, else 0.
    uint32_t tripped;
    // The latency that was recorded, in nanoseconds; 0 for a late score.
    uint64_t latency_ns;
} sf_settled;

// One condition's part in a trip.
typedef struct {
    // The struct's size, as the library knows it: the step from one to the next in an array.
    size_t size;
    // The condition's place in the policy, as in `any_of[1].error_rate_above`.
    const char *path;
    // A sentence with both numbers in it; for a host's own condition, the reason that it gave.
    const char *text;
    // The measured value: a mean score, a rate between 0 and 1, milliseconds, or a count.
    double value;
    // The policy's limit, in the value's unit.
    double limit;
} sf_cause;

// What happened. It and all its texts are the library's, and end with the callback: copy what you keep.
typedef struct {
    // The struct's size, as the library knows it. Later versions may add fields at the end.
    size_t size;
    // What it tells of, an `sf_event_kind`.
    int32_t kind;
    // Of a change of state: why, an `sf_change`.
    int32_t change;
    // The breaker's name.
    const char *breaker;
    // In words, always there: a state's change's reason, or how the component or the scorer failed.
    const char *reason;
    // Of a change of state: when, in nanoseconds of the registry's clock. It may be negative, where a restored breaker
    // remembers what was before the clock's origin.
    int64_t at_ns;
    // Of a change of state: the state that was left, an `sf_state`.
    int32_t old_state;
    // Of a change of state: the state that was entered, an `sf_state`. Of `SF_RESTORED`: the state in which it came back.
    int32_t new_state;
    // Of a change of state: the generation that begins here. Permits of earlier ones are stale.
    uint32_t generation;
    // Of a change of state: 1 where `open_until_ns` is there.
    uint32_t has_open_until;
    // While open: when the open period ends, unless a `Retry-After` extends it.
    int64_t open_until_ns;
    // Of a change of state: how often the circuit has opened, this included.
    uint64_t trip_count;
    // Why it opened, an `sf_trip`.
    int32_t trip;
    // Of `SF_TRIP_PROBE_FAILED`: how the probe ended, an `sf_kind`.
    int32_t probe_kind;
    // The conditions' parts in the trip; NULL where there are none.
    const sf_cause *causes;
    // How many there are.
    size_t cause_count;
    // Of `SF_SCORER_GAVE_NONE`: the scorer's name. Of `SF_CONDITION_PANICKED`: the condition's. Else NULL.
    const char *who;
    // Of `SF_RESTORED`: records that it had seen since its last snapshot, and that are lost.
    uint64_t records_lost;
    // Of `SF_RESTORED`: 1 where it came back from a snapshot; else it is fresh.
    uint32_t from_snapshot;
    // For later versions.
    uint32_t reserved;
} sf_event;

// Hears of an event. It runs under no lock and may use breakers and the registry. It must return: no `longjmp`, no exception
// through it.
typedef void (*sf_event_fn)(void *user, const sf_event *event);

// Something that is done with the caller's data: forget all records, or free it.
typedef void (*sf_user_fn)(void *user);

// One thing wrong with a policy's text, or with a scorer's configuration. Its texts are the error's, and live as long.
typedef struct {
    // `sizeof(sf_problem)`, set by the caller.
    size_t size;
    // From 1; 0 where it isn't known.
    uint32_t line;
    // From 1, in characters; 0 where it isn't known.
    uint32_t column;
    // The key, with its path, as in `trip_on.quality_below.window`; empty where the text as a whole is wrong.
    const char *key;
    // What is wrong, and what would be right.
    const char *message;
    // For an unknown key the nearest that exists, else NULL.
    const char *nearest;
} sf_problem;

// One settled call, as a condition sees it.
typedef struct {
    // The struct's size, as the library knows it.
    size_t size;
    // How the call ended, an `sf_kind`: a success or a failure. Neutral outcomes aren't shown.
    int32_t kind;
    // 1 where it had a score when it was settled.
    uint32_t has_score;
    // The score.
    double score;
    // How long it took, in nanoseconds.
    uint64_t latency_ns;
    // When it was settled, in nanoseconds of the registry's clock.
    int64_t at_ns;
} sf_call_record;

// Takes a record. Not 0, where the condition holds now: then `reason` is its reason, a text in UTF-8 of at most
// `reason_capacity` bytes with its zero, `SF_REASON_BYTES` of them.
typedef int32_t (*sf_condition_record_fn)(void *user, const sf_call_record *call, char *reason, size_t reason_capacity);

// A condition of the caller's own, which a policy names by `host_condition = "name"`.
//
// Its functions run under their breaker's lock: one thread at a time, whichever that is. They must be quick, must not call the
// breaker, and must return: no `longjmp`, no exception through them. It sees every record that takes its place in the windows.
// A probe is judged alone: the condition is reset before it.
//
// `user` goes over to the library with the call that hands the condition in, whatever that call comes to: `free_user` is called
// once, when nobody will call the others any more.
typedef struct {
    // `sizeof(sf_condition)`, set by the caller. In an array it is the same for all.
    size_t size;
    // The name in the policy. It is copied.
    const char *name;
    // Takes a record.
    sf_condition_record_fn record;
    // Forgets all records: the circuit went half-open, closed, or was reset. NULL, where there is nothing to forget.
    sf_user_fn reset;
    // Frees `user`. NULL, where there is nothing to free.
    sf_user_fn free_user;
    // What the functions are called with.
    void *user;
} sf_condition;

// Makes the conditions of the caller's own for a key, where the policy names some: fills `conditions`, whose `size` is set, in
// the policy's order (their names may be left NULL, and are then the policy's), and returns how many it has filled. It is called
// under no lock, by any threads, at once too, and must return: no `longjmp`, no exception through it.
typedef size_t (*sf_make_conditions_fn)(void *user, const char *key, sf_condition *conditions, size_t capacity);

// How a family is bounded. All zeros but `size` are the defaults.
typedef struct {
    // `sizeof(sf_keyed_settings)`, set by the caller.
    size_t size;
    // Breakers at work at most; 0 for 10,000. When a further one is wanted, a closed one that wasn't called for long retires to a
    // snapshot. If none can, the overflow breaker serves.
    size_t live_max;
    // Buffers that busy keys are lent at once; 0 for 1,024.
    size_t lent_max;
    // Snapshots of retired ones that are kept; 0 for 100,000. Beyond, the one that wasn't used for longest is forgotten.
    size_t retired_max;
    // Bytes that those snapshots and their keys may have together; 0 for 64 MiB.
    size_t retired_bytes_max;
    // Makes a key's conditions; NULL where the policy names none.
    sf_make_conditions_fn make_conditions;
    // What it is called with.
    void *user;
    // Called with `user` once, when nobody makes conditions any more; at once, where there will be no family. NULL, where there is
    // nothing to free.
    sf_user_fn free_user;
} sf_keyed_settings;

// How many breakers a family has.
typedef struct {
    // `sizeof(sf_keyed_counts)`, set by the caller.
    size_t size;
    // Breakers at work, the overflow breaker not among them.
    size_t live;
    // Breakers that retired and are remembered.
    size_t retired;
} sf_keyed_counts;

// What there is to know of a policy.
typedef struct {
    // `sizeof(sf_policy_info)`, set by the caller.
    size_t size;
    // Equal for equal meaning: comments, order of keys and spelling of durations don't matter.
    uint64_t fingerprint;
    // Bytes of the component's memory that a breaker takes once its windows are full.
    uint64_t breaker_bytes;
    // 1 where a condition looks at scores: where none does, no scorer need run.
    uint32_t uses_scores;
    // 1 where a success without a score is recorded as the policy's `missing_score`.
    uint32_t require_quality_signal;
    // How many conditions of the host's own it names: see `sf_policy_condition_name`.
    size_t condition_count;
} sf_policy_info;

// One attempt, at the provider of `breaker`, whose name `sf_breaker_name` gives. It may report a score on `permit`, but mustn't settle
// it: `outcome`, a success as it is handed in, says how the attempt ended. All three are the library's, and end with the
// function. It must return: no `longjmp`, no exception through it.
typedef void (*sf_attempt_fn)(void *user, const sf_breaker *breaker, sf_permit *permit, sf_outcome *outcome);

// Says what time it is, in nanoseconds from an origin of its own, and never runs backwards. Any threads, at once too. It must
// return: no `longjmp`, no exception through it.
typedef int64_t (*sf_clock_fn)(void *user);

// A registry's settings. All zeros but `size` are the defaults.
typedef struct {
    // `sizeof(sf_registry_settings)`, set by the caller.
    size_t size;
    // The clock; NULL for the system's monotonic clock. One that is set by hand makes tests exact.
    sf_clock_fn clock;
    // What the clock is called with.
    void *clock_user;
    // Called with `clock_user` once, when the clock won't be asked any more: after the registry and all that it gave are freed, or
    // at once where there will be no registry. NULL, where there is nothing to free.
    sf_user_fn clock_free;
    // Where compiled code is kept, an `sf_cache`.
    int32_t cache;
    // What happens to calls while the breaker component fails, an `sf_failure_mode`.
    int32_t failure_mode;
    // With `SF_CACHE_DIR`: the folder's path.
    const char *cache_dir;
    // A file with another breaker component in the place of the one that comes with the library; NULL for that.
    const char *component_file;
    // Instances of the component, over which breakers are spread: up to 256; 0 for as many as there are cores.
    uint32_t instances;
    // Not 0: `salt` is given.
    uint32_t has_salt;
    // Seeds the jitter beside a policy's seed and a breaker's name, so that replicas differ. Where it isn't given, a number of the
    // process's own.
    uint64_t salt;
    // Not 0: `lease_after` is given.
    uint32_t has_lease_after;
    // After how many calls a breaker is busy enough for a buffer of some KiB for each core, by which its calls cost a tenth.
    // Where it isn't given, 16; 65535 and more: never.
    uint32_t lease_after;
    // Events that may wait, for callbacks while one is slow; 0 for 1024. Beyond, they are dropped and counted.
    uint32_t event_capacity;
    // For later versions: 0.
    uint32_t reserved;
    // How long the breaker component may take for one call, in nanoseconds, which takes it microseconds; 0 for 2 s. Between 10 ms
    // and 5 s.
    uint64_t component_deadline_ns;
    // Bytes of memory that one instance of the component may have; 0 for 256 MiB. A breaker takes some KiB: `sf_policy_info`.
    size_t component_memory_bytes_max;
    // After how many records of a breaker a snapshot of it is taken, from which it comes back where the component fails; 0 for 256.
    uint64_t snapshot_every;
    // The shortest time between two such snapshots of a breaker, in nanoseconds, by the registry's clock; 0 for 1 s. A change of
    // state is saved at once.
    uint64_t snapshot_interval_ns;
} sf_registry_settings;

// A registry's health at this moment.
typedef struct {
    // `sizeof(sf_health)`, set by the caller.
    size_t size;
    // 1 while fewer than half of the circuits would refuse a call now, or there are none.
    uint32_t healthy;
    // The HTTP status for it: 200 where it is healthy, else 503.
    uint32_t status_code;
    // Named circuits and keyed families.
    size_t total;
    // Those of them that are available.
    size_t available;
} sf_health;

// What a hot upgrade did with the breakers.
typedef struct {
    // `sizeof(sf_replaced)`, set by the caller.
    size_t size;
    // Breakers that came along with their state.
    size_t restored;
    // Breakers whose state the new component refuses: they come back from their last snapshots, or afresh.
    size_t refused;
    // Breakers whose state the old component didn't give: they come back from their last snapshots.
    size_t lost;
} sf_replaced;

// How a scorer is run. All zeros but `size` are the defaults.
typedef struct {
    // `sizeof(sf_scorer_settings)`, set by the caller.
    size_t size;
    // Its configuration, in a format of its own, TOML in those that come with the library. NULL for its defaults.
    const char *config;
    // A registry whose engine runs it, and whose cache keeps its compiled code; NULL for one of the process's own, which lives as
    // long as the process and keeps compiled code in the user's cache folder.
    const sf_registry *registry;
    // How long it may take for one answer, or one piece of a stream, in nanoseconds; 0 for 1 s. At most an hour; kept to 5 ms.
    uint64_t deadline_ns;
    // How long it may take to start and to read its configuration, in nanoseconds; 0 for 10 s. At most an hour.
    uint64_t start_deadline_ns;
    // Memory that one instance may have, in bytes; 0 for 256 MiB.
    size_t memory_bytes_max;
    // What it may hand over in one call, in bytes; 0 for 1 MiB.
    size_t output_bytes_max;
    // What a stream's pieces are collected up to, for a scorer that takes no streams, in bytes; 0 for 64 KiB.
    size_t answer_bytes_max;
    // Instances at most, and so answers that are scored at once; 0 for 4.
    uint32_t instances_max;
    // Not 0: every answer gets an instance of its own, so that nothing can be carried over from one to the next.
    uint32_t fresh;
} sf_scorer_settings;

// One call and its answer, as a scorer is shown it. All zeros but `size` is one of which nothing is known.
typedef struct {
    // `sizeof(sf_exchange)`, set by the caller.
    size_t size;
    // What was asked for: `chat`, `embeddings`, `classify`. NULL where it isn't known.
    const char *operation;
    // The model's name. NULL where it isn't known.
    const char *model;
    // The request's media type, as in `application/json`. NULL where it isn't known.
    const char *request_content_type;
    // What was asked: `request_length` bytes.
    const uint8_t *request;
    // See `request`.
    size_t request_length;
    // The answer's media type, as in `text/plain`. NULL where it isn't known.
    const char *answer_content_type;
    // The answer: `answer_length` bytes.
    const uint8_t *answer;
    // See `answer`.
    size_t answer_length;
    // Whatever else is known, by name: `metadata_count` names.
    const char *const *metadata_names;
    // The values of the names.
    const char *const *metadata_values;
    // See `metadata_names`.
    size_t metadata_count;
    // Not 0: the request was cut at a bound.
    uint32_t request_truncated;
    // Not 0: the answer was cut at a bound.
    uint32_t answer_truncated;
} sf_exchange;

// What a scorer's run came to. The caller sets `size`, and `text` and `text_capacity` where it wants the words.
typedef struct {
    // `sizeof(sf_verdict)`, set by the caller.
    size_t size;
    // What it says, an `sf_verdict_kind`.
    int32_t kind;
    // Of `SF_VERDICT_FAILED`: why, an `sf_scorer_failure`.
    int32_t failure;
    // Of `SF_VERDICT_SCORE`: finite, at most 10^6 in magnitude, by convention from 0 (worthless) to 1 (good).
    double score;
    // A buffer of the caller's for why it abstained or failed, or NULL. The text ends with a zero, and is cut between characters
    // where it is too long.
    char *text;
    // How many bytes the buffer has, the zero included. Set by the caller.
    size_t text_capacity;
    // How many bytes the whole text has, without the zero.
    size_t text_bytes;
} sf_verdict;

// How answers are scored beside the call. All zeros but `size` are the defaults.
typedef struct {
    // `sizeof(sf_scoring_settings)`, set by the caller.
    size_t size;
    // Threads that score; 0 for 1. More than the scorer's `instances_max` would only wait.
    size_t workers;
    // Answers that may wait for their score; 0 for 256. Beyond, an answer isn't scored, and that is counted.
    size_t queue_max;
    // What is kept of a request, and of an answer, in bytes; 0 for 64 KiB. The rest is cut off.
    size_t answer_bytes_max;
    // How long an answer may wait, in nanoseconds; 0 for 30 s. Then its score is reported as missing.
    uint64_t wait_max_ns;
} sf_scoring_settings;

// A circuit's numbers. What `sf_breaker_status_json` tells besides are its texts, its conditions and its last transitions.
typedef struct {
    // `sizeof(sf_status)`, set by the caller.
    size_t size;
    // Where it stands, an `sf_state`. An open circuit whose period has passed is open still, and `would_refuse` is 0.
    int32_t state;
    // 1 where a call would be refused now.
    uint32_t would_refuse;
    // Since when, in nanoseconds of the registry's clock. Such times may be negative, where a restored breaker remembers what was
    // before the clock's origin.
    int64_t since_ns;
    // The counter that each change of state bumps.
    uint32_t generation;
    // 1 where `retry_after_ns` is there.
    uint32_t has_retry_after;
    // While open: what is left of the open period, in nanoseconds.
    uint64_t retry_after_ns;
    // How often it has opened since it was made or last reset, re-openings included.
    uint64_t trip_count;
    // How often it has opened again since it last closed: the backoff's exponent.
    uint32_t reopen_count;
    // Settled calls in the last 60 s, as far as the policy's `adaptive` tiers count; 0 for a policy without any.
    uint32_t calls_per_minute;
    // Calls that were settled since it was made: successes, failures and neutral ones, stale ones included.
    uint64_t calls;
    // Of them, those that the service answered.
    uint64_t successes;
    // Of them, those that failed.
    uint64_t failures;
    // Of them, those that count neither for nor against the service.
    uint64_t neutral;
    // Calls that were refused.
    uint64_t rejections;
    // Of `calls`, those settled too late to count.
    uint64_t stale;
    // Failures since the last success.
    uint32_t consecutive_failures;
    // Successes since the last failure.
    uint32_t consecutive_successes;
    // While half-open: probes under way.
    uint32_t live_probes;
    // While half-open: probes that passed.
    uint32_t passed_probes;
    // 1 where `last_failure_at_ns` and `last_failure_kind` are there.
    uint32_t has_last_failure;
    // How the last failed call ended, an `sf_kind`.
    int32_t last_failure_kind;
    // When the last call failed.
    int64_t last_failure_at_ns;
    // When it last opened, where `has_last_trip` is 1.
    int64_t last_trip_at_ns;
    // 1 where `last_trip_at_ns` is there.
    uint32_t has_last_trip;
    // For later versions.
    uint32_t reserved;
} sf_status;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The library's version, as in `0.1.0`: a string that lives for ever. Any thread.
const char *sf_version(void);

// Frees a handle. The breaker stays in its registry. NULL is nothing.
void sf_breaker_free(sf_breaker *breaker);

// Another handle of the same breaker, for another owner; to be freed with `sf_breaker_free`. NULL for NULL.
sf_breaker *sf_breaker_share(const sf_breaker *breaker);

// Its name. The text is the handle's, and lives as long. NULL for NULL.
const char *sf_breaker_name(const sf_breaker *breaker);

// Its state as of the last change, an `sf_state`, which costs nothing to ask. An open circuit whose period has passed is open until
// somebody calls: `sf_breaker_would_refuse` says whether a call would be refused. -1 for NULL.
int32_t sf_breaker_state(const sf_breaker *breaker);

// Whether a call would be refused now. It takes no probe and counts nothing.
//
// `SF_OK`: it would be admitted. `SF_REJECTED`: it would be refused, as `rejection`, where that isn't NULL, says.
sf_code sf_breaker_would_refuse(const sf_breaker *breaker, sf_rejection *rejection);

// Closes the circuit: trip count 0, windows fresh, an operator's state ended.
//
// `SF_COMPONENT_FAILED`.
sf_code sf_breaker_reset(const sf_breaker *breaker, sf_error **error);

// Puts the circuit into an operator's state, until `sf_breaker_reset`: `SF_FORCED_OPEN`, `SF_DISABLED` or `SF_METRICS_ONLY`.
//
// `SF_COMPONENT_FAILED`.
sf_code sf_breaker_set_operator_state(const sf_breaker *breaker,
                                      int32_t state,
                                      sf_error **error);

// Opens the circuit for a reason of the caller's own, of which 1,024 bytes are kept, for `open_for_ns`, or for as long as the policy
// says where that is 0. An open period is extended, never shortened. Operators' states stay.
//
// `SF_COMPONENT_FAILED`.
sf_code sf_breaker_trip(const sf_breaker *breaker,
                        const char *reason,
                        uint64_t open_for_ns,
                        sf_error **error);

// The whole state as bytes, for `sf_registry_restore`, in another process perhaps. They are the caller's, to be freed with
// `sf_bytes_free` and their `length`. Conditions of the caller's own are not in them.
//
// `SF_COMPONENT_FAILED`.
sf_code sf_breaker_snapshot(const sf_breaker *breaker,
                            uint8_t **snapshot,
                            size_t *length,
                            sf_error **error);

// Makes a bulkhead; its name stands in its errors. `settings` may be NULL for the defaults.
//
// `SF_INVALID_ARGUMENT`: a setting is out of its range; the error names it.
sf_code sf_bulkhead_new(const char *name,
                        const sf_bulkhead_settings *settings,
                        sf_bulkhead **bulkhead,
                        sf_error **error);

// Frees a bulkhead. NULL is nothing.
void sf_bulkhead_free(sf_bulkhead *bulkhead);

// Takes a place. Where none is free, this thread waits, in the order of coming, for as long as the settings say; with
// `dont_wait` not 0 it doesn't. It is no outcome of any breaker, if there is none.
//
// `SF_BULKHEAD_FULL`, `SF_BULKHEAD_TIMED_OUT`.
sf_code sf_bulkhead_enter(const sf_bulkhead *bulkhead, int32_t dont_wait, sf_place **place, sf_error **error);

// Gives a place back. NULL is nothing.
void sf_place_free(sf_place *place);

// What goes on in a bulkhead, into `counts`, whose `size` the caller has set.
sf_code sf_bulkhead_count(const sf_bulkhead *bulkhead, sf_bulkhead_counts *counts);

// Makes a guarded call: takes a permit, runs `call` with `user` on this thread, and settles the permit as the outcome says. No
// lock is held meanwhile; any threads, at once too.
//
// `SF_OK`: the call was made, however it ended. `SF_REJECTED`: it wasn't, and `rejection`, where it isn't NULL, says why: give
// your fallback. `SF_INVALID_ARGUMENT` and `SF_INVALID_SCORE` of the outcome: the call was made, and is settled as cancelled.
sf_code sf_call(const sf_breaker *breaker,
                sf_call_fn call,
                void *user,
                sf_rejection *rejection,
                sf_settled *settled);

// A code in words: a string that lives for ever. For a number that is no code it says so. Any thread.
const char *sf_code_text(int32_t code);

// A state's name, as in `half-open`: a string that lives for ever. For a number that is no state it says so. Any thread.
const char *sf_state_name(int32_t state);

// A kind's name, as in `rate-limited`: a string that lives for ever. For a number that is no kind it says so. Any thread.
const char *sf_kind_name(int32_t kind);

// What a response with this HTTP status counts as, an `sf_kind`, in every host of Softfuse. Below 400: `SF_SUCCESS`. 408, 504:
// `SF_TIMEOUT`. 429: `SF_RATE_LIMITED`. 503, 529: `SF_OVERLOADED`. 499: `SF_CANCELLED`. 451: `SF_CONTENT_POLICY`. 401, 402, 403,
// 404, 407: `SF_ERROR`, since the provider, as it is set up, serves nobody. Every other 4xx: `SF_BAD_REQUEST`. All else:
// `SF_ERROR`. Any thread.
int32_t sf_kind_of_http_status(uint16_t status);

// Calls `callback` with `user` for every event from now on: one event at a time, on the thread that made it, before the call
// that made it returns; or on a thread of the registry's own, where several threads make some at once.
//
// `listener` is to be freed with `sf_listener_free`, even if the registry goes before. `free_user`, if it isn't NULL, is called with
// `user` once, when the callback won't be called any more; at once, where this fails.
sf_code sf_registry_listen(const sf_registry *registry,
                           sf_event_fn callback,
                           void *user,
                           sf_user_fn free_user,
                           sf_listener **listener,
                           sf_error **error);

// Ends a callback. When this returns, it isn't running and won't be called again; an event that another thread is telling it is
// waited for, so don't call this under a lock that the callback takes. The callback itself may call it. NULL is nothing.
void sf_listener_free(sf_listener *listener);

// An error's code, the one that the function returned. `SF_OK` for NULL.
sf_code sf_error_code(const sf_error *error);

// An error in words, as a person reads it; of a policy, a line for each problem. It is the error's, and lives as long. An empty
// string for NULL.
const char *sf_error_message(const sf_error *error);

// How many problems `sf_error_problem` tells: those of a policy's text, or of a scorer's configuration. 0 for NULL.
size_t sf_error_problem_count(const sf_error *error);

// The problem at `index`, from 0, in order of appearance, into `problem`, whose `size` the caller has set.
//
// `SF_NOT_FOUND` where there are fewer; `SF_INVALID_ARGUMENT` for NULL.
sf_code sf_error_problem(const sf_error *error, size_t index, sf_problem *problem);

// Frees an error, and with it all texts that it gave. NULL is nothing.
void sf_error_free(sf_error *error);

// A family of this name: the one that exists, or a new one. `settings` may be NULL for the defaults. The name is one of the
// registry's, which its breakers share in metrics.
//
// `SF_NAME_TAKEN`, `SF_POLICY_DIFFERS`, `SF_CONDITIONS_DIFFER`, `SF_NO_ROOM`.
sf_code sf_registry_keyed(const sf_registry *registry,
                          const char *name,
                          const sf_policy *policy,
                          const sf_keyed_settings *settings,
                          sf_keyed **keyed,
                          sf_error **error);

// Frees a handle of a family. NULL is nothing.
void sf_keyed_free(sf_keyed *keyed);

// The breaker of this key, of 1,024 bytes at most: the one at work, one that is brought back, or a new one. The handle is the
// caller's, to be freed with `sf_breaker_free`, and keeps the breaker from retiring: so ask anew for each call, and free it after.
//
// `SF_INVALID_ARGUMENT`: the key is too long. `SF_CONDITIONS_DIFFER`.
sf_code sf_keyed_get(const sf_keyed *keyed,
                     const char *key,
                     sf_breaker **breaker,
                     sf_error **error);

// The keys at work and their breakers, the last called first, the overflow breaker not among them: fills `keys` and `breakers`, either
// of which may be NULL, with up to `capacity` of each. A key is the caller's, to be freed with `sf_string_free`, and a handle, to
// be freed with `sf_breaker_free`. `count` is how many there are, which may be more; with a `capacity` of 0 that is all one learns.
sf_code sf_keyed_list(const sf_keyed *keyed,
                      char **keys,
                      sf_breaker **breakers,
                      size_t capacity,
                      size_t *count);

// How many breakers a family has, into `counts`, whose `size` the caller has set.
sf_code sf_keyed_count(const sf_keyed *keyed, sf_keyed_counts *counts);

// Takes the right to one call, and fills `permit`. No memory is allocated; any threads, at once too.
//
// `SF_REJECTED`: the call is not to be made; `rejection`, where it isn't NULL, says why, and `permit` is none. Where the breaker
// component fails, calls are admitted or refused as the registry's `failure_mode` says.
sf_code sf_permit_take(const sf_breaker *breaker,
                       sf_permit *permit,
                       sf_rejection *rejection);

// `sf_permit_take` at `now_ns`, nanoseconds of the registry's clock, which isn't read then.
sf_code sf_permit_take_at(const sf_breaker *breaker, int64_t now_ns, sf_permit *permit, sf_rejection *rejection);

// Says how good the answer is. Before the permit is settled the last report counts: it goes into the outcome, and wins over a
// scorer's. After that each is a late score, a sample of its own. `report`, where it isn't NULL, says what became of it:
// `SF_KEPT` before, and after that perhaps `SF_STALE`, where the circuit has changed its state since, and the score isn't wanted,
// or `SF_IGNORED`, where the call's outcome was neutral.
//
// `SF_INVALID_SCORE`: the number is none, and nothing is changed by it. `SF_INVALID_PERMIT`.
sf_code sf_permit_report_quality(sf_permit *permit,
                                 double score,
                                 sf_settled *report);

// `sf_permit_report_quality` at `now_ns`, nanoseconds of the registry's clock, which isn't read then.
sf_code sf_permit_report_quality_at(sf_permit *permit, double score, int64_t now_ns, sf_settled *report);

// Says that no score will come, for a permit that was settled as `SF_PENDING`. Before the settlement it says nothing.
//
// `SF_INVALID_PERMIT`.
sf_code sf_permit_report_missing(sf_permit *permit, sf_settled *report);

// Settles a permit: the call has ended as `outcome` says; NULL is a success. `settled`, where it isn't NULL, says what became of
// it. No memory is allocated on a healthy service's calls; any thread.
//
// `SF_PERMIT_SETTLED`: it was settled before, and isn't counted twice. `SF_INVALID_PERMIT`. For `SF_INVALID_ARGUMENT` and
// `SF_INVALID_SCORE` the permit isn't settled.
sf_code sf_permit_settle(sf_permit *permit,
                         const sf_outcome *outcome,
                         sf_settled *settled);

// `sf_permit_settle` at `now_ns`, nanoseconds of the registry's clock, which isn't read then.
sf_code sf_permit_settle_at(sf_permit *permit, const sf_outcome *outcome, int64_t now_ns, sf_settled *settled);

// Settles a permit as cancelled, which is neutral: the caller went away. One that is settled already stays as it is, with
// `SF_PERMIT_SETTLED`, so that this can stand in the path of every error.
sf_code sf_permit_cancel(sf_permit *permit);

// Loads a policy from text (TOML) of `length` bytes, or up to its zero byte where `length` is `SIZE_MAX`. `source_name` stands in
// messages for where it comes from. Any threads, at once too.
//
// `SF_INVALID_POLICY`: all that is wrong with it, at once, by `sf_error_problem`. `SF_COMPONENT_FAILED`.
sf_code sf_policy_from_text(const sf_registry *registry,
                            const char *source_name,
                            const char *policy_text,
                            size_t length,
                            sf_policy **policy,
                            sf_error **error);

// Loads a policy from a file. Any threads, at once too.
//
// `SF_UNREADABLE`, and as `sf_policy_from_text`.
sf_code sf_policy_from_file(const sf_registry *registry, const char *file, sf_policy **policy, sf_error **error);

// What there is to know of a policy, into `info`, whose `size` the caller has set.
sf_code sf_policy_get_info(const sf_policy *policy, sf_policy_info *info);

// Where a policy comes from: its file's path, or what it was called. The text is the policy's, and lives as long. NULL for NULL.
const char *sf_policy_source_name(const sf_policy *policy);

// The name of the condition of the host's own at `index`, from 0, in order of appearance; NULL where there are fewer. The text
// is the policy's, and lives as long.
const char *sf_policy_condition_name(const sf_policy *policy,
                                     size_t index);

// Frees a policy. NULL is nothing.
void sf_policy_free(sf_policy *policy);

// The providers of `count` breakers, in this order: 1 to 64, each of a name of its own. The handles stay the caller's.
//
// `SF_INVALID_ARGUMENT`.
sf_code sf_providers_new(const sf_breaker *const *breakers, size_t count, sf_providers **providers, sf_error **error);

// OpenAI, then Azure, then Anthropic, with breakers of the names `openai`, `azure` and `anthropic` in this registry: 5 failures and
// 60 s, 5 and 60, 3 and 120.
//
// `SF_POLICY_DIFFERS`, `SF_NO_ROOM`.
sf_code sf_providers_presets(const sf_registry *registry,
                             sf_providers **providers,
                             sf_error **error);

// Frees providers. Their breakers stay. NULL is nothing.
void sf_providers_free(sf_providers *providers);

// The providers that would admit a call now, in order: as `sf_registry_list`, up to `capacity` handles, each the caller's, to be freed
// with `sf_breaker_free`; `count` is how many are available. An open circuit whose time has passed is among them. Asking takes no
// probe.
sf_code sf_providers_available(const sf_providers *providers,
                               sf_breaker **breakers,
                               size_t capacity,
                               size_t *count);

// Makes a call: of the first provider that admits it, and of those that follow as `move_on`, an `sf_move_on`, says. Each is asked once
// at most, and each attempt is an outcome of its provider's breaker.
//
// `SF_OK`: an attempt ended in a success. `SF_NO_PROVIDER`: none did, and `error` says of each why. An outcome that is wrong is
// taken for an error of the service.
sf_code sf_providers_call(const sf_providers *providers,
                          sf_attempt_fn attempt,
                          void *user,
                          int32_t move_on,
                          sf_error **error);

// Makes a registry. `settings` may be NULL for the defaults. It takes some milliseconds: the breaker component is compiled, or
// found compiled in the cache.
//
// `SF_NOT_LOADED`, `SF_UNREADABLE`.
sf_code sf_registry_new(const sf_registry_settings *settings,
                        sf_registry **registry,
                        sf_error **error);

// Frees a registry. What it gave lives on until it is freed itself. NULL is nothing.
void sf_registry_free(sf_registry *registry);

// The registry's clock, in nanoseconds from its origin. 0 for NULL.
int64_t sf_registry_now(const sf_registry *registry);

// The breaker of this name: the one that exists, or a new one with this policy. Two users of one name share one breaker. The
// handle is the caller's, to be freed with `sf_breaker_free`; the breaker stays in the registry all the same.
//
// `conditions` are the `condition_count` conditions of the caller's own that the policy names; NULL and 0 for none. They go over to
// the library in any case; where the breaker exists, it has its own, and these are freed.
//
// `SF_POLICY_DIFFERS`, `SF_CONDITIONS_DIFFER`, `SF_NAME_TAKEN`, `SF_NO_ROOM`.
sf_code sf_registry_breaker(const sf_registry *registry,
                            const char *name,
                            const sf_policy *policy,
                            const sf_condition *conditions,
                            size_t condition_count,
                            sf_breaker **breaker,
                            sf_error **error);

// Makes a breaker from the `length` bytes of a snapshot, of another process perhaps. `away_ns` is the time since the snapshot was
// taken, by the wall clock. All else as in `sf_registry_breaker`.
//
// `SF_NAME_TAKEN`, `SF_NOT_RESTORED`, `SF_CONDITIONS_DIFFER`, `SF_NO_ROOM`.
sf_code sf_registry_restore(const sf_registry *registry,
                            const char *name,
                            const sf_policy *policy,
                            const sf_condition *conditions,
                            size_t condition_count,
                            const uint8_t *snapshot,
                            size_t length,
                            uint64_t away_ns,
                            sf_breaker **breaker,
                            sf_error **error);

// The breaker of this name, if there is one. The handle is the caller's, to be freed with `sf_breaker_free`.
//
// `SF_NOT_FOUND`.
sf_code sf_registry_get(const sf_registry *registry, const char *name, sf_breaker **breaker);

// Every named breaker, by name: fills `breakers` with up to `capacity` handles, each the caller's, to be freed with
// `sf_breaker_free`. `count` is how many breakers there are, which may be more; with a `capacity` of 0 that is all one learns.
sf_code sf_registry_list(const sf_registry *registry,
                         sf_breaker **breakers,
                         size_t capacity,
                         size_t *count);

// Forgets a breaker, or a family of keyed ones. Who holds it goes on using it; the name is free.
//
// `SF_NOT_FOUND`.
sf_code sf_registry_remove(const sf_registry *registry, const char *name);

// Resets every named breaker.
//
// `SF_COMPONENT_FAILED`: the breakers before the one that failed are reset.
sf_code sf_registry_reset_all(const sf_registry *registry, sf_error **error);

// All metrics, in the OpenMetrics text format, for the content type
// `application/openmetrics-text; version=1.0.0; charset=utf-8`. The text is the caller's, to be freed with `sf_string_free`.
sf_code sf_registry_metrics(const sf_registry *registry,
                            char **metrics);

// The registry's health, as numbers into `health`, whose `size` the caller has set, and as JSON for a health page, into `json`: the
// caller's, to be freed with `sf_string_free`. Either may be NULL.
sf_code sf_registry_health(const sf_registry *registry,
                           sf_health *health,
                           char **json);

// Puts another breaker component in the place of the one at work: a newer build, from `length` bytes that `source_name` stands
// for in messages. Every breaker comes along as it is, but for those that `replaced`, which may be NULL, counts otherwise.
//
// `SF_NOT_LOADED`, `SF_COMPONENT_FAILED`: the old one is at work still, and nothing has changed.
sf_code sf_registry_replace(const sf_registry *registry,
                            const char *source_name,
                            const uint8_t *component,
                            size_t length,
                            sf_replaced *replaced,
                            sf_error **error);

// A scorer that comes with the library: `text`, `logprobs` or `embedding`. `settings` may be NULL for the defaults.
//
// `SF_NOT_FOUND`: there is none of this name. `SF_SCORER_FAILED`: it refuses its configuration, and `sf_error_problem` tells each
// problem. `SF_NOT_LOADED`.
sf_code sf_scorer_builtin(const char *name,
                          const sf_scorer_settings *settings,
                          sf_scorer **scorer,
                          sf_error **error);

// A scorer from a component's file, named by the file's stem. `settings` may be NULL for the defaults.
//
// `SF_UNREADABLE`, `SF_NOT_LOADED`, `SF_SCORER_FAILED`.
sf_code sf_scorer_from_file(const char *file, const sf_scorer_settings *settings, sf_scorer **scorer, sf_error **error);

// A scorer from the `length` bytes of a component, which are copied. `name` stands for it in messages and metrics. `settings` may be
// NULL for the defaults.
//
// `SF_NOT_LOADED`, `SF_SCORER_FAILED`.
sf_code sf_scorer_from_bytes(const char *name,
                             const uint8_t *component,
                             size_t length,
                             const sf_scorer_settings *settings,
                             sf_scorer **scorer,
                             sf_error **error);

// Frees a scorer. What scores with it, by `sf_scoring_start` or as a stream, goes on. NULL is nothing.
void sf_scorer_free(sf_scorer *scorer);

// Its name. The text is the scorer's, and lives as long. NULL for NULL.
const char *sf_scorer_name(const sf_scorer *scorer);

// 1 where it takes streams as they pass; 0 where their pieces are collected, and for NULL.
int32_t sf_scorer_is_streaming(const sf_scorer *scorer);

// Scores one exchange on this thread, and waits for it. Whatever the scorer does, `verdict` says what it came to, and the code is
// `SF_OK`.
//
// `SF_INVALID_ARGUMENT`, `SF_INVALID_UTF8`: of what was handed in. The answer may be any bytes.
sf_code sf_scorer_score(const sf_scorer *scorer,
                        const sf_exchange *exchange,
                        sf_verdict *verdict);

// `sf_scorer_score` of an answer of which nothing else is known: `length` bytes of this content type, which may be NULL.
sf_code sf_scorer_score_answer(const sf_scorer *scorer,
                               const char *content_type,
                               const uint8_t *answer,
                               size_t length,
                               sf_verdict *verdict);

// Starts the threads. `settings` may be NULL for the defaults. The scorer may be freed afterwards.
//
// `SF_SYSTEM`: the system gives no thread.
sf_code sf_scoring_start(const sf_scorer *scorer,
                         const sf_scoring_settings *settings,
                         sf_scoring **scoring,
                         sf_error **error);

// Ends the threads, when they have done what they are at; what waits is reported as missing. NULL is nothing.
void sf_scoring_free(sf_scoring *scoring);

// How many answers wait. 0 for NULL.
size_t sf_scoring_waiting(const sf_scoring *scoring);

// Has an answer scored beside the call: its score, or that there is none, comes to the breaker as a late score. `permit` was settled
// as `SF_PENDING`; it and the breaker's handle may go away at once. The exchange is copied, up to `answer_bytes_max`. A policy
// without conditions on scores (`sf_policy_get_info`) needs none.
//
// `SF_BUSY`: too many wait; the score is reported as missing, and that is counted. `SF_INVALID_PERMIT`: the permit isn't settled.
// Where the exchange is wrong, the score is reported as missing, too.
sf_code sf_scoring_submit(const sf_scoring *scoring,
                          const sf_permit *permit,
                          const sf_exchange *exchange);

// Scores an answer now, on this thread, before it is passed on: the score goes into the permit, unless the call has reported one
// itself. `verdict`, where it isn't NULL, says what the scorer said, so that a bad answer can be replaced. A scorer that fails harms
// nothing: that is told as an event, and counted.
//
// `SF_PERMIT_SETTLED`: it is too late for that.
sf_code sf_permit_score(sf_permit *permit,
                        const sf_scoring *scoring,
                        const sf_exchange *exchange,
                        sf_verdict *verdict);

// A circuit's numbers, into `status`, whose `size` the caller has set. Asking changes nothing.
//
// `SF_COMPONENT_FAILED`.
sf_code sf_breaker_status(const sf_breaker *breaker, sf_status *status, sf_error **error);

// All that there is to know of a circuit, as a JSON object with the contract's names; times and spans are in nanoseconds, and
// what isn't there is `null`. The text is the caller's, to be freed with `sf_string_free`. Asking changes nothing.
//
// `SF_COMPONENT_FAILED`.
sf_code sf_breaker_status_json(const sf_breaker *breaker,
                               char **json,
                               sf_error **error);

// Begins to score an answer that comes in pieces. `exchange` says what is known by then; the answer's bytes in it aren't looked at.
// A scorer that takes streams sees each piece as it passes, in an instance that is this stream's from now on; for another they are
// collected, up to its `answer_bytes_max`, and it sees them at the end.
sf_code sf_stream_begin(const sf_scorer *scorer,
                        const sf_exchange *exchange,
                        sf_stream **stream);

// The next piece of `length` bytes, in order. `verdict`, where it isn't NULL, says what the scorer said: `SF_VERDICT_NONE_YET` mostly.
// A verdict may come before the end: an answer that is worthless already need not be read on. It still takes an
// `sf_stream_finish`.
sf_code sf_stream_push(sf_stream *stream,
                       const uint8_t *piece,
                       size_t length,
                       sf_verdict *verdict);

// The answer has ended; `complete` is 0 where it broke off. What the whole came to, and the stream is freed, whatever the code.
sf_code sf_stream_finish(sf_stream *stream,
                         int32_t complete,
                         sf_verdict *verdict);

// Gives a stream up, without a score. NULL is nothing.
void sf_stream_free(sf_stream *stream);

// Frees a text that the library gave as the caller's own. NULL is nothing.
void sf_string_free(char *text);

// Frees bytes that the library gave as the caller's own, with the length that it gave. NULL is nothing.
void sf_bytes_free(uint8_t *bytes, size_t length);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SOFTFUSE_H */
