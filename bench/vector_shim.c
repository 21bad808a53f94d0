/*
 * The vector engine as a shared library for bench/vector, so that it runs in the same process and
 * on the same arrays as its rivals. Concepts have the ids 0, 1, 2, … of four bytes. Functions that
 * can fail return a message that is valid until the next failure, or NULL.
 */

#define _GNU_SOURCE
#include <cblas.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "src/base/arena.h"
#include "src/base/status.h"
#include "src/vector/codebook.h"
#include "src/vector/kernel.h"
#include "src/vector/refine.h"
#include "src/vector/segment.h"

enum { D = 384, ENCODE_BLOCK = 256, MOST_QUERIES = 4096 };

static const size_t HUGE_PAGE = (size_t)2 << 20;
static const size_t ARENA_BYTES = (size_t)1 << 30;

static struct status failure;

static const char *failed(const char *message)
{
    failure = (struct status){ 0 };
    snprintf(failure.message, sizeof failure.message, "%s", message);
    return failure.message;
}

static const char *outcome(const struct status *st)
{
    return st->code == STATUS_OK ? NULL : failed(st->message);
}

/* ---- Kernels ---------------------------------------------------------------------------- */

bool shim_kernel_select(const char *name)
{
    return vector_kernel_select(name);
}

const char *shim_kernel_name(void)
{
    return vector_kernel_name();
}

/* Memory as the engine's own: zeroed, in large pages where there are some. */
void *shim_pages(size_t bytes)
{
    size_t rounded = (bytes + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    void *p = aligned_alloc(HUGE_PAGE, rounded);

    if (p == NULL)
        return NULL;
    madvise(p, rounded, MADV_HUGEPAGE);
    memset(p, 0, rounded);
    return p;
}

/* Scans @groups groups of 256 codes, @repeats times; no sum passes. */
void shim_scan(const struct codebook *codebook, const float *unit, const uint8_t *codes,
               size_t groups, size_t repeats)
{
    struct codebook_query query;
    uint16_t sums[KERNEL_GROUP] __attribute__((aligned(64)));
    uint64_t pass[KERNEL_GROUP_WORDS];

    codebook_query_init(&query, codebook, unit);
    for (size_t i = 0; i < repeats; i++)
        for (size_t j = 0; j < groups; j++)
            vector_kernel()->scan(query.table[0], codes + j * KERNEL_GROUP * CODEBOOK_PARTS,
                                  CODEBOOK_PARTS, KERNEL_GROUP_WORDS, UINT16_MAX, sums, pass);
}

/* The same for @units [64][D] at once. */
void shim_scan_batch(const struct codebook *codebook, const float *units, const uint8_t *codes,
                     size_t groups, size_t repeats)
{
    enum { TABLE = CODEBOOK_PARTS * CODEBOOK_CENTROIDS };
    struct codebook_query *queries = aligned_alloc(64, KERNEL_BATCH * sizeof *queries);
    uint8_t *tables = shim_pages((size_t)KERNEL_BATCH * TABLE);
    uint16_t thresholds[KERNEL_BATCH] __attribute__((aligned(64)));
    uint16_t sums[KERNEL_GROUP * KERNEL_BATCH] __attribute__((aligned(64)));
    uint64_t pass[KERNEL_GROUP];

    if (queries == NULL)
        abort();
    for (size_t q = 0; q < KERNEL_BATCH; q++) {
        codebook_query_init(&queries[q], codebook, units + q * D);
        thresholds[q] = UINT16_MAX;
    }
    vector_kernel_interleave(queries->table[0], sizeof *queries, KERNEL_BATCH, CODEBOOK_PARTS,
                             tables);
    for (size_t i = 0; i < repeats; i++)
        for (size_t j = 0; j < groups; j++)
            vector_kernel()->scan_batch(tables, codes + j * KERNEL_GROUP * CODEBOOK_PARTS,
                                        CODEBOOK_PARTS, KERNEL_GROUP_WORDS, thresholds, sums, pass);
    free(tables);
    free(queries);
}

typedef uint64_t lanes __attribute__((vector_size(64)));

/* Reads @bytes, a multiple of 512, @repeats times: what a scan would take if it computed nothing.
 */
__attribute__((target_clones("avx512f", "avx2", "default"))) uint64_t
shim_read(const void *memory, size_t bytes, size_t repeats)
{
    const lanes *values = memory;
    lanes sums[8] = { 0 };

    for (size_t i = 0; i < repeats; i++)
        for (size_t j = 0; j < bytes / sizeof(lanes); j += 8)
            for (size_t k = 0; k < 8; k++)
                sums[k] += values[j + k];
    for (size_t k = 1; k < 8; k++)
        sums[0] += sums[k];
    return sums[0][0] + sums[0][7];
}

/* ---- Codebooks -------------------------------------------------------------------------- */

uint32_t shim_cells_for(uint64_t stored)
{
    return codebook_cells_for(stored);
}

const char *shim_train(const float *samples, size_t n, uint64_t stored, uint32_t cells,
                       struct codebook **ret)
{
    struct codebook_train_options options = {
        .seed = 1, .iterations = 20, .version = 1, .stored = stored, .cells = cells
    };
    struct status st = { 0 };

    openblas_set_num_threads(1);
    codebook_train(samples, n, D, &options, ret, &st);
    return outcome(&st);
}

void shim_codebook_free(struct codebook *codebook)
{
    codebook_unref(codebook);
}

/* Refinement rows of unit vectors: @ret [n][refine_row_bytes]. */
void shim_refine(uint32_t format, const float *units, size_t n, uint8_t *ret)
{
    size_t bytes = refine_row_bytes(format, D);

    for (size_t i = 0; i < n; i++)
        refine_encode(format, units + i * D, D, ret + i * bytes);
}

/* Codes and, unless NULL, cells of INT8 rows. */
void shim_encode(const struct codebook *codebook, const uint8_t *rows, size_t n, uint8_t *ret_codes,
                 uint32_t *ret_cells)
{
    codebook_encode(codebook, (const int8_t *)rows + REFINE_SCALE_BYTES,
                    refine_row_bytes(REFINE_INT8, D), n, ret_codes, ret_cells, NULL);
}

/* Codes of unit vectors. */
void shim_encode_units(const struct codebook *codebook, const float *units, size_t n,
                       uint8_t *ret_codes)
{
    enum { BLOCK = 64 };
    int8_t values[BLOCK * D] __attribute__((aligned(64)));

    for (size_t i = 0; i < n; i += BLOCK) {
        size_t count = n - i < BLOCK ? n - i : BLOCK;
        for (size_t j = 0; j < count; j++)
            refine_quantise(units + (i + j) * D, D, values + j * D);
        codebook_encode(codebook, values, D, count, ret_codes + i * CODEBOOK_CODE_BYTES, NULL,
                        NULL);
    }
}

/* ---- Segments --------------------------------------------------------------------------- */

/* NULL without memory. */
struct segment *shim_segment(struct codebook *codebook, uint32_t format)
{
    return segment_new(&(struct segment_options){
        .dimension = D, .refine = format, .codebook = codebook, .row_budget_bytes = SIZE_MAX });
}

void shim_segment_free(struct segment *segment)
{
    segment_unref(segment);
}

/* Puts concepts @first, @first + 1, …; @cells NULL: there are none. */
const char *shim_fill(struct segment *segment, uint32_t format, const uint8_t *rows,
                      const uint8_t *codes, const uint32_t *cells, uint32_t first, size_t n)
{
    size_t bytes = refine_row_bytes(format, D);
    struct status st = { 0 };

    for (size_t i = 0; i < n && st.code == STATUS_OK; i++) {
        uint32_t id = first + (uint32_t)i;
        segment_put(segment, &id, sizeof id, rows + i * bytes, codes + i * CODEBOOK_CODE_BYTES,
                    cells == NULL ? 0 : cells[i], &st);
    }
    return outcome(&st);
}

/* One vector, as it arrives: row, code, cell, into the segment of INT8 rows. */
static enum status_code insert(struct segment *segment, const float *unit, uint32_t id,
                               struct status *st)
{
    uint8_t row[REFINE_SCALE_BYTES + D];
    uint8_t code[CODEBOOK_CODE_BYTES];
    uint32_t cell;

    refine_encode(REFINE_INT8, unit, D, row);
    codebook_encode(segment_codebook(segment), (const int8_t *)row + REFINE_SCALE_BYTES, sizeof row,
                    1, code, &cell, NULL);
    return segment_put(segment, &id, sizeof id, row, code, cell, st);
}

const char *shim_insert(struct segment *segment, const float *units, uint32_t first, size_t n)
{
    struct status st = { 0 };

    for (size_t i = 0; i < n; i++)
        if (insert(segment, units + i * D, first + (uint32_t)i, &st) != STATUS_OK)
            break;
    return outcome(&st);
}

struct inserter {
    struct segment *segment;
    const float *units; /* [n][D] */
    uint32_t first;
    size_t n;
    atomic_size_t inserted;
    atomic_bool stop;
    pthread_t thread;
};

static void *insert_round_and_round(void *context)
{
    struct inserter *inserter = context;
    struct status st = { 0 };

    for (size_t i = 0; !atomic_load(&inserter->stop); i = (i + 1) % inserter->n) {
        if (insert(inserter->segment, inserter->units + i * D, inserter->first + (uint32_t)i,
                   &st) != STATUS_OK)
            abort();
        atomic_fetch_add(&inserter->inserted, 1);
    }
    return NULL;
}

/* A thread that inserts, then replaces, concepts @first to @first + @n - 1 until it is stopped. */
struct inserter *shim_inserter_start(struct segment *segment, const float *units, uint32_t first,
                                     size_t n)
{
    struct inserter *inserter = calloc(1, sizeof *inserter);

    if (inserter == NULL)
        abort();
    inserter->segment = segment;
    inserter->units = units;
    inserter->first = first;
    inserter->n = n;
    if (pthread_create(&inserter->thread, NULL, insert_round_and_round, inserter) != 0)
        abort();
    return inserter;
}

/* How many it has inserted. */
size_t shim_inserter_stop(struct inserter *inserter)
{
    size_t inserted;

    atomic_store(&inserter->stop, true);
    pthread_join(inserter->thread, NULL);
    inserted = atomic_load(&inserter->inserted);
    free(inserter);
    return inserted;
}

struct segment_stats shim_stats(struct segment *segment)
{
    return segment_stats(segment);
}

/* ---- Searching -------------------------------------------------------------------------- */

struct segment_filter *shim_filter(struct segment *segment, const uint32_t *ids, size_t n)
{
    struct segment_filter *filter = segment_filter_new(segment);

    for (size_t i = 0; filter != NULL && i < n; i++)
        segment_filter_add(filter, &ids[i], sizeof ids[i]);
    return filter;
}

void shim_filter_free(struct segment_filter *filter)
{
    segment_filter_free(filter);
}

struct searcher {
    struct segment *segment;
    struct segment_search options;
    struct arena arena;
    struct segment_hits hits[MOST_QUERIES];
};

/* A search with its settings; @codes_only gives the best @k by code, and @r is not used. */
struct searcher *shim_searcher(struct segment *segment, size_t k, size_t r, float reach,
                               size_t nprobe, bool codes_only, const struct segment_filter *filter)
{
    struct searcher *searcher = calloc(1, sizeof *searcher);

    if (searcher == NULL)
        abort();
    searcher->segment = segment_ref(segment);
    searcher->options = (struct segment_search){ .r = codes_only ? k : r,
                                                 .k = codes_only ? 0 : k,
                                                 .reach = reach,
                                                 .nprobe = nprobe,
                                                 .codes_only = codes_only,
                                                 .filter = filter };
    arena_init(&searcher->arena, ARENA_BYTES);
    return searcher;
}

void shim_searcher_free(struct searcher *searcher)
{
    segment_unref(searcher->segment);
    arena_deinit(&searcher->arena);
    free(searcher);
}

static void copy_ids(const struct segment_hits *hits, size_t k, int64_t *ret)
{
    uint32_t id;

    for (size_t i = 0; i < k; i++) {
        ret[i] = -1;
        if (i < hits->count) {
            memcpy(&id, hits->hits[i].id, sizeof id);
            ret[i] = id;
        }
    }
}

/* @ret_ids [nq][k], -1 where there is no more. */
const char *shim_search(struct searcher *searcher, const float *queries, size_t nq,
                        int64_t *ret_ids)
{
    size_t k = searcher->options.k != 0 ? searcher->options.k : searcher->options.r;
    struct status st = { 0 };

    if (nq > MOST_QUERIES)
        return failed("too many queries at once");
    arena_reset(&searcher->arena);
    if (segment_search(searcher->segment, queries, nq, &searcher->options, &searcher->arena,
                       searcher->hits, &st) == STATUS_OK)
        for (size_t i = 0; i < nq; i++)
            copy_ids(&searcher->hits[i], k, ret_ids + i * k);
    return outcome(&st);
}

/* ---- Distances -------------------------------------------------------------------------- */

/* @ret [n]: pointers into @ids. */
void shim_ids(const uint32_t *ids, size_t n, struct segment_id *ret)
{
    for (size_t i = 0; i < n; i++)
        ret[i] = (struct segment_id){ &ids[i], sizeof ids[i] };
}

const char *shim_pairs(struct segment *segment, const struct segment_id *a,
                       const struct segment_id *b, size_t n, bool by_code, float *ret)
{
    struct status st = { 0 };

    segment_pairs(segment, a, b, n, by_code ? SEGMENT_BY_CODE : SEGMENT_BY_ROW, ret, &st);
    return outcome(&st);
}

const char *shim_score(struct segment *segment, const float *query, const struct segment_id *ids,
                       size_t n, bool by_code, float *ret)
{
    struct status st = { 0 };

    segment_score(segment, query, ids, n, by_code ? SEGMENT_BY_CODE : SEGMENT_BY_ROW, ret, &st);
    return outcome(&st);
}

size_t shim_find(struct segment *segment, const struct segment_id *ids, size_t n, bool *ret)
{
    return segment_find(segment, ids, n, ret);
}
