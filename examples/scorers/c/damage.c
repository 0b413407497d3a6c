// Finds what no good text has: bytes that are no UTF-8, control characters, replacement characters, private and unassignable ones,
// and UTF-8 that was read as Latin-1 or Windows-1252 and encoded again ("cafÃ©", "itâ€™s").

#include "damage.h"

// What decoding gives where there is no character.
#define INVALID UINT32_MAX
#define CUT (UINT32_MAX - 1)

// The character that a text begins with, and its bytes. Bytes that are none give INVALID, and the length of the longest part that might have become
// one, as Unicode recommends it (The Unicode Standard, 3.9); CUT, where the text ends within a character.
static uint32_t decoded(const uint8_t *text, size_t bytes, size_t *length) {
    uint8_t first = text[0];
    *length = 1;
    if (first < 0x80) return first;
    if (first < 0xc2 || first > 0xf4) return INVALID;
    size_t wanted = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    uint32_t found = first & (0xff >> (wanted + 1));
    // The second byte's range keeps out surrogates, what is too long, and what is beyond Unicode.
    uint8_t least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    for (; *length < wanted; *length += 1) {
        if (*length == bytes) return CUT;
        uint8_t next = text[*length];
        if (next < least || next > most) return INVALID;
        found = found << 6 | (next & 0x3f);
        least = 0x80;
        most = 0xbf;
    }
    return found;
}

// Windows-1252's characters of the bytes 0x80 to 0x9f; 0 where it has none, and Latin-1's control character stands.
static const uint16_t WINDOWS_1252[32] = {
    0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017d, 0,
    0, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178,
};

// Whether a character may be a continuation byte of UTF-8 that was taken for a character.
static bool is_continuation(uint32_t character) {
    if (character >= 0x80 && character <= 0xbf) return true;
    for (size_t index = 0; index < 32; index += 1) {
        if (WINDOWS_1252[index] == character && character != 0) return true;
    }
    return false;
}

// How many continuation bytes would follow a character if it was a byte of UTF-8. Of those with one, only leads of Latin and Cyrillic
// letters count: others stand before quotation marks and signs in good texts, too.
static size_t followers(uint32_t character) {
    switch (character) {
    case 0xc2:
    case 0xc3:
    case 0xd0:
    case 0xd1:
        return 1;
    }
    if (character >= 0xe0 && character <= 0xef) return 2;
    if (character >= 0xf0 && character <= 0xf4) return 3;
    return 0;
}

// The bytes of a character that was encoded twice, and how many characters it shows as; 0 where the text doesn't begin with one.
static size_t encoded_twice(const uint8_t *text, size_t bytes, size_t *shown) {
    size_t length;
    size_t wanted = followers(decoded(text, bytes, &length));
    if (wanted == 0) return 0;
    size_t place = length;
    for (size_t index = 0; index < wanted; index += 1) {
        if (place == bytes || !is_continuation(decoded(text + place, bytes - place, &length))) return 0;
        place += length;
    }
    *shown = wanted + 1;
    return place;
}

static bool is_damaged(uint32_t character, size_t place) {
    if (character < 0x20) return character != '\t' && character != '\n' && character != '\r';
    if (character >= 0x7f && character <= 0x9f) return true;
    // A byte order mark is one at the beginning alone.
    if (character == 0xfeff) return place > 0;
    if (character == 0xfffd || (character >= 0xfdd0 && character <= 0xfdef) || (character & 0xfffe) == 0xfffe) return true;
    return (character >= 0xe000 && character <= 0xf8ff) || character >= 0xf0000;
}

struct damage damage_of(const uint8_t *text, size_t bytes, bool truncated) {
    struct damage found = {0, 0};
    for (size_t place = 0; place < bytes;) {
        size_t length;
        size_t shown = 1;
        size_t twice = text[place] < 0x80 ? 0 : encoded_twice(text + place, bytes - place, &shown);
        if (twice > 0) {
            found.characters += shown;
            found.damaged += shown;
            place += twice;
            continue;
        }
        uint32_t character = decoded(text + place, bytes - place, &length);
        if (character == CUT && truncated) break;
        found.characters += 1;
        found.damaged += character == INVALID || character == CUT || is_damaged(character, place);
        place += length;
    }
    return found;
}
