// How much of a text is damaged: what scorer.c makes a score of.

#ifndef DAMAGE_H
#define DAMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Characters of a text, and how many of them are damaged. A byte that belongs to no character counts as one.
struct damage {
    size_t characters;
    size_t damaged;
};

// Looks at a text. Where it was cut by its host, a character that breaks off at its end is no damage.
struct damage damage_of(const uint8_t *text, size_t bytes, bool truncated);

#endif
