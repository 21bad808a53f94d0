/*
 * Another codebook: encoding everything with it beside the one that is searched, changing over, and
 * what may be left to do after an interruption.
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shard/index_internal.h"
#include "shard/row.h"
#include "src/base/clock.h"
#include "src/log/log.h"
#include "src/serve/limits.h"

enum {
    BATCH = 256,
    PAUSE_PER_WORK = 1, /* as long a pause as the work took: half of one core at most */
};

enum status_code index_copy_id(const struct concept_id *id, struct arena *arena,
                               struct concept_id *ret, struct status *st)
{
    *ret = *id;
    ret->data = arena_copy(arena, id->data, id->length);
    if (ret->data == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    return STATUS_OK;
}

/* ---- A pass over all vectors ---- */

/* Vectors on their way from the store through a codebook into a segment and, where their stored
 * code is another codebook's, back into the store. */
struct pass {
    struct index *index;
    struct codebook *codebook;
    struct segment *segment; /* gets every vector; NULL: only the store's codes are renewed */
    struct arena arena;      /* of one batch */
    struct concept_id ids[BATCH];
    struct store_code stale[BATCH];
    int8_t values[BATCH][LIMIT_DIMENSION];
    uint8_t codes[BATCH][CODEBOOK_CODE_BYTES];
    size_t count; /* of ids */
    size_t stale_count;
    uint64_t renewed;
    struct status st;
};

static enum status_code renew_codes(struct pass *pass)
{
    bool applied[BATCH];

    if (pass->stale_count == 0)
        return STATUS_OK;
    codebook_encode(pass->codebook, &pass->values[0][0], LIMIT_DIMENSION, pass->stale_count,
                    &pass->codes[0][0], NULL, NULL);
    for (size_t i = 0; i < pass->stale_count; i++)
        pass->stale[i].code = pass->codes[i];
    pass->renewed += pass->stale_count;
    return store_set_codes(pass->index->store, pass->stale, pass->stale_count,
                           codebook_info(pass->codebook)->code_version, applied, &pass->st);
}

static bool put_now(void *context, const struct concept_id *id, const struct store_vector *vector)
{
    struct pass *pass = context;

    return vector == NULL ||
           index_put(pass->index, pass->segment, id, vector, &pass->st) == STATUS_OK;
}

/* Those whose code is fine as it is: as they are by now, under their locks. */
static enum status_code take_codes(struct pass *pass)
{
    if (pass->segment == NULL || pass->count == 0)
        return STATUS_OK;
    return store_visit_vectors(pass->index->store, pass->ids, pass->count, put_now, pass,
                               &pass->st);
}

static void pause_after(int64_t started_us)
{
    int64_t pause_us = (clock_monotonic_us() - started_us) * PAUSE_PER_WORK;
    const struct timespec pause = { .tv_sec = pause_us / 1000000,
                                    .tv_nsec = pause_us % 1000000 * 1000 };

    nanosleep(&pause, NULL);
}

static enum status_code flush(struct pass *pass)
{
    int64_t started_us = clock_monotonic_us();

    if (index_stopped(pass->index))
        return status_set(&pass->st, STATUS_CANCELLED, "re-encoding was cancelled");
    if (renew_codes(pass) != STATUS_OK || take_codes(pass) != STATUS_OK)
        return pass->st.code;
    __atomic_fetch_add(&pass->index->reencoded, pass->count + pass->stale_count, __ATOMIC_RELAXED);
    pass->count = 0;
    pass->stale_count = 0;
    arena_reset(&pass->arena);
    pause_after(started_us);
    return STATUS_OK;
}

static enum status_code add_stale(struct pass *pass, const struct concept_id *id,
                                  const struct store_vector *vector)
{
    struct store_code *item = &pass->stale[pass->stale_count];
    const void *row = arena_copy(&pass->arena, vector->refinement, vector->refinement_size);
    int8_t scratch[LIMIT_DIMENSION];

    if (index_copy_id(id, &pass->arena, &item->id, &pass->st) != STATUS_OK)
        return pass->st.code;
    if (row == NULL)
        return status_set(&pass->st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    item->refinement = row;
    item->refinement_size = vector->refinement_size;
    item->drop_refinement = !pass->index->rows.kept;
    memcpy(pass->values[pass->stale_count++],
           refine_values(pass->index->rows.format, row, LIMIT_DIMENSION, scratch), LIMIT_DIMENSION);
    return STATUS_OK;
}

static enum status_code add_fresh(struct pass *pass, const struct concept_id *id)
{
    if (index_copy_id(id, &pass->arena, &pass->ids[pass->count], &pass->st) == STATUS_OK)
        pass->count++;
    return pass->st.code;
}

static bool pass_one(void *context, const struct concept_id *id, const struct store_vector *vector)
{
    struct pass *pass = context;
    bool fresh = vector->codebook_version == codebook_info(pass->codebook)->code_version;
    struct store_vector stored = *vector;

    if (!fresh && row_complete(pass->index->rows, NULL, id, &stored, NULL, &pass->st) != STATUS_OK)
        return false;
    if ((fresh ? add_fresh(pass, id) : add_stale(pass, id, vector)) != STATUS_OK)
        return false;
    return pass->count + pass->stale_count < BATCH || flush(pass) == STATUS_OK;
}

static enum status_code run_pass(struct pass *pass, struct status *st)
{
    if (store_scan_vectors(pass->index->store, pass_one, pass, st) == STATUS_OK &&
        pass->st.code == STATUS_OK)
        flush(pass);
    if (st->code == STATUS_OK)
        *st = pass->st;
    return st->code;
}

static void set_encoding(struct index *index, bool encoding)
{
    pthread_mutex_lock(&index->lock);
    index->encoding = encoding;
    index->encoder = pthread_self();
    pthread_mutex_unlock(&index->lock);
}

static void set_progress(struct index *index, uint64_t total)
{
    __atomic_store_n(&index->reencoded, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&index->reencode_total, total, __ATOMIC_RELAXED);
}

static uint64_t count_vectors(struct index *index)
{
    struct store_stats stats = { 0 };
    struct status ignored = { 0 };

    store_stats(index->store, &stats, &ignored);
    return stats.vectors;
}

/* The thread holds `installing`. */
static enum status_code encode_all(struct index *index, struct codebook *codebook,
                                   struct segment *segment, struct status *st)
{
    struct pass *pass = calloc(1, sizeof *pass);

    if (pass == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    pass->index = index;
    pass->codebook = codebook;
    pass->segment = segment;
    arena_init(&pass->arena, LIMIT_CALL_ARENA_BYTES);
    set_progress(index, count_vectors(index));
    set_encoding(index, true);
    run_pass(pass, st);
    set_encoding(index, false);
    set_progress(index, 0);
    if (pass->renewed > 0)
        __atomic_store_n(&index->compaction_due, true, __ATOMIC_RELAXED);
    arena_deinit(&pass->arena);
    free(pass);
    return st->code;
}

/* ---- Installing ---- */

/* From now on writes are encoded with @codebook and reach a second segment. Takes both. */
static void begin_install(struct index *index, struct codebook *codebook, struct segment *next)
{
    struct segment *abandoned;
    bool same_codes;

    pthread_mutex_lock(&index->lock);
    abandoned = index->next;
    same_codes = index->codebook != NULL && codebook_info(index->codebook)->code_version ==
                                                codebook_info(codebook)->code_version;
    codebook_unref(index->codebook);
    index->codebook = codebook;
    index->next = next;
    index->next_ready = false;
    index->next_calibration = (struct calibration){ 0 };
    if (!same_codes) {
        index->recent = 0;
        index->errors = 0;
    }
    pthread_mutex_unlock(&index->lock);
    segment_unref(abandoned);
}

/* The second segment can be searched; or is given up, and the next installation makes it anew. */
static void end_install(struct index *index, bool complete)
{
    struct segment *abandoned = NULL;

    pthread_mutex_lock(&index->lock);
    index->next_ready = complete;
    if (!complete) {
        abandoned = index->next;
        index->next = NULL;
    }
    pthread_mutex_unlock(&index->lock);
    segment_unref(abandoned);
}

static enum status_code install_new(struct index *index, struct codebook *codebook,
                                    const struct index_install *install, struct status *st)
{
    struct segment *next = index_new_segment(index, codebook);

    if (next == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (store_put_blob(index->store, STORE_CODEBOOK, install->bytes, install->size, true, st) !=
        STATUS_OK) {
        segment_unref(next);
        return st->code;
    }
    begin_install(index, codebook_ref(codebook), next);
    encode_all(index, codebook, next, st);
    end_install(index, st->code == STATUS_OK);
    return st->code;
}

static bool is_installed(struct index *index, uint64_t version)
{
    bool installed;

    pthread_mutex_lock(&index->lock);
    installed = codebook_version(segment_codebook(index->current)) == version ||
                (index->next_ready && codebook_version(segment_codebook(index->next)) == version);
    pthread_mutex_unlock(&index->lock);
    return installed;
}

static enum status_code install_locked(struct index *index, struct codebook *codebook,
                                       const struct index_install *install, struct status *st)
{
    uint64_t in_force = codebook_version(index->codebook);
    uint64_t version = codebook_version(codebook);

    if (codebook_info(codebook)->dimension != LIMIT_DIMENSION)
        return status_set(st, STATUS_INVALID_ARGUMENT, "the codebook has %zu dimensions, not %d",
                          codebook_info(codebook)->dimension, LIMIT_DIMENSION);
    if (in_force == version && is_installed(index, version))
        return STATUS_OK;
    if (install->compare && in_force != install->expected_version && in_force != version)
        return status_set(st, STATUS_ABORTED,
                          "codebook version %" PRIu64 " is in force, not %" PRIu64, in_force,
                          install->expected_version);
    if (!install->compare && in_force > version)
        return status_set(st, STATUS_ABORTED,
                          "codebook version %" PRIu64 " is in force, which is newer than %" PRIu64,
                          in_force, version);
    return install_new(index, codebook, install, st);
}

enum status_code index_install(struct index *index, const struct index_install *install,
                               struct status *st)
{
    struct codebook *codebook;

    if (codebook_parse(install->bytes, install->size, &codebook, st) != STATUS_OK)
        return status_wrap(st, "install codebook");
    if (pthread_mutex_trylock(&index->installing) == 0) {
        install_locked(index, codebook, install, st);
        pthread_mutex_unlock(&index->installing);
    } else {
        status_set_reason(st, STATUS_ABORTED, INDEX_INSTALLING,
                          "another codebook is being installed");
    }
    codebook_unref(codebook);
    return st->code;
}

enum status_code index_switch(struct index *index, uint64_t version, struct status *st)
{
    struct segment *oldest = NULL;

    pthread_mutex_lock(&index->lock);
    if (index->next_ready && codebook_version(segment_codebook(index->next)) == version) {
        oldest = index->previous;
        index->previous = index->current;
        index->current = index->next;
        index->next = NULL;
        index->next_ready = false;
        index->calibration = index->next_calibration;
        index->next_calibration = (struct calibration){ 0 };
        index->unsaved = segment_stats(index->current).count; /* the file is of another codebook */
    } else if (codebook_version(segment_codebook(index->current)) != version) {
        status_set(st, STATUS_FAILED_PRECONDITION, "codebook version %" PRIu64 " is not installed",
                   version);
    }
    pthread_mutex_unlock(&index->lock);
    segment_unref(oldest);
    return st->code;
}

void index_retire(struct index *index, uint64_t version)
{
    struct segment *retired = NULL;

    pthread_mutex_lock(&index->lock);
    if (codebook_version(segment_codebook(index->current)) == version) {
        retired = index->previous;
        index->previous = NULL;
    }
    pthread_mutex_unlock(&index->lock);
    segment_unref(retired);
}

/* ---- What can wait ---- */

/* Codes in the store that are not of the codebook in force, after an interruption. */
static void renew_stale_codes(struct index *index, struct status *st)
{
    struct codebook *codebook;

    if (!__atomic_load_n(&index->stale_codes, __ATOMIC_RELAXED) ||
        pthread_mutex_trylock(&index->installing) != 0)
        return; /* an installation renews them all */
    codebook = index_codebook(index);
    if (encode_all(index, codebook, NULL, st) != STATUS_CANCELLED)
        __atomic_store_n(&index->stale_codes, false, __ATOMIC_RELAXED); /* else every second */
    codebook_unref(codebook);
    pthread_mutex_unlock(&index->installing);
}

struct warming {
    struct index *index;
    struct segment *segment;
    struct arena arena; /* of one batch */
    struct concept_id ids[BATCH];
    size_t count;
    struct status st;
};

/* One that is damaged stays out: whoever asks for it is told. */
static bool warm_now(void *context, const struct concept_id *id, const struct store_vector *vector)
{
    struct warming *warming = context;

    if (vector != NULL && refine_row_valid(warming->index->rows.format, vector->refinement,
                                           vector->refinement_size, LIMIT_DIMENSION))
        segment_put_row(warming->segment, id->data, id->length, vector->refinement);
    return true;
}

static bool is_full(const struct warming *warming)
{
    return segment_stats(warming->segment).row_bytes + 64 * row_bytes(warming->index->rows) >
           warming->index->row_budget_bytes;
}

static enum status_code flush_rows(struct warming *warming)
{
    if (index_stopped(warming->index))
        return status_set(&warming->st, STATUS_CANCELLED, "stopping");
    store_visit_vectors(warming->index->store, warming->ids, warming->count, warm_now, warming,
                        &warming->st);
    warming->count = 0;
    arena_reset(&warming->arena);
    return warming->st.code;
}

static bool warm_one(void *context, const struct concept_id *id, const struct store_vector *vector)
{
    struct warming *warming = context;

    (void)vector;
    if (index_copy_id(id, &warming->arena, &warming->ids[warming->count], &warming->st) !=
        STATUS_OK)
        return false;
    return ++warming->count < BATCH || (flush_rows(warming) == STATUS_OK && !is_full(warming));
}

/* A segment from a file has no rows. */
static void bring_rows_back(struct index *index, struct status *st)
{
    struct warming *warming;

    if (!index->rows.kept || !__atomic_load_n(&index->rows_missing, __ATOMIC_RELAXED))
        return;
    warming = calloc(1, sizeof *warming);
    if (warming == NULL) {
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    warming->index = index;
    warming->segment = index_segment(index, 0);
    arena_init(&warming->arena, LIMIT_CALL_ARENA_BYTES);
    if (store_scan_vectors(index->store, warm_one, warming, st) == STATUS_OK &&
        warming->st.code == STATUS_OK)
        flush_rows(warming);
    if (st->code == STATUS_OK)
        *st = warming->st;
    if (st->code != STATUS_CANCELLED) /* what fails now would fail every second */
        __atomic_store_n(&index->rows_missing, false, __ATOMIC_RELAXED);
    segment_unref(warming->segment);
    arena_deinit(&warming->arena);
    free(warming);
}

static void give_disk_back(struct index *index, struct status *st)
{
    if (__atomic_exchange_n(&index->compaction_due, false, __ATOMIC_RELAXED) &&
        !index_stopped(index))
        store_compact_vectors(index->store, st);
}

void index_maintain(struct index *index, bool at_rest)
{
    struct status st = { 0 };

    index_save_if_due(index, at_rest, &st);
    if (st.code == STATUS_OK)
        bring_rows_back(index, &st);
    if (st.code == STATUS_OK)
        renew_stale_codes(index, &st);
    if (st.code == STATUS_OK)
        give_disk_back(index, &st);
    if (st.code != STATUS_OK && st.code != STATUS_CANCELLED)
        log_line(LOG_WARN, "index_care_failed", LOG_TEXT("message", st.message));
}
