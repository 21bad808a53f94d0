#include "src/cluster/vectors.h"

#include <math.h>

#include "src/vector/codebook.h"

static size_t row_bytes(const struct vectors *vectors)
{
    return vectors->decoded ? LIMIT_DIMENSION : refine_row_bytes(vectors->format, LIMIT_DIMENSION);
}

/* Rows of all shards must be comparable. */
static enum status_code take_format(struct vectors *vectors,
                                    const Sutra__Internal__V1__VectorsResponse *reply,
                                    struct status *st)
{
    if (reply->refinement >= REFINE_FORMATS)
        return status_set(st, STATUS_INTERNAL, "rows of an unknown format %u", reply->refinement);
    vectors->format = (enum refine_format)reply->refinement;
    if (!vectors->decoded)
        return STATUS_OK;
    if (vectors->codebook_version == 0)
        vectors->codebook_version = reply->codebook_version;
    if (vectors->codebook_version != reply->codebook_version)
        return status_set_reason(st, STATUS_UNAVAILABLE, "CODEBOOK_CHANGES",
                                 "the shards are going over to another codebook: try again");
    return STATUS_OK;
}

static enum status_code place_rows(struct vectors *vectors, const struct split_shard *shard,
                                   const Sutra__Internal__V1__VectorsResponse *reply,
                                   struct status *st)
{
    const size_t bytes = row_bytes(vectors);
    const uint8_t *row = reply->rows.data;
    size_t missing = 0;

    if (reply->n_missing > shard->count ||
        reply->rows.len != (shard->count - reply->n_missing) * bytes)
        return status_set(st, STATUS_INTERNAL, "%zu bytes of vectors for %zu concepts",
                          reply->rows.len, shard->count);
    for (size_t j = 0; j < shard->count; j++) {
        if (missing < reply->n_missing && reply->missing[missing] == j) {
            missing++;
            continue;
        }
        if (j - missing == shard->count - reply->n_missing)
            return status_set(st, STATUS_INTERNAL, "`missing` is not ascending");
        vectors->rows[shard->indexes[j]] = row;
        row += bytes;
    }
    return STATUS_OK;
}

static void merge(struct scatter *scatter, void *ctx)
{
    struct vectors *vectors = ctx;
    struct arena *arena = verb_arena(vectors->verb);
    struct status st = { 0 };

    for (size_t i = 0; i < scatter->count && st.code == STATUS_OK; i++) {
        const struct scatter_part *part = &scatter->parts[i];
        ProtobufCMessage *reply;
        if (rpc_result_unpack(&part->result, &sutra__internal__v1__vectors_response__descriptor,
                              arena, &reply, &st) == STATUS_OK &&
            take_format(vectors, (const Sutra__Internal__V1__VectorsResponse *)reply, &st) ==
                STATUS_OK)
            place_rows(vectors, &vectors->split.shards[part->shard],
                       (const Sutra__Internal__V1__VectorsResponse *)reply, &st);
    }
    vectors->done(vectors, &st);
}

static bool shard_part(void *ctx, const struct split_shard *shard, struct scatter_part *part)
{
    const struct vectors *vectors = ctx;
    struct arena *arena = verb_arena(vectors->verb);
    Sutra__Internal__V1__VectorsRequest *request = arena_alloc(arena, sizeof *request);

    if (request == NULL)
        return false;
    sutra__internal__v1__vectors_request__init(request);
    request->decoded = vectors->decoded;
    request->n_ids = shard->count;
    request->ids = split_texts(shard, vectors->ids, arena);
    part->request = &request->base;
    return request->ids != NULL;
}

void vectors_run(struct vectors *vectors)
{
    struct verb *verb = vectors->verb;
    struct scatter *scatter = NULL;
    struct status st = { 0 };

    vectors->rows = arena_calloc(verb_arena(verb), vectors->n, sizeof *vectors->rows);
    if (vectors->rows != NULL &&
        split_ids(verb->placement, vectors->ids, vectors->n, verb_arena(verb), &vectors->split))
        scatter = split_scatter(&vectors->split, verb->placement, verb->call, "Vectors", shard_part,
                                vectors);
    if (scatter != NULL) {
        scatter_run(scatter, merge, vectors);
        return;
    }
    limit_call_memory(&st);
    vectors->done(vectors, &st);
}

void vectors_decode(const struct vectors *vectors, size_t i, float *ret_unit)
{
    refine_decode(vectors->format, vectors->rows[i], LIMIT_DIMENSION, ret_unit);
    vector_normalise(ret_unit, LIMIT_DIMENSION);
}

float vectors_similarity(const struct vectors *vectors, size_t i, size_t j)
{
    const uint8_t *a = vectors->rows[i];
    const uint8_t *b = vectors->rows[j];

    if (a == NULL || b == NULL)
        return NAN;
    return vectors->decoded
               ? codebook_rotated_similarity((const int8_t *)a, (const int8_t *)b, LIMIT_DIMENSION)
               : refine_similarity(vectors->format, a, b, LIMIT_DIMENSION);
}
