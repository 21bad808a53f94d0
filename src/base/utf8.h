#ifndef SUTRA_BASE_UTF8_H
#define SUTRA_BASE_UTF8_H

/** Well-formed UTF-8 as Unicode defines it (no overlong forms, no surrogates, nothing above
 * U+10FFFF). */

#include <stdbool.h>
#include <stddef.h>

/** O(length); NUL bytes inside are well-formed. */
bool utf8_valid(const char *s, size_t length);

#endif
