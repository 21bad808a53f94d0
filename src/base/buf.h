#ifndef SUTRA_BASE_BUF_H
#define SUTRA_BASE_BUF_H

/**
 * A growable run of bytes. `{0}` is an empty buffer; the owner calls buf_deinit(). One thread at a
 * time.
 *
 * Appending cannot be refused halfway: where memory runs out the buffer turns `failed`, keeps what
 * it had, ignores further appends, and the owner asks once at the end.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data; /* NULL while empty */
    size_t size;
    size_t capacity;
    bool failed;
};

void buf_deinit(struct buf *buf);

/** Empties it, keeps the memory, forgets a failure. */
void buf_reset(struct buf *buf);

void buf_append(struct buf *buf, const void *data, size_t size);
void buf_append_u8(struct buf *buf, uint8_t value);

/** Little-endian, for our own formats. */
void buf_append_u32le(struct buf *buf, uint32_t value);
void buf_append_u64le(struct buf *buf, uint64_t value);

/** printf without the terminating NUL. */
void buf_printf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Makes room for @more bytes, so that appending them moves nothing. */
void buf_reserve(struct buf *buf, size_t more);

/** Appends @size bytes for the caller to fill; NULL when failed. Valid until the next append. */
uint8_t *buf_extend(struct buf *buf, size_t size);

#endif
