#include "src/base/utf8.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

struct utf8_case {
    const char *name;
    const char *bytes;
};

/* Decides byte by byte from the code point, as RFC 3629 §3 writes it down. */
static bool slow_utf8_valid(const unsigned char *s, size_t n)
{
    static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };

    for (size_t i = 0; i < n;) {
        uint32_t lead = s[i];
        size_t length = lead < 0x80           ? 1
                        : (lead >> 5) == 0x06 ? 2
                        : (lead >> 4) == 0x0E ? 3
                        : (lead >> 3) == 0x1E ? 4
                                              : 0;
        uint32_t point = length == 1 ? lead : lead & (0x7Fu >> length);
        if (length == 0 || i + length > n)
            return false;
        for (size_t j = 1; j < length; j++) {
            if ((s[i + j] & 0xC0) != 0x80)
                return false;
            point = point << 6 | (s[i + j] & 0x3Fu);
        }
        if (point < smallest[length] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
            return false;
        i += length;
    }
    return true;
}

Test(utf8, accepts_the_edges_of_every_range)
{
    static const struct utf8_case cases[] = {
        { "empty", "" },
        { "ASCII", "plain text" },
        { "U+007F", "\x7F" },
        { "U+0080", "\xC2\x80" },
        { "U+07FF", "\xDF\xBF" },
        { "U+0800", "\xE0\xA0\x80" },
        { "U+D7FF", "\xED\x9F\xBF" },
        { "U+E000", "\xEE\x80\x80" },
        { "U+FFFF", "\xEF\xBF\xBF" },
        { "U+10000", "\xF0\x90\x80\x80" },
        { "U+10FFFF", "\xF4\x8F\xBF\xBF" },
        { "mixed", "telescope \xF0\x9F\x94\xAD und \xC3\xA4hnlich" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect(utf8_valid(cases[i].bytes, strlen(cases[i].bytes)), "%s", cases[i].name);
    cr_expect(utf8_valid("a\0b", 3), "a NUL inside");
}

Test(utf8, refuses_what_is_not_well_formed)
{
    static const struct utf8_case cases[] = {
        { "a lone continuation byte", "\x80" },
        { "overlong '/' in two bytes", "\xC0\xAF" },
        { "overlong U+007F", "\xC1\xBF" },
        { "overlong '/' in three bytes", "\xE0\x80\xAF" },
        { "overlong U+07FF", "\xE0\x9F\xBF" },
        { "overlong U+FFFF in four bytes", "\xF0\x8F\xBF\xBF" },
        { "the first surrogate", "\xED\xA0\x80" },
        { "the last surrogate", "\xED\xBF\xBF" },
        { "U+110000", "\xF4\x90\x80\x80" },
        { "a lead above U+10FFFF", "\xF5\x80\x80\x80" },
        { "five bytes", "\xF8\x88\x80\x80\x80" },
        { "0xFF", "\xFF" },
        { "two bytes, cut", "\xC3" },
        { "three bytes, cut", "\xE6\x97" },
        { "four bytes, cut", "\xF0\x9F\x94" },
        { "a lead followed by ASCII", "\xE6\x97x" },
        { "bad as the first of eight", "\xFF"
                                       "1234567" },
        { "bad as the last of eight", "1234567\xFF" },
        { "bad behind eight good ones", "12345678\xFF" },
        { "bad inside the second eight", "12345678abc\xC0\xAF" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_not(utf8_valid(cases[i].bytes, strlen(cases[i].bytes)), "%s", cases[i].name);
}

Test(utf8, does_not_look_behind_the_end)
{
    static const char *const characters[] = { "\xC3\xA9", "\xE6\x97\xA5", "\xF0\x9F\x94\xAD" };

    for (size_t i = 0; i < sizeof characters / sizeof characters[0]; i++)
        for (size_t length = 1; length < strlen(characters[i]); length++)
            cr_expect_not(utf8_valid(characters[i], length), "%zu of %s", length, characters[i]);
}

/* All sequences of up to three bytes, embedded where the eight-byte stride begins, ends and
 * crosses. */
Test(utf8, agrees_with_the_definition_on_every_short_sequence)
{
    for (size_t offset = 6; offset <= 8; offset++) {
        for (uint32_t bits = 0; bits < 1u << 24; bits += offset == 7 ? 1 : 251) {
            unsigned char s[16];
            size_t n = sizeof s - 3;
            memset(s, 'x', sizeof s);
            s[offset] = (unsigned char)(bits >> 16);
            s[offset + 1] = (unsigned char)(bits >> 8);
            s[offset + 2] = (unsigned char)bits;
            if (utf8_valid((const char *)s, n) != slow_utf8_valid(s, n))
                cr_assert(false, "bytes %06x at %zu", bits, offset);
        }
    }
}

Test(utf8, agrees_with_the_definition_on_every_code_point_and_beyond)
{
    for (uint32_t point = 0x800; point < 0x200000; point++) {
        unsigned char s[4] = { (unsigned char)(0xF0 | point >> 18),
                               (unsigned char)(0x80 | (point >> 12 & 0x3F)),
                               (unsigned char)(0x80 | (point >> 6 & 0x3F)),
                               (unsigned char)(0x80 | (point & 0x3F)) };
        if (utf8_valid((const char *)s, sizeof s) != slow_utf8_valid(s, sizeof s))
            cr_assert(false, "U+%X in four bytes", point);
    }
}
