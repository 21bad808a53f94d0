#include "shard/index.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "shard/row.h"
#include "src/log/log.h"
#include "src/serve/limits.h"

enum { ENCODE_BATCH = 256 };

struct index {
    char *segment_path;
    struct store *store;
    pthread_mutex_t lock;      /* of the three pointers */
    struct segment *current;   /* searched */
    struct segment *next;      /* being filled, or NULL */
    struct codebook *codebook; /* of new writes: that of next, or else of current; NULL: none */
    pthread_mutex_t installing;
    pthread_t encoder; /* the thread that holds `installing` */
    bool stopping;     /* atomic; a re-encoding in progress gives up */
};

enum status_code index_new(const char *segment_path, struct index **ret, struct status *st)
{
    struct index *index = calloc(1, sizeof *index);

    if (index == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    pthread_mutex_init(&index->lock, NULL);
    pthread_mutex_init(&index->installing, NULL);
    index->segment_path = strdup(segment_path);
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
    segment_unref(index->next);
    codebook_unref(index->codebook);
    pthread_mutex_destroy(&index->lock);
    pthread_mutex_destroy(&index->installing);
    free(index->segment_path);
    free(index);
}

static uint64_t version_of(const struct codebook *codebook)
{
    return codebook == NULL ? 0 : codebook_info(codebook)->version;
}

struct segment *index_segment(struct index *index)
{
    struct segment *segment;

    pthread_mutex_lock(&index->lock);
    segment = segment_ref(index->current);
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

/* ---- Following the store ---- */

/* The code of @vector under @codebook: the stored one, or one made now from the refinement row. */
static const uint8_t *code_for(const struct codebook *codebook, const struct store_vector *vector,
                               uint8_t made[CODEBOOK_CODE_BYTES])
{
    float row[LIMIT_DIMENSION];

    if (vector->codebook_version == version_of(codebook))
        return vector->code;
    row_decode(vector->refinement, row);
    codebook_encode(codebook, row, 1, made);
    return made;
}

static enum status_code put(struct segment *segment, const struct concept_id *id,
                            const struct store_vector *vector, struct status *st)
{
    uint8_t made[CODEBOOK_CODE_BYTES];
    struct codebook *codebook = segment_codebook(segment);

    if (row_check(id, vector, st) != STATUS_OK)
        return st->code;
    if (codebook == NULL)
        return segment_put(segment, id->data, id->length, vector->refinement, NULL, st);
    return segment_put(segment, id->data, id->length, NULL, code_for(codebook, vector, made), st);
}

/* A vector that the segment cannot take is searchable again after the next open. */
static void follow(struct segment *segment, const struct concept_id *id,
                   const struct store_vector *vector)
{
    struct status st = { 0 };

    if (segment == NULL)
        return;
    if (vector == NULL)
        segment_remove(segment, id->data, id->length);
    else if (put(segment, id, vector, &st) != STATUS_OK)
        log_line(LOG_ERROR, "segment_put_failed", LOG_TEXT("message", st.message));
}

/* Re-encoding changes codes, not vectors: what is searched meanwhile has nothing to follow. */
static bool is_reencoding(const struct index *index)
{
    return index->next != NULL && pthread_equal(pthread_self(), index->encoder);
}

void index_on_vector(void *context, const struct concept_id *id, const struct store_vector *vector)
{
    struct index *index = context;
    struct segment *current = NULL;
    struct segment *next = NULL;

    pthread_mutex_lock(&index->lock);
    if (index->current != NULL && !is_reencoding(index))
        current = segment_ref(index->current);
    if (index->next != NULL)
        next = segment_ref(index->next);
    pthread_mutex_unlock(&index->lock);
    follow(current, id, vector);
    follow(next, id, vector);
    segment_unref(current);
    segment_unref(next);
}

/* ---- Opening ---- */

static enum status_code load_codebook(struct index *index, struct status *st)
{
    struct arena arena;
    struct text_view bytes;

    arena_init(&arena, LIMIT_CALL_ARENA_BYTES);
    if (store_get_codebook(index->store, &arena, &bytes, st) == STATUS_OK && bytes.length > 0 &&
        codebook_parse(bytes.data, bytes.length, &index->codebook, st) != STATUS_OK)
        status_wrap(st, "stored codebook");
    arena_deinit(&arena);
    return st->code;
}

struct rebuild {
    struct segment *segment;
    struct status st;
};

static bool rebuild_one(void *context, const struct concept_id *id,
                        const struct store_vector *vector)
{
    struct rebuild *rebuild = context;
    return put(rebuild->segment, id, vector, &rebuild->st) == STATUS_OK;
}

static enum status_code rebuild_segment(struct index *index, struct status *st)
{
    struct rebuild rebuild = { .segment = segment_new(LIMIT_DIMENSION, index->codebook) };

    if (rebuild.segment == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (store_scan_vectors(index->store, rebuild_one, &rebuild, st) == STATUS_OK)
        *st = rebuild.st;
    if (st->code != STATUS_OK) {
        segment_unref(rebuild.segment);
        return status_wrap(st, "rebuild the segment");
    }
    index->current = rebuild.segment;
    return STATUS_OK;
}

enum status_code index_open(struct index *index, struct store *store, struct status *st)
{
    struct status why = { 0 };

    index->store = store;
    if (load_codebook(index, st) != STATUS_OK)
        return st->code;
    if (segment_load(index->segment_path, LIMIT_DIMENSION, index->codebook, store_sequence(store),
                     &index->current, &why) == STATUS_OK)
        return STATUS_OK;
    if (why.code != STATUS_NOT_FOUND)
        log_line(LOG_INFO, "segment_rebuilt", LOG_TEXT("because", why.message));
    return rebuild_segment(index, st);
}

enum status_code index_save(struct index *index, struct status *st)
{
    return segment_save(index->current, index->segment_path, store_sequence(index->store), st);
}

/* ---- Installing a codebook ---- */

/* Vectors on their way from the store through the new codebook back into the store. */
struct reencode {
    struct index *index;
    struct codebook *codebook;
    struct arena arena; /* of one batch */
    struct store_code items[ENCODE_BATCH];
    float rows[ENCODE_BATCH][LIMIT_DIMENSION];
    uint8_t codes[ENCODE_BATCH][CODEBOOK_CODE_BYTES];
    size_t count;
    bool (*cancelled)(void *context);
    void *context;
    struct status st;
};

static bool gives_up(const struct reencode *r)
{
    return __atomic_load_n(&r->index->stopping, __ATOMIC_RELAXED) ||
           (r->cancelled != NULL && r->cancelled(r->context));
}

static enum status_code flush(struct reencode *r)
{
    bool applied[ENCODE_BATCH];

    if (gives_up(r))
        return status_set(&r->st, STATUS_CANCELLED, "re-encoding was cancelled");
    codebook_encode(r->codebook, &r->rows[0][0], r->count, &r->codes[0][0]);
    for (size_t i = 0; i < r->count; i++)
        r->items[i].code = r->codes[i];
    store_set_codes(r->index->store, r->items, r->count, version_of(r->codebook), applied, &r->st);
    r->count = 0;
    arena_reset(&r->arena);
    return r->st.code;
}

static bool reencode_one(void *context, const struct concept_id *id,
                         const struct store_vector *vector)
{
    struct reencode *r = context;
    struct store_code *item = &r->items[r->count];
    const char *id_copy = arena_copy(&r->arena, id->data, id->length);
    const void *row_copy = arena_copy(&r->arena, vector->refinement, vector->refinement_size);

    if (row_check(id, vector, &r->st) != STATUS_OK)
        return false;
    if (id_copy == NULL || row_copy == NULL)
        return status_set(&r->st, STATUS_RESOURCE_EXHAUSTED, "out of memory") == STATUS_OK;
    item->id = *id;
    item->id.data = id_copy;
    item->refinement = row_copy;
    item->refinement_size = vector->refinement_size;
    row_decode(row_copy, r->rows[r->count++]);
    return r->count < ENCODE_BATCH || flush(r) == STATUS_OK;
}

static enum status_code reencode_all(struct index *index, struct codebook *codebook,
                                     bool (*cancelled)(void *context), void *context,
                                     struct status *st)
{
    struct reencode *r = calloc(1, sizeof *r);

    if (r == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    r->index = index;
    r->codebook = codebook;
    r->cancelled = cancelled;
    r->context = context;
    arena_init(&r->arena, LIMIT_CALL_ARENA_BYTES);
    if (store_scan_vectors(index->store, reencode_one, r, st) == STATUS_OK &&
        r->st.code == STATUS_OK)
        flush(r);
    if (st->code == STATUS_OK)
        *st = r->st;
    arena_deinit(&r->arena);
    free(r);
    return st->code;
}

/* From now on writes are encoded with @codebook and reach a second segment. Takes both on success.
 */
static void begin_switch(struct index *index, struct codebook *codebook, struct segment *next)
{
    pthread_mutex_lock(&index->lock);
    codebook_unref(index->codebook);
    index->codebook = codebook;
    index->next = next;
    index->encoder = pthread_self();
    pthread_mutex_unlock(&index->lock);
}

/* The second segment becomes the one that is searched; or is given up, and the next open makes it
 * anew. */
static void end_switch(struct index *index, bool complete)
{
    struct segment *old;

    pthread_mutex_lock(&index->lock);
    old = complete ? index->current : index->next;
    if (complete)
        index->current = index->next;
    index->next = NULL;
    pthread_mutex_unlock(&index->lock);
    segment_unref(old);
}

static enum status_code switch_to(struct index *index, struct codebook *codebook,
                                  const struct index_install *install, struct status *st)
{
    struct segment *next = segment_new(LIMIT_DIMENSION, codebook);

    if (next == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (store_put_codebook(index->store, install->bytes, install->size, true, st) != STATUS_OK) {
        segment_unref(next);
        return st->code;
    }
    begin_switch(index, codebook_ref(codebook), next);
    reencode_all(index, codebook, install->cancelled, install->context, st);
    end_switch(index, st->code == STATUS_OK);
    return st->code;
}

static enum status_code install_locked(struct index *index, struct codebook *codebook,
                                       const struct index_install *install, struct status *st)
{
    uint64_t version = version_of(index->codebook);

    if (codebook_info(codebook)->dimension != LIMIT_DIMENSION)
        return status_set(st, STATUS_INVALID_ARGUMENT, "the codebook has %zu dimensions, not %d",
                          codebook_info(codebook)->dimension, LIMIT_DIMENSION);
    if (version == version_of(codebook) && version_of(segment_codebook(index->current)) == version)
        return STATUS_OK;
    if (version != install->expected_version && version != version_of(codebook))
        return status_set(st, STATUS_ABORTED,
                          "codebook version %" PRIu64 " is in force, not %" PRIu64, version,
                          install->expected_version);
    return switch_to(index, codebook, install, st);
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
        status_set(st, STATUS_ABORTED, "another codebook is being installed");
    }
    codebook_unref(codebook);
    return st->code;
}

void index_stop(struct index *index)
{
    __atomic_store_n(&index->stopping, true, __ATOMIC_RELAXED);
}

struct index_stats index_stats(struct index *index)
{
    struct segment *segment = index_segment(index);
    struct codebook *codebook = segment_codebook(segment);
    struct index_stats stats = { .memory_bytes = segment_memory_bytes(segment) };

    if (codebook != NULL) {
        stats.codebook = *codebook_info(codebook);
        stats.vectors_encoded = segment_count(segment);
    }
    segment_unref(segment);
    return stats;
}
