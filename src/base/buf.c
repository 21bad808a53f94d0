#include "src/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"

void buf_deinit(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){ 0 };
}

void buf_reset(struct buf *buf)
{
    buf->size = 0;
    buf->failed = false;
}

static bool reserve(struct buf *buf, size_t more)
{
    size_t need;
    size_t capacity;
    uint8_t *data;

    if (buf->failed || !size_add(buf->size, more, &need))
        goto fail;
    if (need <= buf->capacity)
        return true;
    capacity = size_max(need, size_max(64, buf->capacity + buf->capacity / 2));
    data = realloc(buf->data, capacity);
    if (data == NULL)
        goto fail;
    buf->data = data;
    buf->capacity = capacity;
    return true;
fail:
    buf->failed = true;
    return false;
}

void buf_reserve(struct buf *buf, size_t more)
{
    reserve(buf, more);
}

uint8_t *buf_extend(struct buf *buf, size_t size)
{
    uint8_t *start;

    if (!reserve(buf, size))
        return NULL;
    start = buf->data + buf->size;
    buf->size += size;
    return start;
}

void buf_append(struct buf *buf, const void *data, size_t size)
{
    uint8_t *start;

    if (size == 0)
        return;
    start = buf_extend(buf, size);
    if (start != NULL)
        memcpy(start, data, size);
}

void buf_append_u8(struct buf *buf, uint8_t value)
{
    buf_append(buf, &value, 1);
}

void buf_append_u32le(struct buf *buf, uint32_t value)
{
    uint8_t bytes[4];
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    buf_append(buf, bytes, sizeof bytes);
}

void buf_append_u64le(struct buf *buf, uint64_t value)
{
    buf_append_u32le(buf, (uint32_t)value);
    buf_append_u32le(buf, (uint32_t)(value >> 32));
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
    va_list args;
    int length;

    va_start(args, fmt);
    length = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (length < 0 || !reserve(buf, (size_t)length + 1)) {
        buf->failed = true;
        return;
    }
    va_start(args, fmt);
    vsnprintf((char *)buf->data + buf->size, (size_t)length + 1, fmt, args);
    va_end(args);
    buf->size += (size_t)length;
}
