/* The C half of the benchmark: guarded calls as a C program makes them, in loops that benches/abi.rs times. */

#include <softfuse.h>
#include <stddef.h>
#include <stdlib.h>

struct bench {
    sf_registry *registry;
    sf_breaker *breaker;
    int64_t now;
};

/* Sets a breaker with this policy up; `open` opens it for good. NULL where that fails. */
struct bench *bench_new(const char *policy_text, int32_t open) {
    struct bench *bench = calloc(1, sizeof *bench);
    sf_policy *policy = NULL;
    if (!bench || sf_registry_new(NULL, &bench->registry, NULL) != SF_OK ||
        sf_policy_from_text(bench->registry, "bench", policy_text, SIZE_MAX, &policy, NULL) != SF_OK ||
        sf_registry_breaker(bench->registry, "bench", policy, NULL, 0, &bench->breaker, NULL) != SF_OK) {
        return NULL;
    }
    sf_policy_free(policy);
    if (open && sf_breaker_set_operator_state(bench->breaker, SF_FORCED_OPEN, NULL) != SF_OK) {
        return NULL;
    }
    return bench;
}

/* Two steps, the clock handed in; `score` of each answer, or none where it is negative. How many calls were made. */
uint64_t bench_permits(struct bench *bench, uint64_t calls, double score) {
    uint64_t made = 0;
    for (uint64_t at = 0; at < calls; at++) {
        sf_permit permit;
        int64_t now = bench->now += 1000;
        if (sf_permit_take_at(bench->breaker, now, &permit, NULL) == SF_OK) {
            if (score >= 0) {
                sf_permit_report_quality(&permit, score, NULL);
            }
            made += sf_permit_settle_at(&permit, NULL, now + 500, NULL) == SF_OK;
        }
    }
    return made;
}

/* Two steps, the clock read by the library. */
uint64_t bench_permits_clock(struct bench *bench, uint64_t calls, double score) {
    uint64_t made = 0;
    (void)score;
    for (uint64_t at = 0; at < calls; at++) {
        sf_permit permit;
        if (sf_permit_take(bench->breaker, &permit, NULL) == SF_OK) {
            made += sf_permit_settle(&permit, NULL, NULL) == SF_OK;
        }
    }
    return made;
}

static void nothing(void *user, sf_permit *permit, sf_outcome *outcome) {
    (void)user, (void)permit, (void)outcome;
}

/* The call as one function, the clock read by the library. */
uint64_t bench_calls_clock(struct bench *bench, uint64_t calls, double score) {
    uint64_t made = 0;
    (void)score;
    for (uint64_t at = 0; at < calls; at++) {
        made += sf_call(bench->breaker, nothing, NULL, NULL, NULL) == SF_OK;
    }
    return made;
}

/* Refusals, with all that is said of them but the words, the clock handed in. How many there were. */
uint64_t bench_refusals(struct bench *bench, uint64_t calls, double score) {
    uint64_t refused = 0;
    (void)score;
    for (uint64_t at = 0; at < calls; at++) {
        sf_permit permit;
        sf_rejection rejection = SF_INIT(sf_rejection);
        refused += sf_permit_take_at(bench->breaker, bench->now += 1000, &permit, &rejection) == SF_REJECTED;
    }
    return refused;
}
