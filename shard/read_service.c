/*
 * Get, BatchGet, ListPage: stored bytes go into the reply as they are; an embedding is appended to
 * a concept as one more field, which is what protobuf's merging of encoded messages allows. Columns
 * are made of such a reply: the records have to be copied out of the cache anyway.
 */

#include <string.h>

#include "shard/op.h"
#include "src/base/size.h"
#include "src/base/wire.h"
#include "src/cluster/batch_get_wire.h"
#include "src/cluster/concept_columns.h"

/* Concept.embedding, Embedding.f32le */
enum { FIELD_EMBEDDING = 15, FIELD_F32LE = 2 };
/* GetResponse.concept, BatchGetResponse.concepts, ListPageResponse.concepts */
enum { FIELD_CONCEPT = 1 };
enum { FIELD_DONE = 2 };

/* BatchGet reads this many records at once, List as many bytes of them as fit a page: what a reply
 * cannot take is not read from the disk either. */
enum { GET_WINDOW = 1024, PAGE_BYTES = 16 << 20 };

/* Concept.embedding of a stored vector; nothing where there is none. */
static void encode_embedding(const struct op *op, const struct store_vector *vector, struct buf *to)
{
    float row[LIMIT_DIMENSION];
    struct buf embedding = { 0 };

    if (vector->refinement == NULL)
        return;
    row_decode(index_rows(op->shard->index), vector->refinement, row);
    wire_put_bytes(&embedding, FIELD_F32LE, row, sizeof row);
    wire_put_bytes(to, FIELD_EMBEDDING, embedding.data, embedding.size);
    to->failed |= embedding.failed;
    buf_deinit(&embedding);
}

/* @vector NULL: without embedding. */
static void put_concept(const struct op *op, struct buf *to, const void *value, size_t size,
                        const struct store_vector *vector)
{
    struct buf embedding = { 0 };

    if (vector != NULL)
        encode_embedding(op, vector, &embedding);
    wire_put_header(to, FIELD_CONCEPT, size + embedding.size);
    buf_append(to, value, size);
    buf_append(to, embedding.data, embedding.size);
    to->failed |= embedding.failed;
    buf_deinit(&embedding);
}

static enum status_code get_vectors(struct op *op, const struct concept_id *ids, size_t n,
                                    bool wanted, struct store_vector **ret, struct status *st)
{
    *ret = NULL;
    if (!wanted)
        return STATUS_OK;
    *ret = arena_calloc(&op->arena, n, sizeof **ret);
    if (*ret == NULL)
        return limit_call_memory(st);
    return index_get_vectors(op->shard->index, ids, n, &op->arena, *ret, st);
}

enum status_code op_get(struct op *op, struct status *st)
{
    const Sutra__V1__GetRequest *request = (const Sutra__V1__GetRequest *)op->request;
    struct store_vector *vector = NULL;
    struct store_value value = { 0 };
    struct buf reply = { 0 };
    struct concept_id id;

    if (op_own_id(op, request->id, &id, st) != STATUS_OK ||
        store_get(op->shard->store, &id, &value, st) != STATUS_OK)
        return st->code;
    if (get_vectors(op, &id, 1, request->include_embedding, &vector, st) == STATUS_OK)
        put_concept(op, &reply, value.data, value.size, vector);
    store_value_release(&value);
    return op_reply(op, &reply, st);
}

/* A BatchGet's reply while it grows. */
struct batch {
    struct op *op;
    const struct concept_id *ids;
    const struct store_vector *vectors; /* NULL: not wanted */
    size_t first;                       /* of those that are being read */
    struct buf reply;
    struct buf missing;
};

static void put_into_batch(void *context, size_t i, const void *data, size_t size)
{
    struct batch *batch = context;

    i += batch->first;
    if (data == NULL)
        wire_append_varint(&batch->missing, i);
    else
        put_concept(batch->op, &batch->reply, data, size,
                    batch->vectors == NULL ? NULL : &batch->vectors[i]);
}

static enum status_code put_window(struct batch *batch, size_t n, struct status *st)
{
    if (store_get_many(batch->op->shard->store, batch->ids + batch->first, n, put_into_batch, batch,
                       st) != STATUS_OK)
        return st->code;
    return limit_reply(&batch->reply, op_max_reply_bytes(batch->op), st);
}

/* Replaces the concepts of the reply, at most @most, by their columns. */
static enum status_code turn_into_columns(struct batch *batch, size_t most, struct status *st)
{
    struct arena *arena = &batch->op->arena;
    struct concept_record *records = arena_calloc(arena, most, sizeof *records);
    struct wire_reader rows = { batch->reply.data, batch->reply.data + batch->reply.size };
    struct buf columns = { 0 };
    struct wire_field row;
    size_t n = 0;

    if (records == NULL)
        return limit_call_memory(st);
    for (; n < most && wire_next(&rows, &row); n++)
        records[n] = (struct concept_record){ row.data, row.size };
    concept_columns_put(records, n, batch->vectors == NULL ? 0 : LIMIT_DIMENSION,
                        op_max_reply_bytes(batch->op), arena, &columns, st);
    buf_deinit(&batch->reply);
    batch->reply = columns;
    return st->code;
}

static enum status_code put_batch(struct batch *batch, size_t n, bool columns, struct status *st)
{
    for (; batch->first < n && st->code == STATUS_OK; batch->first += GET_WINDOW)
        put_window(batch, size_min(n - batch->first, GET_WINDOW), st);
    if (columns && st->code == STATUS_OK)
        turn_into_columns(batch, n, st);
    if (batch->missing.size > 0)
        wire_put_bytes(&batch->reply, BATCH_GET_MISSING, batch->missing.data, batch->missing.size);
    batch->reply.failed |= batch->missing.failed;
    buf_deinit(&batch->missing);
    return op_reply(batch->op, &batch->reply, st);
}

enum status_code op_batch_get(struct op *op, struct status *st)
{
    struct store_vector *vectors = NULL;
    struct batch_get_request request;
    struct batch batch = { .op = op };

    if (batch_get_read(op->encoded, &op->arena, &request, st) != STATUS_OK ||
        op_check_owners(op, request.ids, request.n, st) != STATUS_OK ||
        get_vectors(op, request.ids, request.n, request.include_embedding, &vectors, st) !=
            STATUS_OK)
        return st->code;
    batch.ids = request.ids;
    batch.vectors = vectors;
    return put_batch(&batch, request.n, request.columns, st);
}

/* The ids inside encoded concepts. */
static enum status_code ids_of(struct op *op, const struct text_view *values, size_t n,
                               struct concept_id **ret, struct status *st)
{
    enum { FIELD_ID = 1 };
    struct concept_id *ids = arena_calloc(&op->arena, n, sizeof *ids);

    if (ids == NULL)
        return limit_call_memory(st);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *id;
        size_t length;
        if (!wire_find((const uint8_t *)values[i].data, values[i].length, FIELD_ID, &id, &length))
            return status_set(st, STATUS_DATA_LOSS, "a stored concept cannot be decoded");
        ids[i] = concept_id_trusted((const char *)id, length);
    }
    *ret = ids;
    return STATUS_OK;
}

/* The store stops where @page is full. */
static enum status_code list_page(struct op *op,
                                  const Sutra__Internal__V1__ListPageRequest *request,
                                  struct arena *page, struct status *st)
{
    const struct text_view after = { .data = request->after_id,
                                     .length = strlen(request->after_id) };
    struct store_vector *vectors = NULL;
    struct text_view *values;
    struct concept_id *ids = NULL;
    struct buf reply = { 0 };
    size_t n;
    bool done;

    if (store_list(op->shard->store, (uint16_t)request->first_slot, (uint16_t)request->last_slot,
                   after, request->limit, page, &values, &n, &done, st) != STATUS_OK ||
        ids_of(op, values, n, &ids, st) != STATUS_OK ||
        get_vectors(op, ids, n, request->include_embedding, &vectors, st) != STATUS_OK)
        return st->code;
    for (size_t i = 0; i < n; i++)
        put_concept(op, &reply, values[i].data, values[i].length,
                    vectors == NULL ? NULL : &vectors[i]);
    wire_put_varint(&reply, FIELD_DONE, done);
    return op_reply(op, &reply, st);
}

enum status_code op_list_page(struct op *op, struct status *st)
{
    const Sutra__Internal__V1__ListPageRequest *request =
        (const Sutra__Internal__V1__ListPageRequest *)op->request;
    struct arena page;

    if (request->first_slot > request->last_slot || request->last_slot >= SLOT_COUNT)
        return status_set(st, STATUS_INVALID_ARGUMENT, "slots %u-%u", request->first_slot,
                          request->last_slot);
    if (op_check_owner(op, (uint16_t)request->first_slot, st) != STATUS_OK ||
        op_check_owner(op, (uint16_t)request->last_slot, st) != STATUS_OK)
        return st->code;
    arena_init(&page, PAGE_BYTES);
    list_page(op, request, &page, st);
    arena_deinit(&page);
    return st->code;
}
