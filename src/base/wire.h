#ifndef SUTRA_BASE_WIRE_H
#define SUTRA_BASE_WIRE_H

/**
 * Reading and writing protobuf's wire form directly, for what a router passes on without decoding
 * it. Encoding: protobuf.dev/programming-guides/encoding. Pure functions over borrowed bytes;
 * hostile bytes are refused.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/buf.h"

/** A run of bytes still to be read. */
struct wire_reader {
    const uint8_t *at;
    const uint8_t *end;
};

/** One field. @data and @size are set for length-delimited fields, @number for varints. */
struct wire_field {
    uint32_t number_in_message;
    uint32_t wire_type;
    uint64_t number;
    const uint8_t *data;
    size_t size;
};

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/** Reads the next field. False at the end and for malformed bytes; then reader->at == reader->end
 * says which. */
bool wire_next(struct wire_reader *reader, struct wire_field *ret);

/** Reads one varint at *at and moves *at behind it; false, and *at anywhere up to @end, if there is
 * none. */
bool wire_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret);

/** The last length-delimited field @number of a message, as protobuf has it; size 0 when it is
 * absent. False for malformed bytes. */
bool wire_find(const uint8_t *data, size_t size, uint32_t number, const uint8_t **ret_data,
               size_t *ret_size);

/** Appends a length-delimited field. */
void wire_put_bytes(struct buf *to, uint32_t number, const void *data, size_t size);

/** Appends only its tag and length: the bytes follow. */
void wire_put_header(struct buf *to, uint32_t number, size_t size);

/** How many bytes a length-delimited field takes, tag and length included. */
size_t wire_bytes_size(uint32_t number, size_t size);

/** Appends a bare varint. */
void wire_append_varint(struct buf *to, uint64_t value);

/** Appends a varint field. */
void wire_put_varint(struct buf *to, uint32_t number, uint64_t value);

#endif
