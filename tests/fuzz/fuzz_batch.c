/*
 * The readers of batches, against protobuf-c: what that takes for a request with good ids, they
 * read as the same request. And the reader of candidates, which stays inside its columns.
 */

#include <string.h>

#include "src/base/wire.h"
#include "src/cluster/batch_get_wire.h"
#include "src/cluster/candidate_columns.h"
#include "src/cluster/distance_wire.h"
#include "src/rpc/bytes.h"
#include "src/serve/limits.h"
#include "sutra/internal/v1/shard_service.pb-c.h"
#include "sutra/v1/concept_service.pb-c.h"
#include "tests/fuzz/fuzz.h"

enum { ARENA_BYTES = 1 << 20 };

/* NULL if protobuf-c refuses. */
static const ProtobufCMessage *unpack(const struct rpc_bytes *bytes,
                                      const ProtobufCMessageDescriptor *type, struct arena *arena)
{
    ProtobufCMessage *message = NULL;
    struct status st = { 0 };

    rpc_bytes_unpack(bytes, type, arena, &message, &st);
    return st.code == STATUS_OK ? message : NULL;
}

static bool good(const char *id)
{
    return id[0] != '\0' && strlen(id) <= CONCEPT_ID_MAX_BYTES;
}

static bool same(const struct concept_id *id, const char *expected)
{
    return id->length == strlen(expected) && memcmp(id->data, expected, id->length) == 0;
}

/* protobuf-c takes bytes for a bool, too, where others see an unknown field. */
static bool has_plain_options(const uint8_t *data, size_t size)
{
    struct wire_reader reader = { .at = data, .end = data + size };
    struct wire_field field;

    while (wire_next(&reader, &field))
        if (field.number_in_message != 1 && field.wire_type != WIRE_VARINT)
            return false;
    return true;
}

/* ---- BatchGet ---- */

static bool batch_get_is_good(const Sutra__V1__BatchGetRequest *expected)
{
    bool all = expected->n_ids <= LIMIT_BATCH_ITEMS;

    for (size_t i = 0; i < expected->n_ids && all; i++)
        all = good(expected->ids[i]);
    return all;
}

static void check_batch_get(const Sutra__V1__BatchGetRequest *expected,
                            const struct batch_get_request *request)
{
    fuzz_require(request->n == expected->n_ids, "all ids are read");
    for (size_t i = 0; i < request->n; i++)
        fuzz_require(same(&request->ids[i], expected->ids[i]), "ids are read in order");
    fuzz_require(request->include_embedding == expected->include_embedding &&
                     request->allow_partial == expected->allow_partial &&
                     request->columns == expected->columns,
                 "options are read");
}

int fuzz_batch_get(const uint8_t *data, size_t size)
{
    struct rpc_bytes *bytes = rpc_bytes_copy(data, size);
    const Sutra__V1__BatchGetRequest *expected;
    struct batch_get_request request;
    struct status st = { 0 };
    struct arena arena;

    arena_init(&arena, ARENA_BYTES);
    batch_get_read(bytes, &arena, &request, &st);
    expected = (const Sutra__V1__BatchGetRequest *)unpack(
        bytes, &sutra__v1__batch_get_request__descriptor, &arena);
    if (!has_plain_options(data, size))
        expected = NULL;
    if (expected != NULL && batch_get_is_good(expected)) {
        fuzz_require(st.code == STATUS_OK, "a good request is read");
        check_batch_get(expected, &request);
    } else if (expected != NULL) {
        fuzz_require(st.code != STATUS_OK, "a request with a bad id is refused");
    }
    arena_deinit(&arena);
    rpc_bytes_free(bytes);
    return 0;
}

bool fuzz_batch_get_seed(size_t n, struct buf *ret)
{
    const struct concept_id ids[] = { concept_id_trusted("tides", 5), concept_id_trusted("m", 1) };

    for (size_t i = 0; i < 2 * n; i++)
        batch_get_put_id(ret, &ids[i % 2]);
    batch_get_put_options(ret, n == 2);
    wire_put_varint(ret, 4, n == 3); /* columns */
    return n <= 3;
}

/* ---- Distance ---- */

static bool distance_is_good(const Sutra__V1__DistanceRequest *expected)
{
    bool all = expected->n_pairs <= LIMIT_BATCH_ITEMS;

    for (size_t i = 0; i < expected->n_pairs && all; i++)
        all = good(expected->pairs[i]->a) && good(expected->pairs[i]->b);
    return all;
}

static void check_distance(const Sutra__V1__DistanceRequest *expected,
                           const struct distance_request *request)
{
    fuzz_require(request->n == expected->n_pairs, "all pairs are read");
    for (size_t i = 0; i < request->n; i++)
        fuzz_require(same(&request->ids[i], expected->pairs[i]->a) &&
                         same(&request->ids[request->n + i], expected->pairs[i]->b),
                     "pairs are read in order");
    fuzz_require(request->approximate == expected->approximate, "the option is read");
}

int fuzz_distance(const uint8_t *data, size_t size)
{
    struct rpc_bytes *bytes = rpc_bytes_copy(data, size);
    const Sutra__V1__DistanceRequest *expected;
    struct distance_request request;
    struct status st = { 0 };
    struct arena arena;

    arena_init(&arena, ARENA_BYTES);
    distance_read(bytes, &arena, &request, &st);
    expected = (const Sutra__V1__DistanceRequest *)unpack(
        bytes, &sutra__v1__distance_request__descriptor, &arena);
    if (!has_plain_options(data, size))
        expected = NULL;
    if (expected != NULL && distance_is_good(expected)) {
        fuzz_require(st.code == STATUS_OK, "a good request is read");
        check_distance(expected, &request);
    } else if (expected != NULL) {
        fuzz_require(st.code != STATUS_OK, "a request with a bad id is refused");
    }
    arena_deinit(&arena);
    rpc_bytes_free(bytes);
    return 0;
}

bool fuzz_distance_seed(size_t n, struct buf *ret)
{
    struct buf pair = { 0 };

    wire_put_bytes(&pair, 1, "tides", 5);
    wire_put_bytes(&pair, 2, "moon", 4);
    for (size_t i = 0; i < n; i++)
        wire_put_bytes(ret, 1, pair.data, pair.size);
    wire_put_varint(ret, 2, n == 2);
    buf_deinit(&pair);
    return n <= 3;
}

/* ---- Candidates ---- */

enum { CANDIDATE_QUERIES = 2 };

static void check_candidates(const Sutra__Internal__V1__CandidatesResponse *reply,
                             struct candidate_columns *columns)
{
    size_t left = 0;
    const uint8_t *end = reply->ids.data;

    for (size_t q = 0; q < CANDIDATE_QUERIES; q++)
        left += reply->counts[q];
    for (; left > 0; left--) {
        struct candidate candidate = candidate_columns_next(columns);
        fuzz_require(candidate.id == end && candidate.id_length > 0, "ids follow each other");
        end += candidate.id_length;
    }
    fuzz_require(end == reply->ids.data + reply->ids.len, "ids are read to their end");
}

int fuzz_candidates(const uint8_t *data, size_t size)
{
    struct rpc_bytes *bytes = rpc_bytes_copy(data, size);
    const Sutra__Internal__V1__CandidatesResponse *reply;
    struct candidate_columns columns;
    struct status st = { 0 };
    struct arena arena;

    arena_init(&arena, ARENA_BYTES);
    reply = (const Sutra__Internal__V1__CandidatesResponse *)unpack(
        bytes, &sutra__internal__v1__candidates_response__descriptor, &arena);
    if (reply != NULL &&
        candidate_columns_open(reply, CANDIDATE_QUERIES, &columns, &st) == STATUS_OK)
        check_candidates(reply, &columns);
    arena_deinit(&arena);
    rpc_bytes_free(bytes);
    return 0;
}

bool fuzz_candidates_seed(size_t n, struct buf *ret)
{
    Sutra__V1__SearchSettings settings = SUTRA__V1__SEARCH_SETTINGS__INIT;
    Sutra__Internal__V1__CandidatesResponse reply = SUTRA__INTERNAL__V1__CANDIDATES_RESPONSE__INIT;
    float scores[] = { 1, 0.5f, 0.25f };
    uint32_t counts[] = { (uint32_t)n, (uint32_t)(3 - n) };
    protobuf_c_boolean cut[] = { true, false };

    if (n > 3)
        return false;
    reply.settings = &settings;
    reply.counts = counts;
    reply.cut = cut;
    reply.n_counts = reply.n_cut = CANDIDATE_QUERIES;
    reply.approximate = reply.refined = scores;
    reply.n_approximate = reply.n_refined = 3;
    reply.ids = (ProtobufCBinaryData){ .data = (uint8_t[]){ "tidesmoon" }, .len = 9 };
    reply.id_lengths = (ProtobufCBinaryData){ .data = (uint8_t[]){ 5, 3, 1 }, .len = 3 };
    protobuf_c_message_pack(&reply.base,
                            buf_extend(ret, protobuf_c_message_get_packed_size(&reply.base)));
    return true;
}
