// Scores texts by how much of them is damaged: bytes that are no UTF-8, control characters, text that was encoded twice. A model, or what stands between it and
// its callers, that begins to send such text answers with 200s all the same.
//
// wit-bindgen has made bindings/ of the contract; its names are long, and stand in this file alone.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/answer_scorer.h"
#include "damage.h"

typedef answer_scorer_string_t text;
typedef exports_softfuse_scorer_scorer_list_config_problem_t problems;

// The share of damaged characters at which a text is worth nothing.
#define WORTHLESS_SHARE "worthless_share"
#define WORTHLESS_SHARE_DEFAULT 0.05
static double worthless_share = WORTHLESS_SHARE_DEFAULT;

// The longest line of a configuration.
#define LINE_BYTES_MAX 200

// `softfuse scorer componentize` tells the component's type, so no object file has to be linked for it.
void __component_type_object_force_link_answer_scorer(void) {}

static void add_problem(problems *found, const char *key, const char *message) {
    size_t count = found->len + 1;
    exports_softfuse_scorer_scorer_config_problem_t *grown = realloc(found->ptr, count * sizeof *grown);
    if (grown == NULL) abort();
    answer_scorer_string_dup(&grown[found->len].key, key);
    answer_scorer_string_dup(&grown[found->len].message, message);
    found->ptr = grown;
    found->len = count;
}

// One line: a comment, nothing, or `key = value`.
static void configure_line(const char *line, problems *found) {
    line += strspn(line, " \t\r");
    size_t key_bytes = strcspn(line, " \t\r=");
    if (*line == '\0' || *line == '#') return;
    char key[LINE_BYTES_MAX + 1];
    memcpy(key, line, key_bytes);
    key[key_bytes] = '\0';
    const char *value = line + key_bytes;
    value += strspn(value, " \t");
    char message[2 * LINE_BYTES_MAX];
    if (*value != '=') {
        add_problem(found, key, "a line is `key = value`, as in `" WORTHLESS_SHARE " = 0.05`");
    } else if (strcmp(key, WORTHLESS_SHARE) != 0) {
        add_problem(found, key, "there is no such key; there is `" WORTHLESS_SHARE "`");
    } else {
        char *end;
        double share = strtod(value + 1, &end);
        const char *rest = end + strspn(end, " \t\r");
        // NaN is in order with nothing.
        if (end != value + 1 && (*rest == '\0' || *rest == '#') && share > 0 && share <= 1) {
            worthless_share = share;
            return;
        }
        snprintf(message, sizeof message, "`%s` is no number above 0 and up to 1", value + 1 + strspn(value + 1, " \t"));
        add_problem(found, key, message);
    }
}

bool exports_softfuse_scorer_scorer_configure(text *config, problems *found) {
    found->ptr = NULL;
    found->len = 0;
    worthless_share = WORTHLESS_SHARE_DEFAULT;
    for (size_t place = 0; place < config->len;) {
        const uint8_t *line = config->ptr + place;
        const uint8_t *end = memchr(line, '\n', config->len - place);
        size_t bytes = end == NULL ? config->len - place : (size_t)(end - line);
        char copy[LINE_BYTES_MAX + 1];
        if (bytes > LINE_BYTES_MAX) {
            add_problem(found, "", "a line of more than 200 bytes");
        } else {
            memcpy(copy, line, bytes);
            copy[bytes] = '\0';
            configure_line(copy, found);
        }
        place += bytes + 1;
    }
    answer_scorer_string_free(config);
    return found->len == 0;
}

static bool begins(const text *whole, const char *part) {
    size_t bytes = strlen(part);
    return whole->len >= bytes && memcmp(whole->ptr, part, bytes) == 0;
}

bool exports_softfuse_scorer_scorer_score(exports_softfuse_scorer_scorer_exchange_t *exchange, exports_softfuse_scorer_scorer_verdict_t *verdict,
                                          exports_softfuse_scorer_scorer_score_error_t *error) {
    // It always can say.
    (void)error;
    const exports_softfuse_scorer_scorer_body_t *answer = &exchange->answer;
    const text *type = &answer->content_type;
    if (type->len > 0 && !begins(type, "text/") && !begins(type, "application/json")) {
        verdict->tag = EXPORTS_SOFTFUSE_SCORER_SCORER_VERDICT_ABSTAIN;
        answer_scorer_string_dup(&verdict->val.abstain, "the answer is no text");
    } else if (answer->bytes.len == 0) {
        verdict->tag = EXPORTS_SOFTFUSE_SCORER_SCORER_VERDICT_ABSTAIN;
        answer_scorer_string_dup(&verdict->val.abstain, "the answer is empty: there is nothing to be damaged");
    } else {
        struct damage found = damage_of(answer->bytes.ptr, answer->bytes.len, answer->truncated);
        double share = found.characters == 0 ? 0 : (double)found.damaged / (double)found.characters;
        verdict->tag = EXPORTS_SOFTFUSE_SCORER_SCORER_VERDICT_SCORE;
        verdict->val.score = share >= worthless_share ? 0 : 1 - share / worthless_share;
    }
    exports_softfuse_scorer_scorer_exchange_free(exchange);
    return true;
}
