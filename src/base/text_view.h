#ifndef SUTRA_BASE_TEXT_VIEW_H
#define SUTRA_BASE_TEXT_VIEW_H

#include <stddef.h>

/** Borrowed bytes, not NUL-terminated; {0} is the empty text. */
struct text_view {
    const char *data;
    size_t length;
};

#endif
