#include "src/rpc/bytes.h"

#include <stdbool.h>

#include "src/rpc/bytes_impl.h"
#include "src/rpc/wire_check.h"

/* protobuf-c's allocator over an arena. */
struct arena_allocator {
    ProtobufCAllocator base;
    struct arena *arena;
    bool exhausted;
};

static void *allocate(void *data, size_t size)
{
    struct arena_allocator *allocator = data;
    void *p = arena_alloc(allocator->arena, size);

    allocator->exhausted |= p == NULL;
    return p;
}

static void release(void *data, void *p)
{
    (void)data;
    (void)p;
}

static enum status_code decode(const ProtobufCMessageDescriptor *type, const uint8_t *data,
                               size_t size, struct arena *arena, ProtobufCMessage **ret_message,
                               struct status *st)
{
    struct arena_allocator allocator = { .base = { allocate, release, &allocator },
                                         .arena = arena };
    ProtobufCMessage *message = protobuf_c_message_unpack(type, &allocator.base, size, data);

    if (allocator.exhausted)
        return status_set_reason(st, STATUS_RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED",
                                 "message of type %s takes more than %zu bytes of memory",
                                 type->name, arena->limit_bytes);
    if (message == NULL)
        return status_set(st, STATUS_INVALID_ARGUMENT, "message of type %s cannot be decoded",
                          type->name);
    *ret_message = message;
    return STATUS_OK;
}

enum status_code rpc_bytes_checked_view(const struct rpc_bytes *bytes,
                                        const ProtobufCMessageDescriptor *type, struct arena *arena,
                                        const uint8_t **ret_data, size_t *ret_size,
                                        struct status *st)
{
    if (rpc_bytes_check_plain(bytes, st) != STATUS_OK ||
        rpc_bytes_view(bytes, arena, ret_data, ret_size, st) != STATUS_OK)
        return st->code;
    return wire_check(type, *ret_data, *ret_size, st);
}

enum status_code rpc_bytes_unpack(const struct rpc_bytes *bytes,
                                  const ProtobufCMessageDescriptor *type, struct arena *arena,
                                  ProtobufCMessage **ret_message, struct status *st)
{
    const uint8_t *data;
    size_t size;

    if (rpc_bytes_checked_view(bytes, type, arena, &data, &size, st) != STATUS_OK)
        return st->code;
    return decode(type, data, size, arena, ret_message, st);
}
