/*
 * The segment's file: opening with it, bringing it up to the store, and keeping it near to what is
 * searched.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shard/index_internal.h"
#include "src/log/log.h"
#include "src/serve/limits.h"

enum {
    BATCH = 256,
    CHANGES = 65536, /* brought in at a time */

    /* How many changes the file may lack before it is written anew: so many, and this share of all
     * vectors. A start after a kill reads them from the store, 7 us each; while a store grows to a
     * million vectors its file is written for 6 s of one core in all. A file of rows is seven times
     * as large. Where nobody writes, a start may as well be quick. */
    UNSAVED_LEAST = 4096,
    UNSAVED_SHARE = 32,
    UNSAVED_SHARE_OF_ROWS = 4,
    UNSAVED_SHARE_AT_REST = 64,
};

static struct segment_options segment_options(const struct index *index, struct codebook *codebook)
{
    return (struct segment_options){
        .dimension = LIMIT_DIMENSION,
        .refine = index->rows.format,
        .codebook = codebook,
        .row_budget_bytes = index->row_budget_bytes,
    };
}

struct segment *index_new_segment(const struct index *index, struct codebook *codebook)
{
    struct segment_options options = segment_options(index, codebook);

    return segment_new(&options);
}

/* ---- Vectors on their way from the store into a segment ---- */

/* Many at a time, because that way their cells are found ten times as fast. */
struct filling {
    struct index *index;
    struct segment *segment;
    struct arena arena; /* of what is waiting */
    size_t count;       /* waiting */
    bool stale;         /* some of them have the code of another codebook, or none */
    struct concept_id ids[BATCH];
    struct store_vector vectors[BATCH];
    int8_t values[BATCH][LIMIT_DIMENSION];
    uint8_t codes[BATCH][CODEBOOK_CODE_BYTES];
    uint32_t cells[BATCH];
};

/* Takes @segment; filling_end() gives it back. NULL without memory. */
static struct filling *filling_begin(struct index *index, struct segment *segment)
{
    struct filling *filling = segment == NULL ? NULL : calloc(1, sizeof *filling);

    if (filling == NULL) {
        segment_unref(segment);
        return NULL;
    }
    filling->index = index;
    filling->segment = segment;
    arena_init(&filling->arena, LIMIT_CALL_ARENA_BYTES);
    return filling;
}

static struct segment *filling_end(struct filling *filling)
{
    struct segment *segment = filling->segment;

    arena_deinit(&filling->arena);
    free(filling);
    return segment;
}

/* Codes where some are stale, and cells where there are any. */
static void encode_waiting(struct filling *f, const struct codebook *codebook)
{
    if (f->stale)
        codebook_encode(codebook, f->values[0], LIMIT_DIMENSION, f->count, f->codes[0], f->cells,
                        NULL);
    else if (codebook_info(codebook)->cells > 0)
        codebook_assign(codebook, f->values[0], LIMIT_DIMENSION, f->count, f->cells);
}

static bool is_stale(const struct filling *f, const struct store_vector *vector)
{
    const struct codebook *codebook = segment_codebook(f->segment);

    return codebook != NULL && vector->codebook_version != codebook_info(codebook)->code_version;
}

static enum status_code put_waiting(struct filling *f, size_t i, struct status *st)
{
    bool coded = segment_codebook(f->segment) != NULL;
    const struct store_vector *vector = &f->vectors[i];

    return segment_put(f->segment, f->ids[i].data, f->ids[i].length,
                       !coded || f->index->rows.kept ? vector->refinement : NULL,
                       is_stale(f, vector) ? f->codes[i] : vector->code, f->cells[i], st);
}

static enum status_code filling_flush(struct filling *f, struct status *st)
{
    struct codebook *codebook = segment_codebook(f->segment);

    if (codebook != NULL)
        encode_waiting(f, codebook);
    for (size_t i = 0; i < f->count && st->code == STATUS_OK; i++)
        put_waiting(f, i, st);
    f->count = 0;
    f->stale = false;
    arena_reset(&f->arena);
    return st->code;
}

static enum status_code copy_vector(const struct store_vector *vector, struct arena *arena,
                                    struct store_vector *ret, struct status *st)
{
    *ret = *vector;
    ret->refinement = arena_copy(arena, vector->refinement, vector->refinement_size);
    ret->code = vector->code == NULL ? NULL : arena_copy(arena, vector->code, CODEBOOK_CODE_BYTES);
    if (ret->refinement == NULL || (ret->code == NULL) != (vector->code == NULL))
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    return STATUS_OK;
}

/* Copies both. */
static enum status_code filling_add(struct filling *f, const struct concept_id *id,
                                    const struct store_vector *stored, struct status *st)
{
    struct store_vector vector = *stored;
    uint8_t made[ROW_MAX_BYTES];
    int8_t scratch[LIMIT_DIMENSION];

    if (row_complete(f->index->rows, f->index->codebook, id, &vector, made, st) != STATUS_OK ||
        index_copy_id(id, &f->arena, &f->ids[f->count], st) != STATUS_OK ||
        copy_vector(&vector, &f->arena, &f->vectors[f->count], st) != STATUS_OK)
        return st->code;
    memcpy(f->values[f->count],
           refine_values(f->index->rows.format, vector.refinement, LIMIT_DIMENSION, scratch),
           LIMIT_DIMENSION);
    if (is_stale(f, &vector))
        f->stale = f->index->stale_codes = true;
    return ++f->count < BATCH ? STATUS_OK : filling_flush(f, st);
}

/* ---- From the store alone ---- */

struct rebuild {
    struct filling *filling;
    struct status st;
};

static bool rebuild_one(void *context, const struct concept_id *id,
                        const struct store_vector *vector)
{
    struct rebuild *rebuild = context;

    return filling_add(rebuild->filling, id, vector, &rebuild->st) == STATUS_OK;
}

static enum status_code fill_from_store(struct filling *filling, struct status *st)
{
    struct rebuild rebuild = { .filling = filling };

    if (store_scan_vectors(filling->index->store, rebuild_one, &rebuild, st) == STATUS_OK)
        *st = rebuild.st;
    return st->code == STATUS_OK ? filling_flush(filling, st) : st->code;
}

static enum status_code rebuild_segment(struct index *index, struct status *st)
{
    struct filling *filling = filling_begin(index, index_new_segment(index, index->codebook));
    struct segment *segment;

    if (filling == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    fill_from_store(filling, st);
    segment = filling_end(filling);
    if (st->code != STATUS_OK) {
        segment_unref(segment);
        return status_wrap(st, "rebuild the segment");
    }
    index->current = segment;
    index->unsaved = segment_stats(segment).count;
    return STATUS_OK;
}

/* ---- From the file, and what changed since ---- */

struct catching_up {
    struct filling *filling;
    struct arena arena; /* of the ids */
    struct concept_id *ids;
    size_t count;
    uint64_t total;
    struct status st;
};

/* As the store has them, so that what lies together is read together. */
static int by_key(const void *left, const void *right)
{
    const struct concept_id *a = left;
    const struct concept_id *b = right;

    if (a->slot != b->slot)
        return a->slot < b->slot ? -1 : 1;
    return concept_id_compare(a->data, a->length, b->data, b->length);
}

static size_t drop_repeated(struct concept_id *ids, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (kept == 0 || by_key(&ids[kept - 1], &ids[i]) != 0)
            ids[kept++] = ids[i];
    return kept;
}

static enum status_code bring_in(struct filling *filling, const struct concept_id *ids, size_t n,
                                 struct status *st)
{
    struct store_vector vectors[BATCH];
    struct arena arena;

    arena_init(&arena, LIMIT_CALL_ARENA_BYTES);
    store_get_vectors(filling->index->store, ids, n, &arena, vectors, st);
    for (size_t i = 0; i < n && st->code == STATUS_OK; i++)
        if (vectors[i].refinement == NULL)
            segment_remove(filling->segment, ids[i].data, ids[i].length);
        else
            filling_add(filling, &ids[i], &vectors[i], st);
    arena_deinit(&arena);
    return st->code;
}

static enum status_code bring_all_in(struct catching_up *c)
{
    size_t n;

    qsort(c->ids, c->count, sizeof *c->ids, by_key);
    n = drop_repeated(c->ids, c->count);
    for (size_t i = 0; i < n && c->st.code == STATUS_OK; i += BATCH)
        bring_in(c->filling, c->ids + i, n - i < BATCH ? n - i : BATCH, &c->st);
    c->count = 0;
    arena_reset(&c->arena);
    return c->st.code;
}

static bool note_change(void *context, const struct concept_id *id)
{
    struct catching_up *c = context;

    if (index_copy_id(id, &c->arena, &c->ids[c->count], &c->st) != STATUS_OK)
        return false;
    c->total++;
    return ++c->count < CHANGES || bring_all_in(c) == STATUS_OK;
}

static enum status_code apply_changes(struct filling *filling, uint64_t mark, struct status *st)
{
    struct catching_up c = { .filling = filling, .ids = calloc(CHANGES, sizeof *c.ids) };

    if (c.ids == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    arena_init(&c.arena, LIMIT_CALL_ARENA_BYTES);
    if (store_scan_changes(filling->index->store, mark, note_change, &c, st) == STATUS_OK &&
        c.st.code == STATUS_OK)
        bring_all_in(&c);
    if (st->code == STATUS_OK)
        *st = c.st;
    if (st->code == STATUS_OK)
        filling_flush(filling, st);
    filling->index->unsaved = c.total;
    arena_deinit(&c.arena);
    free(c.ids);
    return st->code;
}

/* Takes @segment. */
static enum status_code catch_up(struct index *index, struct segment *segment, uint64_t mark,
                                 struct status *st)
{
    struct filling *filling = filling_begin(index, segment);

    if (filling == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    apply_changes(filling, mark, st);
    segment = filling_end(filling);
    if (st->code != STATUS_OK) {
        segment_unref(segment);
        return status_wrap(st, "catch up with the store");
    }
    index->current = segment;
    index->rows_missing = index->codebook != NULL;
    return STATUS_OK;
}

static enum status_code map_segment(struct index *index, struct status *st)
{
    struct segment_options options = segment_options(index, index->codebook);
    struct segment *segment = NULL;
    uint64_t mark;

    if (segment_load(index->segment_path, &options, &segment, &mark, st) != STATUS_OK)
        return st->code;
    return catch_up(index, segment, mark, st);
}

/* ---- Opening ---- */

static enum status_code load_codebook(struct index *index, struct arena *arena, struct status *st)
{
    struct text_view bytes;

    if (store_get_blob(index->store, STORE_CODEBOOK, arena, &bytes, st) == STATUS_OK &&
        bytes.length > 0 &&
        codebook_parse(bytes.data, bytes.length, &index->codebook, st) != STATUS_OK)
        status_wrap(st, "stored codebook");
    return st->code;
}

/* One of another codebook, or of another release, is of no use, and no fault: it is measured again.
 */
static enum status_code load_calibration(struct index *index, struct arena *arena,
                                         struct status *st)
{
    struct calibration calibration;
    struct text_view bytes;

    if (store_get_blob(index->store, STORE_CALIBRATION, arena, &bytes, st) != STATUS_OK ||
        bytes.length == 0)
        return st->code;
    if (calibration_parse(bytes.data, bytes.length, &calibration, st) ==
        STATUS_FAILED_PRECONDITION) {
        log_line(LOG_INFO, "calibration_dropped", LOG_TEXT("because", st->message));
        *st = (struct status){ 0 };
        return STATUS_OK;
    }
    if (st->code != STATUS_OK)
        return status_wrap(st, "stored calibration");
    if (calibration.codebook_version == codebook_version(index->codebook))
        index->calibration = calibration;
    return STATUS_OK;
}

static enum status_code load_blobs(struct index *index, struct status *st)
{
    struct arena arena;

    arena_init(&arena, LIMIT_CALL_ARENA_BYTES);
    if (load_codebook(index, &arena, st) == STATUS_OK)
        load_calibration(index, &arena, st);
    arena_deinit(&arena);
    return st->code;
}

/* A file that was refused now could pass for a good one when the store has gone on. */
static enum status_code drop_file(struct index *index, const struct status *why, struct status *st)
{
    log_line(LOG_INFO, "segment_rebuilt", LOG_TEXT("because", why->message));
    if (unlink(index->segment_path) != 0 && errno != ENOENT)
        return status_set_errno(st, errno, "remove '%s'", index->segment_path);
    return STATUS_OK;
}

enum status_code index_open(struct index *index, struct store *store, struct status *st)
{
    struct status why = { 0 };

    index->store = store;
    if (load_blobs(index, st) != STATUS_OK || map_segment(index, &why) == STATUS_OK)
        return st->code;
    if (why.code != STATUS_NOT_FOUND && drop_file(index, &why, st) != STATUS_OK)
        return st->code;
    return rebuild_segment(index, st);
}

/* ---- Saving ---- */

/* What is saved and what was not is settled first: a write that overlaps counts as unsaved. */
static struct segment *begin_saving(struct index *index)
{
    struct segment *segment;

    pthread_mutex_lock(&index->lock);
    index->unsaved = 0;
    segment = segment_ref(index->current);
    pthread_mutex_unlock(&index->lock);
    return segment;
}

enum status_code index_save(struct index *index, struct status *st)
{
    struct segment *segment;
    uint64_t mark;

    if (__atomic_load_n(&index->incomplete, __ATOMIC_RELAXED))
        return STATUS_OK;
    segment = begin_saving(index);
    mark = store_change_mark(index->store);
    /* Synced, so that the file never holds what a power cut takes from the store. */
    if (segment_write(segment, index->segment_path, mark, st) == STATUS_OK &&
        store_sync(index->store, st) == STATUS_OK &&
        segment_publish(index->segment_path, st) == STATUS_OK)
        store_forget_changes(index->store, mark, st);
    segment_unref(segment);
    return st->code;
}

static uint64_t may_be_unsaved(const struct index_stats *stats, bool at_rest)
{
    uint64_t share = stats->codebook.version == 0 ? UNSAVED_SHARE_OF_ROWS : UNSAVED_SHARE;

    return UNSAVED_LEAST + stats->segment.count / (at_rest ? UNSAVED_SHARE_AT_REST : share);
}

/* While a codebook is being installed a file would be of the one that is on its way out. */
static bool is_due(struct index *index, bool at_rest)
{
    struct index_stats stats = index_stats(index);
    bool due;

    pthread_mutex_lock(&index->lock);
    due = index->next == NULL && index->unsaved > may_be_unsaved(&stats, at_rest);
    pthread_mutex_unlock(&index->lock);
    return due;
}

void index_save_if_due(struct index *index, bool at_rest, struct status *st)
{
    if (is_due(index, at_rest))
        index_save(index, st);
}
