/*
 * Columns made of the concepts of any BatchGetResponse, against protobuf-c: where that decodes the
 * reply, the columns say what it decoded.
 */

#include <string.h>

#include "src/base/wire.h"
#include "src/cluster/concept_columns.h"
#include "src/rpc/bytes.h"
#include "sutra/v1/concept_service.pb-c.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/columns.h"

enum { ARENA_BYTES = 16 << 20, MOST = 64, DIMENSION = 2 };

/* NULL if protobuf-c refuses. */
static const Sutra__V1__BatchGetResponse *unpack(const uint8_t *data, size_t size,
                                                 struct arena *arena)
{
    struct rpc_bytes *bytes = rpc_bytes_copy(data, size);
    ProtobufCMessage *message = NULL;
    struct status st = { 0 };

    rpc_bytes_unpack(bytes, &sutra__v1__batch_get_response__descriptor, arena, &message, &st);
    rpc_bytes_free(bytes);
    return st.code == STATUS_OK ? (const Sutra__V1__BatchGetResponse *)message : NULL;
}

static size_t find_records(const uint8_t *data, size_t size, struct concept_record *ret)
{
    struct wire_reader reader = { .at = data, .end = data + size };
    struct wire_field field;
    size_t n = 0;

    while (n < MOST && wire_next(&reader, &field))
        if (field.number_in_message == BATCH_GET_CONCEPTS && field.wire_type == WIRE_BYTES)
            ret[n++] = (struct concept_record){ field.data, field.size };
    return n;
}

static bool has_dimension(const Sutra__V1__BatchGetResponse *rows, size_t dimension)
{
    bool all = true;

    for (size_t i = 0; dimension > 0 && i < rows->n_concepts; i++) {
        const Sutra__V1__Embedding *embedding = rows->concepts[i]->embedding;
        all &= embedding == NULL || embedding->f32le.len == 0 ||
               embedding->f32le.len == dimension * sizeof(float);
    }
    return all;
}

static void check(const struct concept_record *records, size_t n, size_t dimension,
                  const Sutra__V1__BatchGetResponse *rows, struct arena *arena)
{
    const Sutra__V1__BatchGetResponse *reply;
    struct status st = { 0 };
    struct buf columns = { 0 };

    concept_columns_put(records, n, dimension, 64 << 20, arena, &columns, &st);
    fuzz_require(st.code == STATUS_OK || st.code == STATUS_DATA_LOSS, "records are good or bad");
    if (rows != NULL && has_dimension(rows, dimension))
        fuzz_require(st.code == STATUS_OK, "what protobuf-c takes is taken");
    reply = unpack(columns.data, columns.size, arena);
    fuzz_require(reply != NULL, "a reply can be decoded");
    if (st.code == STATUS_OK)
        fuzz_require(reply->columns != NULL && reply->columns->count == n, "records have rows");
    if (st.code == STATUS_OK && rows != NULL)
        fuzz_require(test_columns_differ(reply->columns, rows->concepts, n, dimension) == NULL,
                     "columns say what protobuf-c decodes");
    buf_deinit(&columns);
}

int fuzz_columns(const uint8_t *data, size_t size)
{
    struct concept_record records[MOST];
    size_t n = find_records(data, size, records);
    const Sutra__V1__BatchGetResponse *rows;
    struct arena arena;

    arena_init(&arena, ARENA_BYTES);
    rows = unpack(data, size, &arena);
    if (rows != NULL && rows->n_concepts != n)
        rows = NULL; /* more than MOST */
    check(records, n, 0, rows, &arena);
    check(records, n, DIMENSION, rows, &arena);
    arena_deinit(&arena);
    return 0;
}

/* The second has an embedding. */
bool fuzz_columns_seed(size_t n, struct buf *ret)
{
    static const uint8_t embedding[] = { 0x7a, 10, 0x12, 8, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xbf };
    struct buf concept = { 0 };

    fuzz_concept_seed(0, &concept);
    if (n > 0)
        wire_put_bytes(ret, BATCH_GET_CONCEPTS, concept.data, concept.size);
    buf_append(&concept, embedding, sizeof embedding);
    if (n > 1)
        wire_put_bytes(ret, BATCH_GET_CONCEPTS, concept.data, concept.size);
    buf_deinit(&concept);
    return n <= 2;
}
