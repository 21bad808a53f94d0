#ifndef SUTRA_BASE_ARENA_H
#define SUTRA_BASE_ARENA_H

/**
 * Memory of one request: allocated piece by piece, released all at once.
 *
 * An arena grows in blocks up to a limit and hands out memory that stays where it is until
 * arena_reset() or arena_deinit(). There is no free of a single piece. An arena belongs to one
 * thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used_bytes;          /* handed out, padding included */
    size_t limit_bytes;         /* of used_bytes */
};

/** @limit_bytes bounds what may be handed out between two resets. Allocates nothing yet. */
void arena_init(struct arena *arena, size_t limit_bytes);

/** Releases everything. `{0}` is a valid argument. */
void arena_deinit(struct arena *arena);

/** Forgets everything handed out; keeps the newest block for reuse. */
void arena_reset(struct arena *arena);

/** @size bytes aligned for any type (64 bytes if size is 64 or more), uninitialised; NULL beyond
 * the limit or memory.
 * @size 0 gives a valid pointer. */
void *arena_alloc(struct arena *arena, size_t size);

/** arena_alloc() of count * size zeroed bytes; NULL on overflow too. */
void *arena_calloc(struct arena *arena, size_t count, size_t size);

/** Copies @size bytes; NULL beyond the limit. */
void *arena_copy(struct arena *arena, const void *data, size_t size);

/** NUL-terminated copy of @length bytes. */
char *arena_strndup(struct arena *arena, const char *s, size_t length);

/** NUL-terminated printf into the arena; NULL beyond the limit. */
char *arena_printf(struct arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
