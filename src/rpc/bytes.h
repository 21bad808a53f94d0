#ifndef SUTRA_RPC_BYTES_H
#define SUTRA_RPC_BYTES_H

/**
 * The bytes of one message on their way in or out, in one or several pieces.
 *
 * A `struct rpc_bytes *` has one owner, who frees it or moves it: a parameter marked *takes* moves
 * it and the caller's pointer is gone, also when the function fails. The pieces below are
 * reference-counted and never change, so sharing and joining copy no bytes. One owner means one
 * thread at a time; two shares may be used by two threads.
 *
 * gRPC's allocator ends the process when memory runs out; the functions that return a pointer
 * never return NULL.
 */

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/arena.h"
#include "src/base/buf.h"
#include "src/base/status.h"

struct rpc_bytes;

/** One piece, copied from @data. @size 0 is a valid, empty message. */
struct rpc_bytes *rpc_bytes_copy(const void *data, size_t size);

/** One piece that *takes* @data, which came from malloc(). */
struct rpc_bytes *rpc_bytes_from_malloc(void *data, size_t size);

/** One piece that takes what @buf holds and leaves it empty. Asserts that @buf has not failed. */
struct rpc_bytes *rpc_bytes_from_buf(struct buf *buf);

/** The wire form of @message. */
struct rpc_bytes *rpc_bytes_pack(const ProtobufCMessage *message);

/** Another owner of the same pieces. */
struct rpc_bytes *rpc_bytes_share(const struct rpc_bytes *bytes);

/** The pieces of all @parts in their order. Joining the wire forms of messages of one type is the
 * wire form of the merged message: repeated fields are concatenated, of others the last wins. */
struct rpc_bytes *rpc_bytes_join(struct rpc_bytes *const *parts, size_t count);

/** Accepts NULL. */
void rpc_bytes_free(struct rpc_bytes *bytes);

size_t rpc_bytes_size(const struct rpc_bytes *bytes);

/**
 * All bytes in one run. A single piece is not copied and lives as long as @bytes; several are
 * joined in @arena. Valid while both live. RESOURCE_EXHAUSTED beyond the arena's limit.
 */
enum status_code rpc_bytes_view(const struct rpc_bytes *bytes, struct arena *arena,
                                const uint8_t **ret_data, size_t *ret_size, struct status *st);

/** The same of bytes that rpc_bytes_unpack() would decode as @type; its errors otherwise, but for
 * the memory that a decoded message takes. */
enum status_code rpc_bytes_checked_view(const struct rpc_bytes *bytes,
                                        const ProtobufCMessageDescriptor *type, struct arena *arena,
                                        const uint8_t **ret_data, size_t *ret_size,
                                        struct status *st);

/**
 * Decodes a message of type @type into @arena; the message does not refer to @bytes afterwards.
 *
 * Stricter than protobuf-c: strings must be UTF-8 without NUL, which protobuf-c would cut there.
 * INVALID_ARGUMENT "message of type X cannot be decoded"; INVALID_ARGUMENT with the field's path
 * ("items[3].id") for a bad string; RESOURCE_EXHAUSTED (reason LIMIT_EXCEEDED) beyond the arena's
 * limit; UNIMPLEMENTED for a compressed message.
 */
enum status_code rpc_bytes_unpack(const struct rpc_bytes *bytes,
                                  const ProtobufCMessageDescriptor *type, struct arena *arena,
                                  ProtobufCMessage **ret_message, struct status *st);

#endif
