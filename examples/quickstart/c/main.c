/* The quickstart in C: a model whose answers get worse, a circuit that opens for that, and closes when they are good again.
 *
 *     cc -std=c11 examples/quickstart/c/main.c -o quickstart $(pkg-config --cflags --libs softfuse) && ./quickstart
 */

#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <softfuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Ends the program with what went wrong, policies with each problem's line and column. */
static void check(sf_code code, sf_error **error) {
    if (code != SF_OK) {
        fprintf(stderr, "%s\n", error ? sf_error_message(*error) : sf_code_text(code));
        exit(1);
    }
}

static void on_event(void *user, const sf_event *event) {
    (void)user;
    if (event->kind == SF_STATE_CHANGED) {
        printf("%s -> %s: %s\n", sf_state_name(event->old_state), sf_state_name(event->new_state), event->reason);
    }
}

/* A pretend model, with a score for its answer. Ask yours here: no lock is held meanwhile. */
static const char *ask_the_model(int good, double *score) {
    *score = good ? 0.9 : 0.2;
    return good ? "Paris is the capital of France." : "Paris Paris Paris Paris";
}

/* One guarded call. Gives the wait in nanoseconds where the circuit refuses it, else 0. */
static uint64_t call(sf_breaker *breaker, int number, int good) {
    sf_permit permit;
    sf_rejection refused = SF_INIT(sf_rejection);
    sf_code code = sf_permit_take(breaker, &permit, &refused);
    if (code == SF_REJECTED) {
        printf("refused: %s, trip %" PRIu64 "\n", sf_state_name(refused.state), refused.trip_count);
        printf("answer %d: (cached answer)\n", number);
        return refused.retry_after_ns;
    }
    check(code, NULL);
    double score;
    const char *answer = ask_the_model(good, &score);
    check(sf_permit_report_quality(&permit, score, NULL), NULL);
    check(sf_permit_settle(&permit, NULL, NULL), NULL); /* NULL: a success */
    printf("answer %d: %s\n", number, answer);
    return 0;
}

int main(int argc, char **argv) {
    const char *file = argc > 1 ? argv[1] : "examples/policies/quickstart.toml";
    sf_registry *registry;
    sf_policy *policy;
    sf_breaker *breaker;
    sf_listener *listener;
    sf_error *error;

    check(sf_registry_new(NULL, &registry, &error), &error);
    check(sf_policy_from_file(registry, file, &policy, &error), &error);
    check(sf_registry_breaker(registry, "chat", policy, NULL, 0, &breaker, &error), &error);
    check(sf_registry_listen(registry, on_event, NULL, NULL, &listener, &error), &error);

    int number = 1;
    for (; number <= 8; number++) {
        call(breaker, number, 1);
    }
    uint64_t wait_ns = 0;
    while (wait_ns == 0) {
        wait_ns = call(breaker, number++, 0);
    }
    struct timespec wait = {(time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000)};
    nanosleep(&wait, NULL);
    do {
        call(breaker, number++, 1);
    } while (sf_breaker_state(breaker) != SF_CLOSED);

    sf_listener_free(listener);
    sf_breaker_free(breaker);
    sf_policy_free(policy);
    sf_registry_free(registry);
    return 0;
}
