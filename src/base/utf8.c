#include "src/base/utf8.h"

#include <stdint.h>
#include <string.h>

/* Length of the well-formed sequence at s (at most n bytes, n > 0), 0 if there is none. Unicode 15,
 * table 3-7. */
static size_t sequence_length(const unsigned char *s, size_t n)
{
    size_t length;
    unsigned char low = 0x80;
    unsigned char high = 0xBF;

    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xC2 && s[0] <= 0xDF) {
        length = 2;
    } else if ((s[0] & 0xF0) == 0xE0) {
        length = 3;
        low = s[0] == 0xE0 ? 0xA0 : low;
        high = s[0] == 0xED ? 0x9F : high;
    } else if (s[0] >= 0xF0 && s[0] <= 0xF4) {
        length = 4;
        low = s[0] == 0xF0 ? 0x90 : low;
        high = s[0] == 0xF4 ? 0x8F : high;
    } else {
        return 0;
    }
    if (n < length || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

bool utf8_valid(const char *s, size_t length)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t i = 0;

    while (i < length) {
        uint64_t eight;
        if (length - i >= sizeof eight) {
            memcpy(&eight, p + i, sizeof eight);
            if ((eight & 0x8080808080808080u) == 0) {
                i += sizeof eight;
                continue;
            }
        }
        size_t step = sequence_length(p + i, length - i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}
