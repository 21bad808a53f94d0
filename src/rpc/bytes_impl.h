#ifndef SUTRA_RPC_BYTES_IMPL_H
#define SUTRA_RPC_BYTES_IMPL_H

/** A `struct rpc_bytes` is gRPC's byte buffer under a name of ours. */

#include <grpc/byte_buffer.h>

#include "src/rpc/bytes.h"

static inline grpc_byte_buffer *rpc_bytes_buffer(struct rpc_bytes *bytes)
{
    return (grpc_byte_buffer *)(void *)bytes;
}

static inline const grpc_byte_buffer *rpc_bytes_const_buffer(const struct rpc_bytes *bytes)
{
    return (const grpc_byte_buffer *)(const void *)bytes;
}

/** UNIMPLEMENTED for bytes that arrived compressed: we never ask for that, and how much would come
 * out is in the sender's hand. */
static inline enum status_code rpc_bytes_check_plain(const struct rpc_bytes *bytes,
                                                     struct status *st)
{
    if (rpc_bytes_const_buffer(bytes)->data.raw.compression != GRPC_COMPRESS_NONE)
        return status_set(st, STATUS_UNIMPLEMENTED, "compressed messages are not accepted");
    return STATUS_OK;
}

/** Takes @buffer. */
static inline struct rpc_bytes *rpc_bytes_from_buffer(grpc_byte_buffer *buffer)
{
    return (struct rpc_bytes *)(void *)buffer;
}

#endif
