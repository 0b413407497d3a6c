/* Runs a scorer's cases by the C library, as `softfuse scorer test` does by the Rust one. The test in tests/hosts makes `cases.inc` of the
 * scorer's cases.toml, builds this with it, and hands over the component. */

#include <inttypes.h>
#include <softfuse.h>
#include <stdio.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)
/* What adding up fractions in another order costs. */
#define TOLERANCE 1e-9

enum wanted { WANTS_SCORE, WANTS_ABSTENTION, WANTS_MALFORMED, WANTS_FAILURE, WANTS_MISCONFIGURED };

struct scorer_case {
    const char *name, *config;
    sf_exchange exchange;
    enum wanted wanted;
    /* The bounds of a score; what is said among other things, where there is none. */
    double least, most;
    const char *says;
};

static const struct scorer_case CASES[] = {
#include "cases.inc"
};

/* The scorer of this configuration, or NULL: then why stands in `text`. */
static sf_scorer *load(const char *file, const char *config, char *text, size_t capacity) {
    sf_scorer_settings settings = SF_INIT(sf_scorer_settings);
    settings.config = config;
    /* A busy machine is no fault of a scorer's. */
    settings.deadline_ns = 60 * SECOND_NS;
    settings.start_deadline_ns = 600 * SECOND_NS;
    settings.memory_bytes_max = (size_t)512 << 20;
    sf_scorer *scorer = NULL;
    sf_error *error = NULL;
    sf_code code = sf_scorer_from_file(file, &settings, &scorer, &error);
    if (code != SF_OK) {
        snprintf(text, capacity, "%s: %s", sf_code_text(code), sf_error_message(error));
        sf_error_free(error);
    }
    return scorer;
}

/* Whether this is what a case wants. */
static int is_met(const struct scorer_case *one, const sf_verdict *verdict) {
    switch (one->wanted) {
    case WANTS_SCORE:
        return verdict->kind == SF_VERDICT_SCORE && verdict->score >= one->least - TOLERANCE &&
               verdict->score <= one->most + TOLERANCE;
    case WANTS_ABSTENTION:
        return verdict->kind == SF_VERDICT_ABSTAINED && strstr(verdict->text, one->says);
    case WANTS_MALFORMED:
        return verdict->kind == SF_VERDICT_FAILED && verdict->failure == SF_SCORER_MALFORMED &&
               strstr(verdict->text, one->says);
    case WANTS_FAILURE:
        return verdict->kind == SF_VERDICT_FAILED && verdict->failure != SF_SCORER_MALFORMED &&
               strstr(verdict->text, one->says);
    default:
        return 0;
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: cases COMPONENT\n");
        return 2;
    }
    int passed = 0, failed = 0;
    sf_scorer *scorer = NULL;
    const char *config = NULL;
    char text[4096];
    for (size_t at = 0; at < sizeof CASES / sizeof *CASES; at++) {
        const struct scorer_case *one = &CASES[at];
        int met;
        text[0] = 0;
        if (!scorer || strcmp(config, one->config) != 0) {
            sf_scorer_free(scorer);
            scorer = load(argv[1], one->config, text, sizeof text);
            config = one->config;
        }
        sf_verdict verdict = SF_INIT(sf_verdict);
        if (one->wanted == WANTS_MISCONFIGURED || !scorer) {
            met = one->wanted == WANTS_MISCONFIGURED && !scorer && strstr(text, one->says);
        } else {
            verdict.text = text;
            verdict.text_capacity = sizeof text;
            met = sf_scorer_score(scorer, &one->exchange, &verdict) == SF_OK && is_met(one, &verdict);
        }
        passed += met;
        failed += !met;
        if (!met) {
            fprintf(stderr, "`%s`: verdict %" PRId32 ", failure %" PRId32 ", score %g, %s\n", one->name, verdict.kind,
                    verdict.failure, verdict.score, text);
        }
    }
    sf_scorer_free(scorer);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
