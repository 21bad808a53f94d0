#include "src/cluster/distance_wire.h"

#include <math.h>
#include <string.h>

#include "src/base/wire.h"
#include "src/cluster/validate.h"
#include "src/serve/limits.h"

enum { FIELD_PAIRS = 1, FIELD_APPROXIMATE = 2, FIELD_A = 1, FIELD_B = 2 };
enum { FIELD_DISTANCES = 1, FIELD_MISSING = 2 };

static bool is_pair(const struct wire_field *field)
{
    return field->number_in_message == FIELD_PAIRS && field->wire_type == WIRE_BYTES;
}

static enum status_code refuse(struct status *st)
{
    return status_set(st, STATUS_INVALID_ARGUMENT,
                      "message of type sutra.v1.DistanceRequest cannot be decoded");
}

/* Everything but the pairs, which are counted. */
static enum status_code read_options(struct wire_reader reader, struct distance_request *ret,
                                     struct status *st)
{
    struct wire_field field;

    while (wire_next(&reader, &field)) {
        if (is_pair(&field))
            ret->n++;
        else if (field.number_in_message == FIELD_APPROXIMATE && field.wire_type == WIRE_VARINT)
            ret->approximate = field.number != 0;
    }
    if (reader.at != reader.end)
        return refuse(st);
    return validate_count("pairs", ret->n, LIMIT_BATCH_ITEMS, st);
}

static enum status_code read_end(const uint8_t *pair, size_t size, uint32_t number,
                                 struct concept_id *ret, struct status *st)
{
    const uint8_t *id;
    size_t length;

    if (!wire_find(pair, size, number, &id, &length))
        return refuse(st);
    if (concept_id_parse((const char *)id, length, ret, st) != STATUS_OK)
        validate_name_field(st, number == FIELD_A ? "a" : "b");
    return st->code;
}

static enum status_code read_pairs(struct wire_reader reader, struct distance_request *ret,
                                   struct status *st)
{
    struct wire_field field;
    size_t n = 0;

    while (st->code == STATUS_OK && wire_next(&reader, &field)) {
        if (!is_pair(&field))
            continue;
        if (read_end(field.data, field.size, FIELD_A, &ret->ids[n], st) != STATUS_OK ||
            read_end(field.data, field.size, FIELD_B, &ret->ids[ret->n + n], st) != STATUS_OK)
            status_prefix_field(st, "pairs[%zu]", n);
        n++;
    }
    return st->code;
}

enum status_code distance_read(const struct rpc_bytes *bytes, struct arena *arena,
                               struct distance_request *ret, struct status *st)
{
    struct wire_reader reader;
    const uint8_t *data;
    size_t size;

    *ret = (struct distance_request){ 0 };
    if (rpc_bytes_view(bytes, arena, &data, &size, st) != STATUS_OK)
        return st->code;
    reader = (struct wire_reader){ .at = data, .end = data + size };
    if (read_options(reader, ret, st) != STATUS_OK)
        return st->code;
    ret->ids = arena_alloc(arena, (2 * ret->n + 1) * sizeof *ret->ids);
    if (ret->ids == NULL)
        return limit_call_memory(st);
    return read_pairs(reader, ret, st);
}

/* Of vectors that were rounded, so their cosine may be a little too large. */
static float distance_of(float similarity)
{
    return isnan(similarity) ? 0 : fminf(fmaxf(1 - similarity, 0), 2);
}

void distance_put_response(struct buf *to, const float *similarities, size_t n)
{
    struct buf missing = { 0 };

    wire_put_header(to, FIELD_DISTANCES, n * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        float distance = distance_of(similarities[i]);
        uint32_t bits;
        memcpy(&bits, &distance, sizeof bits);
        buf_append_u32le(to, bits);
        if (isnan(similarities[i]))
            wire_append_varint(&missing, i);
    }
    if (missing.size > 0)
        wire_put_bytes(to, FIELD_MISSING, missing.data, missing.size);
    to->failed |= missing.failed;
    buf_deinit(&missing);
}
