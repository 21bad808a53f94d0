#ifndef SUTRA_STORE_CONCEPT_WIRE_H
#define SUTRA_STORE_CONCEPT_WIRE_H

/**
 * A concept and its protobuf wire form: the encoding of sutra.v1.Concept, fields 1–11, without the
 * embedding (Protocol Buffers Encoding, protobuf.dev/programming-guides/encoding).
 *
 * This is what the store keeps as a value and what a server sends as a reply, so that a read
 * neither unpacks nor packs. The bytes are deterministic: fields by number, proto3 defaults left
 * out, attributes sorted by key. Plain values and pure functions, any thread.
 */

#include <stddef.h>
#include <stdint.h>

#include "src/base/arena.h"
#include "src/base/buf.h"
#include "src/base/status.h"
#include "src/base/text_view.h"

struct concept_attribute {
    struct text_view key;
    struct text_view value;
};

struct concept {
    struct text_view id;
    struct text_view content;
    float strength;   /* 0–10 */
    float confidence; /* 0–1 */
    uint64_t access_count;
    int64_t created_us;       /* since the epoch */
    int64_t last_accessed_us; /* 0: never reinforced */
    struct text_view source;
    struct text_view category;
    const struct concept_attribute *attributes; /* keys differ */
    size_t attribute_count;
    uint64_t version;
};

/**
 * Appends the wire form of @concept to @to. Attributes may come in any order. Memory is the only
 * way to fail: ask @to->failed.
 */
void concept_wire_encode(const struct concept *concept, struct buf *to);

/**
 * Reads a wire form. Texts in @ret borrow @data; the attributes array lives in @arena, in the order
 * of the bytes. Unknown fields are skipped and the last of a repeated scalar wins, as protobuf
 * says. DATA_LOSS for bytes that are no Concept, RESOURCE_EXHAUSTED when @arena is full.
 */
enum status_code concept_wire_decode(const void *data, size_t size, struct arena *arena,
                                     struct concept *ret, struct status *st);

#endif
