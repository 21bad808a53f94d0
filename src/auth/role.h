#ifndef SUTRA_AUTH_ROLE_H
#define SUTRA_AUTH_ROLE_H

/**
 * What a caller may do. Each role may do all that those behind it may.
 */

#include <stdbool.h>

enum role {
    ROLE_ADMIN,  /* first: what a method needs that says nothing */
    ROLE_WRITER, /* whatever changes concepts and associations */
    ROLE_READER, /* whatever only reads */
    ROLE_ANYONE, /* of a method: no token is asked for. Nobody holds it */
};

static inline bool role_allows(enum role held, enum role needed)
{
    return held <= needed;
}

static inline const char *role_name(enum role role)
{
    static const char *const names[] = { "admin", "writer", "reader", "anyone" };

    return names[role];
}

#endif
