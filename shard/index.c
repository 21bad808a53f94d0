#include "shard/index.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shard/index_internal.h"
#include "src/log/log.h"
#include "src/serve/limits.h"

enum { DRIFT_LEAST = 1000 };

enum status_code index_new(const struct index_options *options, struct index **ret,
                           struct status *st)
{
    struct index *index = calloc(1, sizeof *index);

    if (index == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    pthread_mutex_init(&index->lock, NULL);
    pthread_mutex_init(&index->installing, NULL);
    index->rows = options->rows;
    index->row_budget_bytes = options->row_budget_bytes;
    index->segment_path = strdup(options->segment_path);
    if (index->segment_path == NULL) {
        index_free(index);
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    *ret = index;
    return STATUS_OK;
}

void index_free(struct index *index)
{
    if (index == NULL)
        return;
    segment_unref(index->current);
    segment_unref(index->previous);
    segment_unref(index->next);
    codebook_unref(index->codebook);
    pthread_mutex_destroy(&index->lock);
    pthread_mutex_destroy(&index->installing);
    free(index->segment_path);
    free(index);
}

struct row_policy index_rows(const struct index *index)
{
    return index->rows;
}

bool index_stopped(const struct index *index)
{
    return __atomic_load_n(&index->stopping, __ATOMIC_RELAXED);
}

void index_stop(struct index *index)
{
    __atomic_store_n(&index->stopping, true, __ATOMIC_RELAXED);
}

/* ---- What is searched ---- */

static bool has_version(const struct segment *segment, uint64_t version)
{
    return segment != NULL && codebook_version(segment_codebook(segment)) == version;
}

static struct segment *choose(struct index *index, uint64_t version)
{
    if (version != 0 && has_version(index->previous, version))
        return index->previous;
    if (version != 0 && index->next_ready && has_version(index->next, version))
        return index->next;
    return index->current;
}

struct segment *index_segment(struct index *index, uint64_t version)
{
    struct segment *segment;

    pthread_mutex_lock(&index->lock);
    segment = segment_ref(choose(index, version));
    pthread_mutex_unlock(&index->lock);
    return segment;
}

struct codebook *index_codebook(struct index *index)
{
    struct codebook *codebook;

    pthread_mutex_lock(&index->lock);
    codebook = index->codebook == NULL ? NULL : codebook_ref(index->codebook);
    pthread_mutex_unlock(&index->lock);
    return codebook;
}

struct calibration index_calibration(struct index *index, uint64_t version)
{
    struct calibration calibration = { 0 };

    pthread_mutex_lock(&index->lock);
    if (index->calibration.codebook_version == version)
        calibration = index->calibration;
    else if (index->next_calibration.codebook_version == version)
        calibration = index->next_calibration;
    pthread_mutex_unlock(&index->lock);
    return calibration;
}

enum status_code index_calibrate(struct index *index, const void *bytes, size_t size,
                                 struct status *st)
{
    struct calibration calibration;

    if (calibration_parse(bytes, size, &calibration, st) != STATUS_OK)
        return status_wrap(st, "calibrate");
    pthread_mutex_lock(&index->lock);
    if (has_version(index->current, calibration.codebook_version))
        index->calibration = calibration;
    else if (index->next_ready && has_version(index->next, calibration.codebook_version))
        index->next_calibration = calibration;
    else
        status_set(st, STATUS_FAILED_PRECONDITION,
                   "a calibration of codebook %" PRIu64 ", which is not installed",
                   calibration.codebook_version);
    pthread_mutex_unlock(&index->lock);
    if (st->code != STATUS_OK)
        return st->code;
    return store_put_blob(index->store, STORE_CALIBRATION, bytes, size, true, st);
}

/* ---- Reading ---- */

enum status_code index_complete(struct index *index, const struct concept_id *id,
                                struct store_vector *vector, uint8_t scratch[ROW_MAX_BYTES],
                                struct status *st)
{
    struct codebook *codebook = index->rows.kept ? NULL : index_codebook(index);

    row_complete(index->rows, codebook, id, vector, scratch, st);
    codebook_unref(codebook);
    return st->code;
}

enum status_code index_get_vectors(struct index *index, const struct concept_id *ids, size_t n,
                                   struct arena *arena, struct store_vector *ret_vectors,
                                   struct status *st)
{
    if (store_get_vectors(index->store, ids, n, arena, ret_vectors, st) != STATUS_OK)
        return st->code;
    for (size_t i = 0; i < n && st->code == STATUS_OK; i++) {
        uint8_t *scratch = NULL;
        if (ret_vectors[i].refinement == NULL)
            continue;
        if (ret_vectors[i].refinement_size == 0)
            scratch = arena_alloc(arena, ROW_MAX_BYTES);
        if (ret_vectors[i].refinement_size == 0 && scratch == NULL)
            return limit_call_memory(st);
        index_complete(index, &ids[i], &ret_vectors[i], scratch, st);
    }
    return st->code;
}

/* ---- Encoding ---- */

/* Codes, cells and errors of a batch. */
struct encoded {
    uint8_t *codes;
    uint32_t *cells;
    float *errors;
    struct index_hint *hints;
    int8_t *values;
};

static bool make_room(struct encoded *e, size_t n, struct arena *arena)
{
    e->codes = arena_alloc(arena, n * CODEBOOK_CODE_BYTES);
    e->cells = arena_calloc(arena, n, sizeof *e->cells);
    e->errors = arena_calloc(arena, n, sizeof *e->errors);
    e->hints = arena_calloc(arena, n, sizeof *e->hints);
    e->values = arena_alloc(arena, n * LIMIT_DIMENSION);
    return e->codes != NULL && e->cells != NULL && e->errors != NULL && e->hints != NULL &&
           e->values != NULL;
}

/* The int8 values of all rows, one after the other. */
static void gather_values(const struct index *index, const uint8_t *rows, size_t n, int8_t *ret)
{
    size_t bytes = row_bytes(index->rows);

    for (size_t i = 0; i < n; i++) {
        int8_t scratch[LIMIT_DIMENSION];
        memcpy(ret + i * LIMIT_DIMENSION,
               refine_values(index->rows.format, rows + i * bytes, LIMIT_DIMENSION, scratch),
               LIMIT_DIMENSION);
    }
}

/* The gauge of how well what is written still fits the codebook. */
static void note_errors(struct index *index, const struct codebook *codebook, const float *errors,
                        size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)errors[i];
    pthread_mutex_lock(&index->lock);
    if (index->codebook == codebook) {
        index->recent += n;
        index->errors += sum;
    }
    pthread_mutex_unlock(&index->lock);
}

static void encode_with(struct index *index, const struct codebook *codebook, const uint8_t *rows,
                        size_t n, struct encoded *e)
{
    gather_values(index, rows, n, e->values);
    codebook_encode(codebook, e->values, LIMIT_DIMENSION, n, e->codes, e->cells, e->errors);
    note_errors(index, codebook, e->errors, n);
    for (size_t i = 0; i < n; i++)
        e->hints[i] = (struct index_hint){ codebook_version(codebook), e->cells[i] };
}

/* What is stored. Where rows are not kept, code and cell are all that can be known of a vector
 * later; the cell is then that of the code, and no hint of the vector's own is given. */
static void take_code(const struct index *index, const struct codebook *codebook,
                      const struct encoded *e, size_t i, struct store_vector *ret)
{
    ret->code = e->codes + i * CODEBOOK_CODE_BYTES;
    ret->codebook_version = codebook_info(codebook)->code_version;
    if (index->rows.kept)
        ret->hint = &e->hints[i];
    else
        ret->refinement_size = 0;
}

enum status_code index_encode(struct index *index, const uint8_t *rows, size_t n,
                              struct arena *arena, struct store_vector *ret_vectors,
                              struct status *st)
{
    size_t bytes = row_bytes(index->rows);
    struct codebook *codebook = index_codebook(index);
    struct encoded e = { 0 };

    if (codebook != NULL && !make_room(&e, n, arena)) {
        codebook_unref(codebook);
        return limit_call_memory(st);
    }
    for (size_t i = 0; i < n; i++)
        ret_vectors[i] =
            (struct store_vector){ .refinement = rows + i * bytes, .refinement_size = bytes };
    if (codebook == NULL)
        return STATUS_OK;
    encode_with(index, codebook, rows, n, &e);
    for (size_t i = 0; i < n; i++)
        take_code(index, codebook, &e, i, &ret_vectors[i]);
    codebook_unref(codebook);
    return STATUS_OK;
}

/* ---- Following the store ---- */

/* What a vector is to a codebook: where its stored code and the writer's hint fit, they are taken.
 */
static const uint8_t *code_for(const struct index *index, const struct codebook *codebook,
                               const struct store_vector *vector, uint8_t made[CODEBOOK_CODE_BYTES],
                               uint32_t *ret_cell)
{
    const struct codebook_info *info = codebook_info(codebook);
    const struct index_hint *hint = vector->hint;
    int8_t scratch[LIMIT_DIMENSION];
    const int8_t *values;

    *ret_cell = 0;
    if (vector->codebook_version == info->code_version && hint != NULL &&
        hint->version == info->version) {
        *ret_cell = hint->cell;
        return vector->code;
    }
    values = refine_values(index->rows.format, vector->refinement, LIMIT_DIMENSION, scratch);
    if (vector->codebook_version != info->code_version) {
        codebook_encode(codebook, values, LIMIT_DIMENSION, 1, made, ret_cell, NULL);
        return made;
    }
    if (info->cells > 0)
        codebook_assign(codebook, values, LIMIT_DIMENSION, 1, ret_cell);
    return vector->code;
}

enum status_code index_put(struct index *index, struct segment *segment,
                           const struct concept_id *id, const struct store_vector *stored,
                           struct status *st)
{
    uint8_t made[CODEBOOK_CODE_BYTES];
    uint8_t scratch[ROW_MAX_BYTES];
    struct codebook *codebook = segment_codebook(segment);
    struct store_vector vector = *stored;
    const uint8_t *code = NULL;
    uint32_t cell = 0;

    if (index_complete(index, id, &vector, scratch, st) != STATUS_OK)
        return st->code;
    if (codebook == NULL)
        return segment_put(segment, id->data, id->length, vector.refinement, NULL, 0, st);
    code = code_for(index, codebook, &vector, made, &cell);
    return segment_put(segment, id->data, id->length, index->rows.kept ? vector.refinement : NULL,
                       code, cell, st);
}

/* A vector that the segment cannot take is searchable again after the next open: nothing is saved
 * until then, so that it stays among the changes that the file lacks. */
static void follow(struct index *index, struct segment *segment, const struct concept_id *id,
                   const struct store_vector *vector)
{
    struct status st = { 0 };

    if (segment == NULL)
        return;
    if (vector == NULL)
        segment_remove(segment, id->data, id->length);
    else if (index_put(index, segment, id, vector, &st) != STATUS_OK) {
        __atomic_store_n(&index->incomplete, true, __ATOMIC_RELAXED);
        log_line(LOG_ERROR, "segment_put_failed", LOG_TEXT("message", st.message));
    }
    segment_unref(segment);
}

/* Re-encoding changes codes, not vectors: what is searched meanwhile has nothing to follow. */
static bool is_reencoding(const struct index *index)
{
    return index->encoding && pthread_equal(pthread_self(), index->encoder);
}

static struct segment *ref_or_null(struct segment *segment)
{
    return segment == NULL ? NULL : segment_ref(segment);
}

void index_on_vector(void *context, const struct concept_id *id, const struct store_vector *vector)
{
    struct index *index = context;
    struct segment *current = NULL;
    struct segment *previous = NULL;
    struct segment *next;

    pthread_mutex_lock(&index->lock);
    if (!is_reencoding(index)) {
        current = ref_or_null(index->current);
        previous = ref_or_null(index->previous);
        index->unsaved++;
    }
    next = ref_or_null(index->next);
    pthread_mutex_unlock(&index->lock);
    follow(index, current, id, vector);
    follow(index, previous, id, vector);
    follow(index, next, id, vector);
}

/* ---- Asking ---- */

static float drift_of(const struct index *index)
{
    float trained =
        index->codebook == NULL ? 0 : codebook_info(index->codebook)->mean_squared_error;

    if (index->recent < DRIFT_LEAST || !(trained > 0))
        return 0; /* of a few vectors the mean says nothing */
    return (float)(index->errors / (double)index->recent) / trained;
}

struct index_stats index_stats(struct index *index)
{
    struct segment *segment = index_segment(index, 0);
    struct codebook *codebook = segment_codebook(segment);
    struct index_stats stats = {
        .segment = segment_stats(segment),
        .reencoded = __atomic_load_n(&index->reencoded, __ATOMIC_RELAXED),
        .reencode_total = __atomic_load_n(&index->reencode_total, __ATOMIC_RELAXED),
    };

    if (codebook != NULL)
        stats.codebook = *codebook_info(codebook);
    pthread_mutex_lock(&index->lock);
    stats.recent = index->recent;
    stats.drift = drift_of(index);
    pthread_mutex_unlock(&index->lock);
    segment_unref(segment);
    return stats;
}
