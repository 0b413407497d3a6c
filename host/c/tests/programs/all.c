/* What a C program does with every part of the library, by its own assertions: used right, and misused. The test that builds it
 * runs it by itself, and under valgrind. */

#define _POSIX_C_SOURCE 200809L
#undef NDEBUG
#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <softfuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MS INT64_C(1000000)
#define S (1000 * MS)

static const char POLICY[] = "half_open_after = \"10s\"\n"
                             "recovery_threshold = 1\n"
                             "[trip_on]\n"
                             "any_of = [{ quality_below = { threshold = 0.5, window = 2 } }, { consecutive_failures = 2 }]\n";
static const char OWN[] = "recovery_threshold = 1\n"
                          "trip_on = { any_of = [{ host_condition = \"mine\" }, { consecutive_failures = 9 }] }\n";

/* --- a clock that is set by hand --- */

struct by_hand {
    int64_t now;
    int freed;
};

static int64_t read_clock(void *user) { return ((struct by_hand *)user)->now; }
static void clock_freed(void *user) { ((struct by_hand *)user)->freed++; }

static sf_registry *new_registry(struct by_hand *clock, const char *cache) {
    sf_registry_settings settings = SF_INIT(sf_registry_settings);
    settings.clock = read_clock;
    settings.clock_user = clock;
    settings.clock_free = clock_freed;
    settings.cache = SF_CACHE_DIR;
    settings.cache_dir = cache;
    settings.has_salt = 1;
    sf_registry *registry = NULL;
    sf_error *error = NULL;
    sf_code code = sf_registry_new(&settings, &registry, &error);
    if (code != SF_OK) {
        fprintf(stderr, "%s\n", sf_error_message(error));
    }
    assert(code == SF_OK && registry && !error);
    return registry;
}

static sf_policy *new_policy(sf_registry *registry, const char *text) {
    sf_policy *policy = NULL;
    assert(sf_policy_from_text(registry, "test.toml", text, SIZE_MAX, &policy, NULL) == SF_OK && policy);
    return policy;
}

static sf_breaker *new_breaker(sf_registry *registry, const char *name, const char *text) {
    sf_policy *policy = new_policy(registry, text);
    sf_breaker *breaker = NULL;
    assert(sf_registry_breaker(registry, name, policy, NULL, 0, &breaker, NULL) == SF_OK && breaker);
    sf_policy_free(policy);
    return breaker;
}

static sf_code settle(sf_breaker *breaker, int32_t kind, sf_settled *settled) {
    sf_permit permit;
    sf_code code = sf_permit_take(breaker, &permit, NULL);
    if (code != SF_OK) {
        return code;
    }
    sf_outcome outcome = SF_INIT(sf_outcome);
    outcome.kind = kind;
    return sf_permit_settle(&permit, &outcome, settled);
}

/* --- events --- */

struct heard {
    int count, freed;
    char last[256];
    sf_listener *own;
    sf_breaker *asks;
};

static void hear(void *user, const sf_event *event) {
    struct heard *heard = user;
    heard->count++;
    snprintf(heard->last, sizeof heard->last, "%s: %s", event->breaker, event->reason);
    if (heard->asks) {
        /* Under no lock: the breaker may be asked, and called. */
        sf_status status = SF_INIT(sf_status);
        assert(sf_breaker_status(heard->asks, &status, NULL) == SF_OK && status.state == event->new_state);
    }
    if (heard->own) {
        sf_listener_free(heard->own);
        heard->own = NULL;
    }
}

static void heard_freed(void *user) { ((struct heard *)user)->freed++; }

static void events(sf_registry *registry) {
    sf_breaker *breaker = new_breaker(registry, "events", POLICY);
    struct heard heard = {0}, once = {0};
    heard.asks = breaker;
    sf_listener *listener = NULL;
    assert(sf_registry_listen(registry, hear, &heard, heard_freed, &listener, NULL) == SF_OK && listener);
    assert(sf_registry_listen(registry, hear, &once, heard_freed, &once.own, NULL) == SF_OK);
    assert(sf_breaker_trip(breaker, "maintenance", 0, NULL) == SF_OK);
    assert(heard.count == 1 && once.count == 1 && strcmp(heard.last, "events: maintenance") == 0);
    assert(once.own == NULL && once.freed == 1); /* it has freed itself */
    assert(sf_breaker_reset(breaker, NULL) == SF_OK);
    assert(heard.count == 2 && once.count == 1);
    sf_listener_free(listener);
    assert(heard.freed == 1);
    assert(sf_breaker_trip(breaker, "again", 0, NULL) == SF_OK && heard.count == 2);
    /* What fails frees what it was handed. */
    struct heard never = {0};
    assert(sf_registry_listen(NULL, hear, &never, heard_freed, &listener, NULL) == SF_INVALID_ARGUMENT);
    assert(listener == NULL && never.freed == 1);
    sf_breaker_free(breaker);
}

/* --- calls --- */

static void calls(sf_registry *registry, struct by_hand *clock) {
    sf_breaker *breaker = new_breaker(registry, "calls", POLICY);
    assert(strcmp(sf_breaker_name(breaker), "calls") == 0 && sf_breaker_state(breaker) == SF_CLOSED);

    sf_permit permit;
    sf_settled settled = SF_INIT(sf_settled);
    assert(sf_permit_take(breaker, &permit, NULL) == SF_OK);
    clock->now += 3 * MS;
    assert(sf_permit_report_quality(&permit, 0.1, &settled) == SF_OK && settled.effect == SF_KEPT);
    assert(sf_permit_report_quality(&permit, NAN, NULL) == SF_INVALID_SCORE);
    assert(sf_permit_report_quality(&permit, 0.9, NULL) == SF_OK); /* the last one counts */
    assert(sf_permit_settle(&permit, NULL, &settled) == SF_OK);
    assert(settled.effect == SF_RECORDED && settled.latency_ns == 3 * MS && !settled.tripped);
    /* Settled twice is an error, and no double count. */
    assert(sf_permit_settle(&permit, NULL, NULL) == SF_PERMIT_SETTLED);
    assert(sf_permit_cancel(&permit) == SF_PERMIT_SETTLED);
    sf_status status = SF_INIT(sf_status);
    assert(sf_breaker_status(breaker, &status, NULL) == SF_OK && status.calls == 1 && status.successes == 1);

    /* A late score, by the same struct, takes its place and trips. */
    assert(sf_permit_report_quality(&permit, 0.0, &settled) == SF_OK);
    assert(settled.effect == SF_RECORDED && settled.tripped);
    char why[256], little[8];
    sf_rejection refused = SF_INIT(sf_rejection);
    refused.reason = why;
    refused.reason_capacity = sizeof why;
    assert(sf_permit_take(breaker, &permit, &refused) == SF_REJECTED);
    assert(refused.state == SF_OPEN && refused.trip_count == 1 && refused.has_reason && !refused.component_failed);
    assert(refused.has_retry_after && refused.retry_after_ns == (uint64_t)(10 * S));
    assert(strstr(why, "below 0.5") && strlen(why) == refused.reason_bytes);
    refused.reason = little;
    refused.reason_capacity = sizeof little;
    assert(sf_breaker_would_refuse(breaker, &refused) == SF_REJECTED);
    assert(strlen(little) == sizeof little - 1 && refused.reason_bytes == strlen(why));
    assert(strncmp(little, why, sizeof little - 1) == 0);
    /* A refusal gives no permit. */
    assert(sf_permit_settle(&permit, NULL, NULL) == SF_INVALID_PERMIT);
    assert(sf_permit_report_quality(&permit, 0.5, NULL) == SF_INVALID_PERMIT);

    /* A probe, and the circuit is closed again. */
    clock->now += 10 * S;
    assert(sf_breaker_state(breaker) == SF_OPEN && sf_breaker_would_refuse(breaker, NULL) == SF_OK);
    assert(sf_permit_take(breaker, &permit, NULL) == SF_OK && sf_breaker_state(breaker) == SF_HALF_OPEN);
    assert(sf_permit_settle(&permit, NULL, &settled) == SF_OK && settled.effect == SF_PROBED);
    assert(sf_breaker_state(breaker) == SF_CLOSED);

    /* Of another generation. */
    sf_permit late;
    assert(sf_permit_take(breaker, &late, NULL) == SF_OK);
    assert(settle(breaker, SF_ERROR, &settled) == SF_OK && !settled.tripped);
    assert(settle(breaker, SF_TIMEOUT, &settled) == SF_OK && settled.tripped);
    assert(sf_permit_settle(&late, NULL, &settled) == SF_OK && settled.effect == SF_STALE);
    assert(sf_permit_report_quality(&late, 1.0, &settled) == SF_OK && settled.effect == SF_STALE);
    assert(sf_breaker_reset(breaker, NULL) == SF_OK);

    /* The time handed in, an outcome in full. */
    sf_outcome outcome = SF_INIT(sf_outcome);
    outcome.kind = SF_RATE_LIMITED;
    outcome.has_latency = 1;
    outcome.latency_ns = 7;
    outcome.has_retry_after = 1;
    outcome.retry_after_ns = (uint64_t)(30 * S);
    assert(sf_permit_take_at(breaker, clock->now, &permit, NULL) == SF_OK);
    assert(sf_permit_settle_at(&permit, &outcome, clock->now + 5, &settled) == SF_OK && settled.latency_ns == 7);
    assert(settle(breaker, SF_OVERLOADED, &settled) == SF_OK && settled.tripped);
    assert(sf_breaker_would_refuse(breaker, &refused) == SF_REJECTED && refused.retry_after_ns == (uint64_t)(30 * S));

    /* Operators. */
    assert(sf_breaker_set_operator_state(breaker, SF_DISABLED, NULL) == SF_OK);
    assert(settle(breaker, SF_ERROR, &settled) == SF_OK && settled.effect == SF_IGNORED);
    assert(sf_breaker_set_operator_state(breaker, SF_FORCED_OPEN, NULL) == SF_OK);
    assert(sf_permit_take(breaker, &permit, &refused) == SF_REJECTED && !refused.has_retry_after);
    assert(sf_breaker_reset(breaker, NULL) == SF_OK);

    /* Pending, and missing. */
    sf_outcome pending = SF_INIT(sf_outcome);
    pending.signal = SF_PENDING;
    assert(sf_permit_take(breaker, &permit, NULL) == SF_OK);
    assert(sf_permit_settle(&permit, &pending, NULL) == SF_OK);
    assert(sf_permit_report_missing(&permit, &settled) == SF_OK);
    sf_breaker_free(breaker);
}

struct asked {
    int32_t kind;
    double score;
    int calls, settles;
};

static void ask(void *user, sf_permit *permit, sf_outcome *outcome) {
    struct asked *asked = user;
    asked->calls++;
    outcome->kind = asked->kind;
    assert(sf_permit_report_quality(permit, asked->score, NULL) == SF_OK);
    if (asked->settles) {
        assert(sf_permit_settle(permit, outcome, NULL) == SF_OK);
    }
}

static void closures(sf_registry *registry) {
    sf_breaker *breaker = new_breaker(registry, "closures", POLICY);
    struct asked asked = {SF_SUCCESS, 0.9, 0, 0};
    sf_settled settled = SF_INIT(sf_settled);
    sf_rejection refused = SF_INIT(sf_rejection);
    assert(sf_call(breaker, ask, &asked, &refused, &settled) == SF_OK && settled.effect == SF_RECORDED);
    asked.settles = 1;
    assert(sf_call(breaker, ask, &asked, NULL, NULL) == SF_OK);
    asked.settles = 0;
    asked.kind = 99; /* no kind: it is settled as cancelled */
    assert(sf_call(breaker, ask, &asked, NULL, NULL) == SF_INVALID_ARGUMENT);
    sf_status status = SF_INIT(sf_status);
    assert(sf_breaker_status(breaker, &status, NULL) == SF_OK);
    assert(status.calls == 3 && status.successes == 2 && status.neutral == 1);
    asked.kind = SF_ERROR;
    assert(sf_call(breaker, ask, &asked, NULL, &settled) == SF_OK && !settled.tripped);
    assert(sf_call(breaker, ask, &asked, NULL, &settled) == SF_OK && settled.tripped);
    assert(sf_call(breaker, ask, &asked, &refused, NULL) == SF_REJECTED && refused.trip_count == 1 && asked.calls == 5);
    assert(sf_call(breaker, NULL, NULL, NULL, NULL) == SF_INVALID_ARGUMENT);
    sf_breaker_free(breaker);
}

/* --- a condition of our own --- */

struct mine {
    int records, resets, freed;
    double limit_ms;
};

static int32_t mine_record(void *user, const sf_call_record *call, char *reason, size_t capacity) {
    struct mine *mine = user;
    mine->records++;
    assert(call->kind == SF_SUCCESS || call->kind == SF_ERROR);
    if ((double)call->latency_ns / 1e6 <= mine->limit_ms) {
        return 0;
    }
    snprintf(reason, capacity, "%d ms are too many", (int)(call->latency_ns / 1000000));
    return 1;
}

static void mine_reset(void *user) { ((struct mine *)user)->resets++; }
static void mine_freed(void *user) { ((struct mine *)user)->freed++; }

static void conditions(sf_registry *registry) {
    sf_policy *policy = new_policy(registry, OWN);
    sf_policy_info info = SF_INIT(sf_policy_info);
    assert(sf_policy_get_info(policy, &info) == SF_OK && info.condition_count == 1 && !info.uses_scores);
    assert(strcmp(sf_policy_condition_name(policy, 0), "mine") == 0 && !sf_policy_condition_name(policy, 1));
    struct mine mine = {0, 0, 0, 20.0};
    sf_condition condition = SF_INIT(sf_condition);
    condition.name = "mine";
    condition.record = mine_record;
    condition.reset = mine_reset;
    condition.free_user = mine_freed;
    condition.user = &mine;

    sf_breaker *breaker = NULL;
    sf_error *error = NULL;
    assert(sf_registry_breaker(registry, "own", policy, NULL, 0, &breaker, &error) == SF_CONDITIONS_DIFFER);
    assert(!breaker && strstr(sf_error_message(error), "mine"));
    sf_error_free(error);
    sf_condition twice[2] = {condition, condition};
    assert(sf_registry_breaker(registry, "own", policy, twice, 2, &breaker, NULL) == SF_CONDITIONS_DIFFER);
    assert(mine.freed == 2); /* handed over all the same */
    assert(sf_registry_breaker(registry, "own", policy, &condition, 1, &breaker, &error) == SF_OK && !error);

    sf_permit permit;
    sf_settled settled = SF_INIT(sf_settled);
    sf_outcome outcome = SF_INIT(sf_outcome);
    outcome.has_latency = 1;
    outcome.latency_ns = 5 * MS;
    assert(sf_permit_take(breaker, &permit, NULL) == SF_OK);
    assert(sf_permit_settle(&permit, &outcome, &settled) == SF_OK && !settled.tripped && mine.records == 1);
    outcome.latency_ns = 50 * MS;
    assert(sf_permit_take(breaker, &permit, NULL) == SF_OK);
    assert(sf_permit_settle(&permit, &outcome, &settled) == SF_OK && settled.tripped && mine.records == 2);
    char *json = NULL;
    assert(sf_breaker_status_json(breaker, &json, NULL) == SF_OK && strstr(json, "50 ms are too many"));
    sf_string_free(json);
    assert(sf_breaker_reset(breaker, NULL) == SF_OK && mine.resets == 1);
    assert(sf_registry_remove(registry, "own") == SF_OK && mine.freed == 2);
    sf_breaker_free(breaker); /* the last one */
    assert(mine.freed == 3);
    sf_policy_free(policy);
}

/* --- what goes wrong, and is said --- */

static void errors(sf_registry *registry) {
    sf_policy *policy = (sf_policy *)1;
    sf_error *error = NULL;
    const char *bad = "half_open_aftr = 5\n[trip_on]\nconsecutive_failures = 0\n";
    assert(sf_policy_from_text(registry, "bad.toml", bad, SIZE_MAX, &policy, &error) == SF_INVALID_POLICY);
    assert(!policy && error && sf_error_code(error) == SF_INVALID_POLICY && sf_error_problem_count(error) == 2);
    sf_problem problem = SF_INIT(sf_problem);
    int named = 0;
    for (size_t at = 0; at < sf_error_problem_count(error); at++) {
        assert(sf_error_problem(error, at, &problem) == SF_OK && problem.line >= 1 && problem.column >= 1);
        named |= problem.nearest && strcmp(problem.nearest, "half_open_after") == 0;
    }
    assert(named && strstr(sf_error_message(error), "bad.toml:3"));
    assert(sf_error_problem(error, 99, &problem) == SF_NOT_FOUND);
    sf_error_free(error);
    assert(sf_policy_from_file(registry, "/nowhere/at/all.toml", &policy, &error) == SF_UNREADABLE);
    assert(!policy && strstr(sf_error_message(error), "/nowhere/at/all.toml"));
    sf_error_free(error);

    /* One name, two policies: refused, both named. */
    sf_breaker *breaker = new_breaker(registry, "twice", POLICY), *other = NULL;
    policy = new_policy(registry, "trip_on = { consecutive_failures = 7 }");
    assert(sf_registry_breaker(registry, "twice", policy, NULL, 0, &other, &error) == SF_POLICY_DIFFERS && !other);
    sf_error_free(error);
    assert(sf_registry_get(registry, "twice", &other) == SF_OK && other);
    sf_breaker_free(other);
    assert(sf_registry_get(registry, "nobody", &other) == SF_NOT_FOUND && !other);
    assert(sf_registry_remove(registry, "nobody") == SF_NOT_FOUND);

    /* Snapshots: whole, damaged, of another policy. */
    uint8_t *bytes = NULL;
    size_t length = 0;
    assert(sf_breaker_trip(breaker, "maintenance", 0, NULL) == SF_OK);
    assert(sf_breaker_snapshot(breaker, &bytes, &length, NULL) == SF_OK && bytes && length);
    assert(sf_registry_restore(registry, "back", policy, NULL, 0, bytes, length, 0, &other, &error) == SF_NOT_RESTORED);
    sf_error_free(error);
    sf_policy_free(policy);
    policy = new_policy(registry, POLICY);
    assert(sf_registry_restore(registry, "back", policy, NULL, 0, bytes, length, 0, &other, NULL) == SF_OK);
    assert(sf_breaker_state(other) == SF_OPEN);
    sf_breaker_free(other);
    bytes[length / 2] ^= 1;
    assert(sf_registry_restore(registry, "bad", policy, NULL, 0, bytes, length, 0, &other, NULL) == SF_NOT_RESTORED);
    assert(sf_registry_restore(registry, "bad", policy, NULL, 0, NULL, 0, 0, &other, NULL) == SF_NOT_RESTORED && !other);
    sf_bytes_free(bytes, length);
    sf_policy_free(policy);
    sf_breaker_free(breaker);

    /* A component that is none. */
    sf_replaced replaced = SF_INIT(sf_replaced);
    assert(sf_registry_replace(registry, "junk", (const uint8_t *)"junk", 4, &replaced, &error) == SF_NOT_LOADED);
    assert(strstr(sf_error_message(error), "junk"));
    sf_error_free(error);
}

static void misuse(sf_registry *registry) {
    sf_breaker *breaker = new_breaker(registry, "misuse", POLICY);
    sf_permit permit, none;
    memset(&none, 0xaa, sizeof none);
    sf_outcome outcome = SF_INIT(sf_outcome);
    sf_settled settled = SF_INIT(sf_settled);
    sf_rejection refused = SF_INIT(sf_rejection);
    sf_error *error = NULL;

    /* NULL, everywhere. */
    assert(sf_permit_take(NULL, &permit, NULL) == SF_INVALID_ARGUMENT);
    assert(sf_permit_settle(&permit, NULL, NULL) == SF_INVALID_PERMIT);
    assert(sf_permit_take(breaker, NULL, NULL) == SF_INVALID_ARGUMENT);
    assert(sf_permit_settle(NULL, NULL, NULL) == SF_INVALID_ARGUMENT && sf_permit_cancel(NULL) == SF_INVALID_ARGUMENT);
    assert(sf_registry_new(NULL, NULL, &error) == SF_INVALID_ARGUMENT && strstr(sf_error_message(error), "`registry`"));
    sf_error_free(error);
    sf_breaker *again = breaker;
    assert(sf_registry_get(NULL, "x", &again) == SF_INVALID_ARGUMENT && !again);
    assert(sf_registry_get(registry, NULL, &again) == SF_INVALID_ARGUMENT && !again);
    assert(sf_registry_get(registry, "\xff\xfe", &again) == SF_INVALID_UTF8 && !again);
    /* What a function gives is NULL where it fails. */
    again = breaker;
    assert(sf_registry_breaker(registry, "\xff", NULL, NULL, 0, &again, NULL) == SF_INVALID_UTF8 && !again);
    sf_registry *none_made = (sf_registry *)1;
    sf_registry_settings wrong = SF_INIT(sf_registry_settings);
    wrong.size = 3;
    assert(sf_registry_new(&wrong, &none_made, NULL) == SF_INVALID_ARGUMENT && !none_made);
    wrong.size = sizeof wrong;
    wrong.cache = 3;
    assert(sf_registry_new(&wrong, &none_made, NULL) == SF_INVALID_ARGUMENT && !none_made);
    wrong.cache = SF_CACHE_NONE;
    wrong.failure_mode = 2;
    assert(sf_registry_new(&wrong, &none_made, NULL) == SF_INVALID_ARGUMENT);
    wrong.failure_mode = SF_FAIL_CLOSED;
    wrong.instances = 257;
    assert(sf_registry_new(&wrong, &none_made, NULL) == SF_INVALID_ARGUMENT);
    char *text = (char *)1;
    assert(sf_registry_metrics(NULL, &text) == SF_INVALID_ARGUMENT && !text);
    assert(sf_registry_metrics(registry, NULL) == SF_INVALID_ARGUMENT);
    assert(sf_breaker_name(NULL) == NULL && sf_breaker_state(NULL) == -1 && sf_breaker_share(NULL) == NULL);
    assert(sf_breaker_status(NULL, NULL, NULL) == SF_INVALID_ARGUMENT);
    sf_registry_free(NULL), sf_policy_free(NULL), sf_breaker_free(NULL), sf_listener_free(NULL), sf_error_free(NULL);
    sf_string_free(NULL), sf_bytes_free(NULL, 0), sf_scorer_free(NULL), sf_scoring_free(NULL), sf_stream_free(NULL);
    sf_keyed_free(NULL), sf_bulkhead_free(NULL), sf_place_free(NULL), sf_providers_free(NULL);

    /* No permit. */
    assert(sf_permit_settle(&none, NULL, NULL) == SF_INVALID_PERMIT);
    assert(sf_permit_report_missing(&none, NULL) == SF_INVALID_PERMIT);

    /* Numbers that name nothing change nothing: the permit can still be settled. */
    assert(sf_permit_take(breaker, &permit, NULL) == SF_OK);
    outcome.kind = 8;
    assert(sf_permit_settle(&permit, &outcome, NULL) == SF_INVALID_ARGUMENT);
    outcome.kind = -1;
    assert(sf_permit_settle(&permit, &outcome, NULL) == SF_INVALID_ARGUMENT);
    outcome.kind = SF_SUCCESS;
    outcome.signal = 3;
    assert(sf_permit_settle(&permit, &outcome, NULL) == SF_INVALID_ARGUMENT);
    outcome.signal = SF_SCORE;
    outcome.score = INFINITY;
    assert(sf_permit_settle(&permit, &outcome, NULL) == SF_INVALID_SCORE);
    outcome.score = 0.9;
    settled.size = 0; /* not set */
    assert(sf_permit_settle(&permit, &outcome, &settled) == SF_INVALID_ARGUMENT);
    settled.size = sizeof settled;
    assert(sf_permit_settle(&permit, &outcome, &settled) == SF_OK && settled.effect == SF_RECORDED);
    assert(sf_breaker_set_operator_state(breaker, SF_OPEN, &error) == SF_INVALID_ARGUMENT);
    assert(strstr(sf_error_message(error), "SF_METRICS_ONLY"));
    sf_error_free(error);
    assert(strcmp(sf_state_name(77), "an unknown state") == 0 && strcmp(sf_kind_name(-3), "an unknown kind") == 0);
    assert(strcmp(sf_code_text(1234), "an unknown code") == 0);

    /* A permit whose number is corrupted is lost, and the component has not failed by that. */
    for (int bit = 0; bit < 64; bit++) {
        assert(sf_permit_take(breaker, &permit, NULL) == SF_OK);
        permit.number ^= UINT64_C(1) << bit;
        assert(sf_permit_settle(&permit, NULL, &settled) == SF_OK);
        assert(settled.effect == SF_LOST || settled.effect == SF_STALE);
    }
    char *metrics = NULL;
    assert(sf_registry_metrics(registry, &metrics) == SF_OK && strstr(metrics, "softfuse_call_total"));
    assert(!strstr(metrics, "softfuse_component_failures_total{"));
    sf_string_free(metrics);

    /* Structs of other versions: an older, shorter one; a newer, longer one. */
    struct {
        sf_outcome known;
        uint64_t more;
    } newer = {SF_INIT(sf_outcome), 0};
    newer.known.size = sizeof newer;
    assert(sf_permit_take(breaker, &permit, NULL) == SF_OK);
    newer.more = 1;
    assert(sf_permit_settle(&permit, &newer.known, NULL) == SF_INVALID_ARGUMENT);
    newer.more = 0;
    assert(sf_permit_settle(&permit, &newer.known, NULL) == SF_OK);
    struct {
        sf_settled known;
        uint64_t more;
    } longer = {SF_INIT(sf_settled), 7};
    longer.known.size = sizeof longer;
    assert(sf_permit_take(breaker, &permit, NULL) == SF_OK);
    assert(sf_permit_settle(&permit, NULL, &longer.known) == SF_OK && longer.more == 0);
    struct {
        size_t size;
        int32_t kind, signal;
    } older = {sizeof older, SF_ERROR, SF_NO_SCORE};
    struct {
        size_t size;
        int32_t effect;
        uint32_t tripped;
        uint64_t untouched;
    } shorter = {offsetof(sf_settled, latency_ns), -1, 9, 42};
    assert(sf_permit_take(breaker, &permit, NULL) == SF_OK);
    assert(sf_permit_settle(&permit, (sf_outcome *)&older, (sf_settled *)&shorter) == SF_OK);
    assert(shorter.effect == SF_RECORDED && shorter.tripped == 0 && shorter.untouched == 42);
    /* And ones that lie anywhere, as in what was packed. */
    char packed[1 + sizeof outcome], told[1 + sizeof settled];
    sf_outcome timed = SF_INIT(sf_outcome);
    timed.has_latency = 1;
    timed.latency_ns = 17;
    settled.effect = -1;
    memcpy(packed + 1, &timed, sizeof timed);
    memcpy(told + 1, &settled, sizeof settled);
    assert(sf_permit_take(breaker, &permit, NULL) == SF_OK);
    assert(sf_permit_settle(&permit, (void *)(packed + 1), (void *)(told + 1)) == SF_OK);
    memcpy(&settled, told + 1, sizeof settled);
    assert(settled.size == sizeof settled && settled.effect == SF_RECORDED && settled.latency_ns == 17);
    assert(sf_breaker_would_refuse(breaker, &refused) == SF_OK);
    sf_breaker_free(breaker);
}

/* --- threads --- */

enum { CALLS = 2000 };

static void *many(void *argument) {
    sf_breaker *breaker = argument;
    for (int at = 0; at < CALLS; at++) {
        sf_permit permit;
        assert(sf_permit_take(breaker, &permit, NULL) == SF_OK);
        assert(sf_permit_report_quality(&permit, 0.9, NULL) == SF_OK);
        assert(sf_permit_settle(&permit, NULL, NULL) == SF_OK);
    }
    return NULL;
}

static void threads(sf_registry *registry) {
    sf_breaker *breaker = new_breaker(registry, "threads", POLICY);
    pthread_t thread[2];
    for (int at = 0; at < 2; at++) {
        assert(pthread_create(&thread[at], NULL, many, breaker) == 0);
    }
    for (int at = 0; at < 2; at++) {
        assert(pthread_join(thread[at], NULL) == 0);
    }
    sf_status status = SF_INIT(sf_status);
    assert(sf_breaker_status(breaker, &status, NULL) == SF_OK);
    assert(status.calls == 2 * CALLS && status.successes == 2 * CALLS && status.state == SF_CLOSED);
    sf_breaker_free(breaker);
}

/* --- scorers --- */

static void scorers(sf_registry *registry) {
    sf_scorer_settings settings = SF_INIT(sf_scorer_settings);
    settings.registry = registry;
    sf_scorer *scorer = NULL;
    sf_error *error = NULL;
    assert(sf_scorer_builtin("tea-leaves", &settings, &scorer, &error) == SF_NOT_FOUND && !scorer);
    assert(strstr(sf_error_message(error), "logprobs"));
    sf_error_free(error);
    settings.config = "no_such_key = 1";
    assert(sf_scorer_builtin("text", &settings, &scorer, &error) == SF_SCORER_FAILED && sf_error_problem_count(error) == 1);
    sf_error_free(error);
    settings.config = NULL;
    assert(sf_scorer_from_file("/nowhere.wasm", &settings, &scorer, NULL) == SF_UNREADABLE && !scorer);
    assert(sf_scorer_from_bytes("junk", (const uint8_t *)"junk", 4, &settings, &scorer, NULL) == SF_NOT_LOADED);
    assert(sf_scorer_builtin("text", &settings, &scorer, &error) == SF_OK && !error);
    assert(strcmp(sf_scorer_name(scorer), "text") == 0);

    char why[256];
    sf_verdict good = SF_INIT(sf_verdict), bad = SF_INIT(sf_verdict);
    bad.text = why;
    bad.text_capacity = sizeof why;
    const char *answer = "Paris is the capital of France, and its largest city.";
    assert(sf_scorer_score_answer(scorer, "text/plain", (const uint8_t *)answer, strlen(answer), &good) == SF_OK);
    assert(good.kind == SF_VERDICT_SCORE && good.score > 0.5);
    assert(sf_scorer_score_answer(scorer, "text/plain", NULL, 0, &bad) == SF_OK);
    assert(bad.kind == SF_VERDICT_SCORE && bad.score < good.score);
    assert(sf_scorer_score_answer(scorer, NULL, NULL, 5, &bad) == SF_INVALID_ARGUMENT);
    assert(sf_scorer_score_answer(NULL, NULL, NULL, 0, &bad) == SF_INVALID_ARGUMENT);

    sf_exchange exchange = SF_INIT(sf_exchange);
    const char *names[] = {"tenant"}, *values[] = {"a"};
    exchange.operation = "chat";
    exchange.answer_content_type = "text/plain";
    exchange.answer = (const uint8_t *)answer;
    exchange.answer_length = strlen(answer);
    exchange.metadata_names = names;
    exchange.metadata_values = values;
    exchange.metadata_count = 1;
    sf_verdict same = SF_INIT(sf_verdict);
    assert(sf_scorer_score(scorer, &exchange, &same) == SF_OK && same.score == good.score);

    /* In pieces. */
    sf_stream *stream = NULL;
    assert(sf_stream_begin(scorer, &exchange, &stream) == SF_OK && stream);
    assert(sf_stream_push(stream, (const uint8_t *)answer, 20, &bad) == SF_OK && bad.kind == SF_VERDICT_NONE_YET);
    assert(sf_stream_push(stream, (const uint8_t *)answer + 20, strlen(answer) - 20, NULL) == SF_OK);
    assert(sf_stream_finish(stream, 1, &same) == SF_OK && same.kind == SF_VERDICT_SCORE && same.score == good.score);
    assert(sf_stream_begin(scorer, &exchange, &stream) == SF_OK);
    sf_stream_free(stream);

    /* For a breaker: before the answer is passed on, and beside the call. */
    sf_scoring *scoring = NULL;
    assert(sf_scoring_start(scorer, NULL, &scoring, NULL) == SF_OK && scoring);
    sf_scorer_free(scorer);
    sf_breaker *breaker = new_breaker(registry, "scored", POLICY);
    sf_permit permit;
    assert(sf_permit_take(breaker, &permit, NULL) == SF_OK);
    assert(sf_permit_score(&permit, scoring, &exchange, &same) == SF_OK && same.score == good.score);
    assert(sf_permit_settle(&permit, NULL, NULL) == SF_OK);
    assert(sf_permit_score(&permit, scoring, &exchange, NULL) == SF_PERMIT_SETTLED);
    sf_outcome outcome = SF_INIT(sf_outcome);
    outcome.signal = SF_PENDING;
    assert(sf_permit_take(breaker, &permit, NULL) == SF_OK);
    assert(sf_scoring_submit(scoring, &permit, &exchange) == SF_INVALID_PERMIT);
    assert(sf_permit_settle(&permit, &outcome, NULL) == SF_OK);
    assert(sf_scoring_submit(scoring, &permit, &exchange) == SF_OK);
    /* It comes within a second or so; the test that runs this has a deadline. */
    for (int scored = 0; !scored;) {
        char *json = NULL;
        assert(sf_breaker_status_json(breaker, &json, NULL) == SF_OK);
        scored = strstr(json, "\"filled\":2,\"holds\":false,\"limit\":0.5") != NULL;
        sf_string_free(json);
        nanosleep(&(struct timespec){0, MS}, NULL);
    }
    assert(sf_scoring_waiting(scoring) == 0);
    sf_scoring_free(scoring);
    sf_breaker_free(breaker);
}

/* --- around breakers --- */

static size_t make_mine(void *user, const char *key, sf_condition *conditions, size_t capacity) {
    assert(capacity > 0 && strlen(key) > 0 && !conditions[0].name);
    conditions[0].record = mine_record;
    conditions[0].free_user = mine_freed;
    conditions[0].user = user;
    return 1;
}

static void keyed(sf_registry *registry) {
    sf_policy *policy = new_policy(registry, POLICY);
    sf_keyed_settings settings = SF_INIT(sf_keyed_settings);
    settings.live_max = 2;
    sf_keyed *family = NULL;
    assert(sf_registry_keyed(registry, "tenants", policy, &settings, &family, NULL) == SF_OK && family);
    const char *keys[] = {"a", "b", "c", "a"};
    for (int at = 0; at < 4; at++) {
        sf_breaker *breaker = NULL;
        assert(sf_keyed_get(family, keys[at], &breaker, NULL) == SF_OK);
        assert(settle(breaker, SF_SUCCESS, NULL) == SF_OK);
        sf_breaker_free(breaker);
    }
    sf_keyed_counts counts = SF_INIT(sf_keyed_counts);
    assert(sf_keyed_count(family, &counts) == SF_OK && counts.live == 2 && counts.retired == 1);
    char *names[3] = {NULL, NULL, NULL};
    sf_breaker *members[3] = {NULL, NULL, NULL};
    size_t count = 0;
    assert(sf_keyed_list(family, names, members, 3, &count) == SF_OK && count == 2 && names[1] && !names[2] && !members[2]);
    for (size_t at = 0; at < count; at++) {
        assert(strlen(names[at]) == 1 && sf_breaker_state(members[at]) == SF_CLOSED);
        sf_breaker_free(members[at]);
        sf_string_free(names[at]);
    }
    assert(sf_keyed_list(family, names, NULL, 1, &count) == SF_OK && count == 2);
    sf_string_free(names[0]);
    assert(sf_keyed_list(family, NULL, NULL, 0, &count) == SF_OK && count == 2);
    assert(sf_keyed_list(family, NULL, NULL, 0, NULL) == SF_INVALID_ARGUMENT);
    char longest[1026];
    memset(longest, 'k', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    sf_breaker *breaker = NULL;
    sf_error *error = NULL;
    assert(sf_keyed_get(family, longest, &breaker, &error) == SF_INVALID_ARGUMENT && !breaker);
    assert(strstr(sf_error_message(error), "1025"));
    sf_error_free(error);
    sf_keyed_free(family);
    sf_policy_free(policy);

    policy = new_policy(registry, OWN);
    struct mine mine = {0, 0, 0, 20.0};
    settings.make_conditions = make_mine;
    settings.user = &mine;
    settings.free_user = mine_freed;
    assert(sf_registry_keyed(registry, "own tenants", policy, &settings, &family, NULL) == SF_OK);
    assert(sf_keyed_get(family, "a", &breaker, NULL) == SF_OK && settle(breaker, SF_SUCCESS, NULL) == SF_OK);
    assert(mine.records == 1);
    sf_breaker_free(breaker);
    assert(sf_registry_remove(registry, "own tenants") == SF_OK && mine.freed == 0);
    sf_keyed_free(family);
    assert(mine.freed == 3); /* of the overflow breaker, of "a", and what makes them */
    sf_policy_free(policy);
}

static void *leave(void *place) {
    sf_place_free(place);
    return NULL;
}

static void bulkheads(void) {
    sf_bulkhead_settings settings = SF_INIT(sf_bulkhead_settings);
    settings.concurrent_max = 1;
    settings.queue_max = 2000000;
    sf_bulkhead *bulkhead = NULL;
    sf_error *error = NULL;
    assert(sf_bulkhead_new("chat", &settings, &bulkhead, &error) == SF_INVALID_ARGUMENT && !bulkhead);
    assert(strstr(sf_error_message(error), "queue_max"));
    sf_error_free(error);
    settings.queue_max = 1;
    assert(sf_bulkhead_new("chat", &settings, &bulkhead, NULL) == SF_OK);
    sf_place *place = NULL, *second = NULL;
    assert(sf_bulkhead_enter(bulkhead, 0, &place, NULL) == SF_OK);
    assert(sf_bulkhead_enter(bulkhead, 1, &second, &error) == SF_BULKHEAD_FULL && !second);
    sf_error_free(error);
    /* Another thread gives the place back, and this one has waited for it. */
    pthread_t thread;
    assert(pthread_create(&thread, NULL, leave, place) == 0);
    assert(sf_bulkhead_enter(bulkhead, 0, &second, NULL) == SF_OK && second);
    assert(pthread_join(thread, NULL) == 0);
    sf_bulkhead_counts counts = SF_INIT(sf_bulkhead_counts);
    assert(sf_bulkhead_count(bulkhead, &counts) == SF_OK && counts.in_use == 1 && counts.refused == 1);
    sf_bulkhead_free(bulkhead);
    sf_place_free(second);
    settings.queue_timeout_ns = 1;
    assert(sf_bulkhead_new("chat", &settings, &bulkhead, NULL) == SF_OK);
    assert(sf_bulkhead_enter(bulkhead, 0, &place, NULL) == SF_OK);
    assert(sf_bulkhead_enter(bulkhead, 0, &second, NULL) == SF_BULKHEAD_TIMED_OUT && !second);
    sf_place_free(place);
    sf_bulkhead_free(bulkhead);
}

static void attempt(void *user, const sf_breaker *breaker, sf_permit *permit, sf_outcome *outcome) {
    char *tried = user;
    strcat(strcat(tried, sf_breaker_name(breaker)), " ");
    outcome->kind = strcmp(sf_breaker_name(breaker), "far") == 0 ? SF_SUCCESS : SF_TIMEOUT;
    assert(sf_permit_report_quality(permit, 0.9, NULL) == SF_OK);
}

static void providers(sf_registry *registry) {
    sf_breaker *near = new_breaker(registry, "near", POLICY), *far = new_breaker(registry, "far", POLICY);
    const sf_breaker *both[] = {near, far}, *twice[] = {near, near};
    sf_providers *chain = NULL;
    assert(sf_providers_new(twice, 2, &chain, NULL) == SF_INVALID_ARGUMENT && !chain);
    assert(sf_providers_new(NULL, 0, &chain, NULL) == SF_INVALID_ARGUMENT);
    assert(sf_providers_new(both, 2, &chain, NULL) == SF_OK);
    char tried[64] = "";
    assert(sf_providers_call(chain, attempt, tried, SF_ON_FAILURE, NULL) == SF_OK && strcmp(tried, "near far ") == 0);
    sf_status status = SF_INIT(sf_status);
    assert(sf_breaker_status(near, &status, NULL) == SF_OK && status.failures == 1 && status.calls == 1);
    assert(status.last_failure_kind == SF_TIMEOUT);
    assert(sf_breaker_status(far, &status, NULL) == SF_OK && status.successes == 1 && status.calls == 1);
    sf_error *error = NULL;
    assert(sf_providers_call(chain, attempt, tried, SF_ON_REJECTION, &error) == SF_NO_PROVIDER);
    assert(strstr(sf_error_message(error), "near"));
    sf_error_free(error);
    assert(sf_providers_call(chain, attempt, tried, 7, NULL) == SF_INVALID_ARGUMENT);
    sf_breaker *available[2] = {NULL, NULL};
    size_t count = 0;
    assert(sf_providers_available(chain, available, 2, &count) == SF_OK && count == 1 && !available[1]);
    assert(strcmp(sf_breaker_name(available[0]), "far") == 0);
    sf_breaker_free(available[0]);
    sf_providers_free(chain);
    assert(sf_providers_presets(registry, &chain, NULL) == SF_OK);
    sf_providers_free(chain);
    sf_breaker_free(near);
    sf_breaker_free(far);
}

/* --- the whole registry, and what outlives it --- */

static void whole(sf_registry *registry) {
    size_t count = 0, given = 0;
    assert(sf_registry_list(registry, NULL, 0, &count) == SF_OK && count > 3);
    sf_breaker **list = calloc(count, sizeof *list);
    assert(list && sf_registry_list(registry, list, count - 1, &given) == SF_OK && given == count && !list[count - 1]);
    for (size_t at = 0; at < count; at++) {
        sf_breaker_free(list[at]);
    }
    free(list);
    assert(sf_registry_reset_all(registry, NULL) == SF_OK);
    sf_health health = SF_INIT(sf_health);
    char *json = NULL;
    assert(sf_registry_health(registry, &health, &json) == SF_OK);
    assert(health.healthy && health.status_code == 200 && health.available == health.total && health.total == count + 1);
    assert(strstr(json, "circuits healthy"));
    sf_string_free(json);
}

int main(int argc, char **argv) {
    assert(argc == 2);
    assert(strcmp(sf_version(), "0.1.0") == 0);
    struct by_hand clock = {0, 0};
    sf_registry *registry = new_registry(&clock, argv[1]);
    calls(registry, &clock);
    closures(registry);
    events(registry);
    conditions(registry);
    errors(registry);
    misuse(registry);
    threads(registry);
    scorers(registry);
    keyed(registry);
    bulkheads();
    providers(registry);
    whole(registry);

    /* Freed in another order: breakers live on without their registry. */
    sf_breaker *breaker = new_breaker(registry, "survivor", POLICY), *shared = sf_breaker_share(breaker);
    struct heard heard = {0};
    sf_listener *listener = NULL;
    assert(sf_registry_listen(registry, hear, &heard, NULL, &listener, NULL) == SF_OK);
    sf_registry_free(registry);
    sf_breaker_free(breaker);
    assert(settle(shared, SF_ERROR, NULL) == SF_OK && settle(shared, SF_ERROR, NULL) == SF_OK);
    assert(settle(shared, SF_ERROR, NULL) == SF_REJECTED && heard.count == 1 && clock.freed == 0);
    sf_breaker_free(shared);
    sf_listener_free(listener);
    assert(clock.freed == 1);
    puts("all is as it should be");
    return 0;
}
