#include "src/cluster/fetch.h"

#include <string.h>

#include "src/base/wire.h"

/* Marks what the packed varints of a `missing` field say; places are those within the shard's list.
 */
static bool mark_absent(struct fetch *fetch, const struct split_shard *shard,
                        const struct wire_field *packed)
{
    const uint8_t *at = packed->data;
    const uint8_t *end = at + packed->size;

    while (at < end) {
        uint64_t place = 0;
        if (!wire_varint(&at, end, &place) || place >= shard->count)
            return false;
        fetch->absent[shard->indexes[place]] = true;
    }
    return true;
}

/* The concepts come in the order of the shard's list, without the absent ones. */
static bool place_concepts(struct fetch *fetch, const struct split_shard *shard,
                           const uint8_t *data, size_t size)
{
    struct wire_reader reader = { .at = data, .end = data + size };
    struct wire_field field;
    size_t place = 0;

    while (wire_next(&reader, &field)) {
        if (field.number_in_message != BATCH_GET_CONCEPTS)
            continue;
        while (place < shard->count && fetch->absent[shard->indexes[place]])
            place++;
        if (place == shard->count)
            return false;
        fetch->concepts[shard->indexes[place++]] =
            (struct concept_record){ .data = field.data, .size = field.size };
    }
    return reader.at == reader.end;
}

static bool read_reply(struct fetch *fetch, const struct split_shard *shard, const uint8_t *data,
                       size_t size)
{
    struct wire_reader reader = { .at = data, .end = data + size };
    struct wire_field field;

    while (wire_next(&reader, &field))
        if (field.number_in_message == BATCH_GET_MISSING && field.wire_type == WIRE_BYTES &&
            !mark_absent(fetch, shard, &field))
            return false;
    return place_concepts(fetch, shard, data, size);
}

static enum status_code merge_part(struct fetch *fetch, const struct scatter_part *part,
                                   struct status *st)
{
    const uint8_t *data;
    size_t size;

    if (part->result.status.code != STATUS_OK)
        return STATUS_OK; /* its concepts stay out; scatter_check() has decided that this may be */
    if (rpc_bytes_view(part->result.bytes, verb_arena(fetch->verb), &data, &size, st) != STATUS_OK)
        return st->code;
    if (!read_reply(fetch, &fetch->split.shards[part->shard], data, size))
        return status_set(st, STATUS_INTERNAL, "shard %u: reply to BatchGet cannot be decoded",
                          part->shard);
    return STATUS_OK;
}

static void merge(struct scatter *scatter, void *ctx)
{
    struct fetch *fetch = ctx;
    struct status st = { 0 };

    scatter_check(scatter, verb_arena(fetch->verb), fetch->missing, &st);
    for (size_t i = 0; i < scatter->count && st.code == STATUS_OK; i++)
        merge_part(fetch, &scatter->parts[i], &st);
    fetch->done(fetch, &st);
}

static bool shard_part(void *ctx, const struct split_shard *shard, struct scatter_part *part)
{
    const struct fetch *fetch = ctx;
    struct buf request = { 0 };

    for (size_t i = 0; i < shard->count; i++)
        batch_get_put_id(&request, &fetch->ids[shard->indexes[i]]);
    batch_get_put_options(&request, fetch->include_embedding);
    if (!request.failed)
        part->bytes = rpc_bytes_from_buf(&request);
    buf_deinit(&request);
    return part->bytes != NULL;
}

static bool prepare(struct fetch *fetch)
{
    struct arena *arena = verb_arena(fetch->verb);

    fetch->concepts = arena_calloc(arena, fetch->n, sizeof *fetch->concepts);
    fetch->absent = arena_calloc(arena, fetch->n, sizeof *fetch->absent);
    return fetch->concepts != NULL && fetch->absent != NULL &&
           split_ids(fetch->verb->placement, fetch->ids, fetch->n, arena, &fetch->split);
}

void fetch_run(struct fetch *fetch)
{
    struct scatter *scatter = NULL;
    struct status st = { 0 };

    if (prepare(fetch))
        scatter = split_scatter(&fetch->split, fetch->verb->placement, fetch->verb->call,
                                "BatchGet", shard_part, fetch);
    if (scatter != NULL) {
        scatter->impatient = fetch->missing->allowed;
        scatter_run(scatter, merge, fetch);
        return;
    }
    limit_call_memory(&st);
    fetch->done(fetch, &st);
}
