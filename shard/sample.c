#include "shard/sample.h"

#include <stdlib.h>
#include <string.h>

#include "shard/shard.h"
#include "src/vector/codebook.h"
#include "sutra/internal/v1/shard_service.pb-c.h"

static int compare_vectors(const void *a, const void *b)
{
    const struct sample_vector *x = a;
    const struct sample_vector *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return strcmp(x->id, y->id);
}

static enum status_code add_reply(struct sample *sample,
                                  const Sutra__Internal__V1__SampleResponse *reply,
                                  struct status *st)
{
    const size_t bytes = row_bytes(sample->rows);

    if (reply->n_hashes != reply->n_ids || reply->rows.len != reply->n_ids * bytes)
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "rows of another size in a sample: all shards must have the same "
                          "--refinement");
    for (size_t i = 0; i < reply->n_ids; i++) {
        const uint8_t *row = reply->rows.data + i * bytes;
        if (!refine_row_valid(sample->rows.format, row, bytes, LIMIT_DIMENSION))
            return status_set(st, STATUS_DATA_LOSS, "the vector of '%s' is damaged", reply->ids[i]);
        sample->vectors[sample->count++] =
            (struct sample_vector){ .hash = reply->hashes[i], .id = reply->ids[i], .row = row };
    }
    return STATUS_OK;
}

static enum status_code merge(ProtobufCMessage *const *replies, uint32_t shards,
                              struct arena *arena, struct sample *sample, struct status *st)
{
    size_t total = 0;

    for (uint32_t i = 0; i < shards; i++)
        total += ((const Sutra__Internal__V1__SampleResponse *)replies[i])->n_ids;
    sample->vectors = arena_calloc(arena, total, sizeof *sample->vectors);
    if (sample->vectors == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory for a sample of %zu",
                          total);
    for (uint32_t i = 0; i < shards; i++)
        if (add_reply(sample, (const Sutra__Internal__V1__SampleResponse *)replies[i], st) !=
            STATUS_OK)
            return st->code;
    qsort(sample->vectors, sample->count, sizeof *sample->vectors, compare_vectors);
    return STATUS_OK;
}

/* The bound below which about @wanted of @stored hashes lie: so many that it would be a wonder if
 * fewer than a training takes were found. */
static uint64_t hash_bound(uint64_t wanted, uint64_t stored)
{
    if (wanted < 2 * CODEBOOK_MIN_SAMPLES)
        wanted = 2 * CODEBOOK_MIN_SAMPLES;
    if (wanted >= stored)
        return UINT64_MAX;
    return (uint64_t)((double)wanted / (double)stored * 18446744073709549568.0);
}

enum status_code sample_gather(const struct task *task, enum sample_end end, uint32_t wanted,
                               uint64_t stored, struct arena *arena, struct sample *ret,
                               struct status *st)
{
    Sutra__Internal__V1__SampleRequest request = SUTRA__INTERNAL__V1__SAMPLE_REQUEST__INIT;
    uint64_t bound = hash_bound(wanted, stored);
    struct sample sample = { .rows = task->shard->options.rows };
    ProtobufCMessage **replies;

    request.min_hash = end == SAMPLE_GREATEST ? UINT64_MAX - bound : 0;
    request.max_hash = end == SAMPLE_GREATEST ? UINT64_MAX : bound;
    if (task_ask(task, "Sample", UINT32_MAX, &request.base,
                 &sutra__internal__v1__sample_response__descriptor, arena, &replies,
                 st) != STATUS_OK ||
        merge(replies, task_shards(task), arena, &sample, st) != STATUS_OK)
        return st->code;
    *ret = sample;
    return STATUS_OK;
}

void sample_keep_last(struct sample *sample, size_t count)
{
    if (sample->count <= count)
        return;
    sample->vectors += sample->count - count;
    sample->count = count;
}

void sample_leave_out(struct sample *sample, const struct sample *other)
{
    while (other->count > 0 && sample->count > 0 &&
           compare_vectors(&sample->vectors[sample->count - 1], &other->vectors[0]) >= 0)
        sample->count--;
}

float *sample_rows(const struct sample *sample)
{
    size_t count = sample->count > 0 ? sample->count : 1;
    float *rows = malloc(count * LIMIT_DIMENSION * sizeof *rows);

    for (size_t i = 0; rows != NULL && i < sample->count; i++)
        row_decode(sample->rows, sample->vectors[i].row, rows + i * LIMIT_DIMENSION);
    return rows;
}
