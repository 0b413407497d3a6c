/* What a C program meets where components misbehave: a breaker component that traps, loops and eats memory, and scorers that do. Calls
 * go on, by the codes that the header promises. Its arguments are the cache, and the components in the order of `main`. */

#undef NDEBUG
#include <assert.h>
#include <softfuse.h>
#include <stdio.h>
#include <string.h>

#define MS UINT64_C(1000000)

/* Latencies by which the hostile breaker component knows what to do. */
enum { TRAP = 666, LOOP = 667, EAT_MEMORY = 670 };

static sf_registry *registry_of(const char *cache, const char *component, int32_t failure_mode) {
    sf_registry_settings settings = SF_INIT(sf_registry_settings);
    settings.cache = SF_CACHE_DIR;
    settings.cache_dir = cache;
    settings.component_file = component;
    settings.failure_mode = failure_mode;
    settings.instances = 1;
    settings.component_deadline_ns = 200 * MS;
    settings.component_memory_bytes_max = 16 << 20;
    settings.snapshot_every = 1;
    settings.snapshot_interval_ns = 1;
    sf_registry *registry = NULL;
    sf_error *error = NULL;
    if (sf_registry_new(&settings, &registry, &error) != SF_OK) {
        fprintf(stderr, "%s\n", sf_error_message(error));
    }
    assert(registry && !error);
    return registry;
}

/* A breaker of this policy. */
static sf_breaker *breaker_of(sf_registry *registry, const char *policy_text) {
    sf_policy *policy = NULL;
    sf_breaker *breaker = NULL;
    assert(sf_policy_from_text(registry, "any", policy_text, SIZE_MAX, &policy, NULL) == SF_OK);
    assert(sf_registry_breaker(registry, "llm", policy, NULL, 0, &breaker, NULL) == SF_OK);
    sf_policy_free(policy);
    return breaker;
}

struct heard {
    int failed, restored;
    char text[512];
};

static void hear(void *user, const sf_event *event) {
    struct heard *heard = user;
    heard->failed += event->kind == SF_FAILED;
    heard->restored += event->kind == SF_RESTORED;
    if (event->kind == SF_FAILED) {
        snprintf(heard->text, sizeof heard->text, "%s", event->reason);
    }
}

static sf_code settle(sf_permit *permit, uint64_t latency_ns, sf_settled *settled) {
    sf_outcome outcome = SF_INIT(sf_outcome);
    outcome.has_latency = 1;
    outcome.latency_ns = latency_ns;
    return sf_permit_settle(permit, &outcome, settled);
}

/* A breaker component that fails in this way: the outcome is lost, that is told, and the next calls are made. */
static void breaker(const char *cache, const char *component, uint64_t way) {
    sf_registry *registry = registry_of(cache, component, SF_FAIL_OPEN);
    sf_breaker *breaker = breaker_of(registry, "");
    sf_listener *listener = NULL;
    struct heard heard = {0, 0, ""};
    assert(sf_registry_listen(registry, hear, &heard, NULL, &listener, NULL) == SF_OK);
    sf_permit permit;
    sf_settled settled = SF_INIT(sf_settled);
    for (int call = 0; call < 3; call++) {
        assert(sf_permit_take(breaker, &permit, NULL) == SF_OK);
        assert(settle(&permit, 1, &settled) == SF_OK && settled.effect == SF_RECORDED);
        assert(sf_permit_take(breaker, &permit, NULL) == SF_OK);
        assert(settle(&permit, way, &settled) == SF_OK && settled.effect == SF_LOST && !settled.tripped);
        assert(sf_permit_report_quality(&permit, 0.5, &settled) == SF_OK && settled.effect == SF_LOST);
        assert(sf_permit_settle(&permit, NULL, NULL) == SF_PERMIT_SETTLED);
    }
    assert(heard.failed >= 1 && heard.restored >= 1 && heard.text[0]);
    /* What has no answer without the component says so; the metrics say how often. */
    char *metrics = NULL;
    assert(sf_registry_metrics(registry, &metrics) == SF_OK && strstr(metrics, "softfuse_component_failures_total"));
    sf_string_free(metrics);
    sf_listener_free(listener);
    sf_breaker_free(breaker);
    sf_registry_free(registry);
}

/* The same, failing closed: while the component rests, calls are refused, and the refusal says why. */
static void refuses(const char *cache, const char *component) {
    sf_registry *registry = registry_of(cache, component, SF_FAIL_CLOSED);
    sf_breaker *breaker = breaker_of(registry, "");
    int refused = 0;
    for (int call = 0; call < 20 && !refused; call++) {
        sf_permit permit;
        sf_rejection rejection = SF_INIT(sf_rejection);
        sf_code code = sf_permit_take(breaker, &permit, &rejection);
        if (code == SF_REJECTED) {
            assert(rejection.component_failed);
            refused = 1;
        } else {
            assert(code == SF_OK);
            assert(settle(&permit, TRAP, NULL) == SF_OK);
        }
    }
    assert(refused);
    sf_status status = SF_INIT(sf_status);
    sf_error *error = NULL;
    assert(sf_breaker_status(breaker, &status, &error) == SF_COMPONENT_FAILED);
    assert(strlen(sf_error_message(error)) > 0);
    sf_error_free(error);
    sf_breaker_free(breaker);
    sf_registry_free(registry);
}

/* A scorer that fails is no score, again and again, and harms neither the call nor the next answer. */
static void scorer(sf_registry *registry, const char *component, int32_t failure) {
    sf_scorer_settings settings = SF_INIT(sf_scorer_settings);
    settings.registry = registry;
    settings.deadline_ns = 100 * MS;
    settings.memory_bytes_max = 8 << 20;
    sf_scorer *scorer = NULL;
    sf_error *error = NULL;
    if (sf_scorer_from_file(component, &settings, &scorer, &error) != SF_OK) {
        fprintf(stderr, "%s: %s\n", component, sf_error_message(error));
    }
    assert(scorer && !error);
    for (int answer = 0; answer < 3; answer++) {
        sf_verdict verdict = SF_INIT(sf_verdict);
        assert(sf_scorer_score_answer(scorer, "text/plain", (const uint8_t *)"Paris", 5, &verdict) == SF_OK);
        assert(verdict.kind == SF_VERDICT_FAILED && verdict.failure == failure);
    }
    sf_scorer_free(scorer);
}

/* A hot upgrade: whoever can't be told of it is refused beforehand, and the old component goes on; then every breaker comes along. */
static void upgrade(const char *cache, const char *component) {
    static uint8_t bytes[4 << 20];
    FILE *file = fopen(component, "rb");
    assert(file);
    size_t length = fread(bytes, 1, sizeof bytes, file);
    assert(length > 0 && length < sizeof bytes && fclose(file) == 0);
    sf_registry *registry = registry_of(cache, NULL, SF_FAIL_OPEN);
    sf_breaker *breaker = breaker_of(registry, "trip_on = { consecutive_failures = 3 }");
    sf_listener *listener = NULL;
    struct heard heard = {0, 0, ""};
    assert(sf_registry_listen(registry, hear, &heard, NULL, &listener, NULL) == SF_OK);
    sf_replaced replaced = SF_INIT(sf_replaced);
    sf_error *error = NULL;
    replaced.size = 3;
    assert(sf_registry_replace(registry, component, bytes, length, &replaced, &error) == SF_INVALID_ARGUMENT);
    assert(strstr(sf_error_message(error), "`replaced->size` is 3"));
    sf_error_free(error);
    sf_permit permit;
    assert(sf_permit_take(breaker, &permit, NULL) == SF_OK && settle(&permit, 1, NULL) == SF_OK);
    replaced.size = sizeof replaced;
    assert(sf_registry_replace(registry, component, bytes, length, &replaced, NULL) == SF_OK);
    assert(replaced.restored == 1 && replaced.refused == 0 && replaced.lost == 0);
    /* The new one is at work: it takes the old one's bytes for those of an open circuit. */
    assert(sf_permit_take(breaker, &permit, NULL) == SF_REJECTED && heard.failed == 0);
    sf_listener_free(listener);
    sf_breaker_free(breaker);
    sf_registry_free(registry);
}

/* Settings that aren't: the message names the key, the value and what would be right. */
static void settings(void) {
    sf_registry_settings settings = SF_INIT(sf_registry_settings);
    settings.component_deadline_ns = 5;
    sf_registry *registry = NULL;
    sf_error *error = NULL;
    assert(sf_registry_new(&settings, &registry, &error) == SF_INVALID_ARGUMENT && !registry);
    const char *message = sf_error_message(error);
    assert(strstr(message, "component_deadline_ns") && strstr(message, "5,") && strstr(message, "10 ms to 5 s"));
    sf_error_free(error);
}

int main(int argc, char **argv) {
    assert(argc == 6);
    const char *cache = argv[1], *component = argv[2];
    settings();
    breaker(cache, component, TRAP);
    breaker(cache, component, LOOP);
    breaker(cache, component, EAT_MEMORY);
    refuses(cache, component);
    upgrade(cache, component);
    sf_registry *registry = registry_of(cache, NULL, SF_FAIL_OPEN);
    scorer(registry, argv[3], SF_SCORER_DEADLINE);
    scorer(registry, argv[4], SF_SCORER_MEMORY);
    scorer(registry, argv[5], SF_SCORER_TRAPPED);
    sf_registry_free(registry);
    puts("all is as it should be");
    return 0;
}
