#include "src/rpc/bytes.h"

#include <assert.h>
#include <grpc/byte_buffer.h>
#include <grpc/slice.h>
#include <grpc/slice_buffer.h>
#include <stdlib.h>
#include <string.h>

#include "src/rpc/bytes_impl.h"

/* Takes @slice. */
static struct rpc_bytes *from_slice(grpc_slice slice)
{
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);

    grpc_slice_unref(slice);
    return rpc_bytes_from_buffer(buffer);
}

static const grpc_slice_buffer *pieces(const struct rpc_bytes *bytes)
{
    return &rpc_bytes_const_buffer(bytes)->data.raw.slice_buffer;
}

struct rpc_bytes *rpc_bytes_copy(const void *data, size_t size)
{
    return from_slice(size == 0 ? grpc_empty_slice() : grpc_slice_from_copied_buffer(data, size));
}

struct rpc_bytes *rpc_bytes_from_malloc(void *data, size_t size)
{
    return from_slice(grpc_slice_new(data, size, free));
}

struct rpc_bytes *rpc_bytes_from_buf(struct buf *buf)
{
    struct rpc_bytes *bytes;

    assert(!buf->failed);
    bytes = rpc_bytes_from_malloc(buf->data, buf->size);
    *buf = (struct buf){ 0 };
    return bytes;
}

struct rpc_bytes *rpc_bytes_pack(const ProtobufCMessage *message)
{
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(message));

    protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
    return from_slice(slice);
}

struct rpc_bytes *rpc_bytes_share(const struct rpc_bytes *bytes)
{
    const grpc_slice_buffer *from = pieces(bytes);

    return rpc_bytes_from_buffer(grpc_raw_byte_buffer_create(from->slices, from->count));
}

struct rpc_bytes *rpc_bytes_join(struct rpc_bytes *const *parts, size_t count)
{
    grpc_byte_buffer *whole = grpc_raw_byte_buffer_create(NULL, 0);

    for (size_t i = 0; i < count; i++) {
        const grpc_slice_buffer *from = pieces(parts[i]);
        for (size_t j = 0; j < from->count; j++)
            grpc_slice_buffer_add(&whole->data.raw.slice_buffer, grpc_slice_ref(from->slices[j]));
    }
    return rpc_bytes_from_buffer(whole);
}

void rpc_bytes_free(struct rpc_bytes *bytes)
{
    if (bytes != NULL)
        grpc_byte_buffer_destroy(rpc_bytes_buffer(bytes));
}

size_t rpc_bytes_size(const struct rpc_bytes *bytes)
{
    return pieces(bytes)->length;
}

static void copy_pieces(const grpc_slice_buffer *from, uint8_t *to)
{
    for (size_t i = 0; i < from->count; i++) {
        size_t size = GRPC_SLICE_LENGTH(from->slices[i]);
        if (size > 0)
            memcpy(to, GRPC_SLICE_START_PTR(from->slices[i]), size);
        to += size;
    }
}

enum status_code rpc_bytes_view(const struct rpc_bytes *bytes, struct arena *arena,
                                const uint8_t **ret_data, size_t *ret_size, struct status *st)
{
    const grpc_slice_buffer *from = pieces(bytes);
    uint8_t *copy;

    if (from->count == 1) {
        *ret_data = GRPC_SLICE_START_PTR(from->slices[0]);
        *ret_size = from->length;
        return STATUS_OK;
    }
    copy = arena_alloc(arena, from->length);
    if (copy == NULL)
        return status_set_reason(st, STATUS_RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED",
                                 "a message of %zu bytes exceeds the memory of the call, %zu bytes",
                                 from->length, arena->limit_bytes);
    copy_pieces(from, copy);
    *ret_data = copy;
    *ret_size = from->length;
    return STATUS_OK;
}
