// Scores answers by how many words they have: a beginning, to be replaced by your own idea of a good answer.

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/answer_scorer.h"

// Words of a whole answer, where the configuration says nothing else.
#define WORDS_DEFAULT 20
static unsigned long words_wanted = WORDS_DEFAULT;

// Digits of a configuration at most.
#define DIGITS_MAX 9

// `softfuse scorer componentize` tells the component's type, so no object file has to be linked for it.
void __component_type_object_force_link_answer_scorer(void) {}

static bool is_blank(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

bool exports_softfuse_scorer_scorer_configure(answer_scorer_string_t *config, exports_softfuse_scorer_scorer_list_config_problem_t *problems) {
    const uint8_t *start = config->ptr;
    size_t length = config->len;
    while (length > 0 && is_blank(start[0])) start += 1, length -= 1;
    while (length > 0 && is_blank(start[length - 1])) length -= 1;
    unsigned long words = length == 0 ? WORDS_DEFAULT : 0;
    bool is_number = length <= DIGITS_MAX;
    for (size_t index = 0; index < length && is_number; index += 1) {
        is_number = isdigit(start[index]) != 0;
        words = words * 10 + (start[index] - '0');
    }
    answer_scorer_string_free(config);
    if (is_number && words > 0) {
        words_wanted = words;
        return true;
    }
    problems->len = 1;
    problems->ptr = malloc(sizeof *problems->ptr);
    if (problems->ptr == NULL) abort();
    answer_scorer_string_dup(&problems->ptr[0].key, "");
    answer_scorer_string_dup(&problems->ptr[0].message, "a number of words is wanted, as in 20");
    return false;
}

bool exports_softfuse_scorer_scorer_score(exports_softfuse_scorer_scorer_exchange_t *exchange, exports_softfuse_scorer_scorer_verdict_t *verdict,
                                          exports_softfuse_scorer_scorer_score_error_t *error) {
    // It always can say.
    (void)error;
    const exports_softfuse_scorer_scorer_body_t *answer = &exchange->answer;
    const answer_scorer_string_t *type = &answer->content_type;
    if (type->len > 0 && (type->len < 5 || memcmp(type->ptr, "text/", 5) != 0)) {
        char why[200];
        snprintf(why, sizeof why, "an answer of the type %.*s has no words", (int)(type->len < 100 ? type->len : 100), (const char *)type->ptr);
        verdict->tag = EXPORTS_SOFTFUSE_SCORER_SCORER_VERDICT_ABSTAIN;
        answer_scorer_string_dup(&verdict->val.abstain, why);
    } else {
        size_t words = 0;
        for (size_t index = 0; index < answer->bytes.len; index += 1) {
            bool begins = index == 0 || is_blank(answer->bytes.ptr[index - 1]);
            words += begins && !is_blank(answer->bytes.ptr[index]);
        }
        verdict->tag = EXPORTS_SOFTFUSE_SCORER_SCORER_VERDICT_SCORE;
        verdict->val.score = words >= words_wanted ? 1 : (double)words / (double)words_wanted;
    }
    exports_softfuse_scorer_scorer_exchange_free(exchange);
    return true;
}
