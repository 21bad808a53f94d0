#ifndef SUTRA_RPC_WIRE_CHECK_H
#define SUTRA_RPC_WIRE_CHECK_H

/**
 * Looks through an encoded message before it is decoded, for what protobuf-c lets pass.
 *
 * Every string must be UTF-8 (proto3 demands it) and free of NUL, at which protobuf-c's C string
 * would end unnoticed. Fields must have the wire type of their kind, or protobuf-c refuses them
 * later: what passes here it decodes. Works on the encoded bytes because only they still know how
 * long a string is. Fields that @type does not know are skipped.
 */

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/status.h"

/** O(size), no allocation. INVALID_ARGUMENT: with the field's path for a bad string, without one
 * for bytes that are no protobuf message at all. */
enum status_code wire_check(const ProtobufCMessageDescriptor *type, const uint8_t *data,
                            size_t size, struct status *st);

#endif
