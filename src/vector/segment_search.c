#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"
#include "src/vector/refine.h"
#include "src/vector/segment_search.h"

enum {
    TILE = 16,        /* groups that are scanned for one query after the other */
    POLL_GROUPS = 16, /* between two looks at the cancel callback */
};

/* The cells of a batch, each once, and which of its queries probe it. */
struct probes {
    uint32_t *cells; /* NULL: all cells, in one run */
    size_t count;
    size_t most;      /* of one query; 0: all, whichever they are */
    uint64_t *masks;  /* [cells of the codebook], 0 between batches */
    uint32_t *chosen; /* [most], of one query */
    struct segment_run *runs;
};

struct search {
    struct segment_searching searching;
    struct probes probes;
    size_t batch;             /* most queries of one */
    struct topk_entry *heaps; /* of all queries of a batch */
    uint32_t *list_places;
    uint16_t *list_sums;
    size_t scanned; /* groups, since the last poll */
};

static size_t most_probed(const struct segment *segment, const struct segment_search *options)
{
    size_t cells = segment->codebook != NULL ? codebook_info(segment->codebook)->cells : 0;

    if (options->reach > 0)
        return cells;
    return options->nprobe < cells ? options->nprobe : 0;
}

/* ---- preparing ---- */

static size_t choose_cells(const struct search *search, const float *unit, size_t query)
{
    const struct segment_searching *searching = &search->searching;
    const struct codebook *codebook = searching->segment->codebook;
    const struct segment_search *options = searching->options;
    uint32_t *chosen = search->probes.chosen;

    if (options->reach > 0)
        return codebook_query_cells_within(codebook, &searching->codes[query], unit, options->reach,
                                           chosen);
    codebook_query_cells(codebook, unit, options->nprobe, chosen);
    return options->nprobe;
}

static void probe(struct search *search, const float *unit, size_t query)
{
    struct probes *probes = &search->probes;
    size_t count = choose_cells(search, unit, query);

    search->searching.scanned_cells[query] = count;
    for (size_t i = 0; i < count; i++) {
        uint32_t cell = probes->chosen[i];
        if (probes->masks[cell] == 0)
            probes->cells[probes->count++] = cell;
        probes->masks[cell] |= (uint64_t)1 << query;
    }
}

static void prepare(struct search *search, const float *units)
{
    struct segment_searching *searching = &search->searching;
    const struct segment *segment = searching->segment;
    size_t d = segment->dimension;

    search->probes.count = 0;
    if (searching->codes != NULL)
        codebook_query_init_many(searching->codes, segment->codebook, units, searching->queries);
    for (size_t i = 0; i < searching->queries; i++) {
        if (searching->codes == NULL)
            refine_query_init(&searching->rows[i], segment->refine, units + i * d, d);
        searching->scanned_codes[i] = 0;
        searching->scanned_cells[i] = 0;
        if (search->probes.most > 0)
            probe(search, units + i * d, i);
    }
}

static bool allocate_lists(struct search *search, size_t room)
{
    size_t queries = search->searching.queries;

    search->list_places = malloc(queries * room * sizeof *search->list_places);
    search->list_sums = malloc(queries * room * sizeof *search->list_sums);
    return search->list_places != NULL && search->list_sums != NULL;
}

/* Room for what is found; how much that may be the snapshot says. */
static enum status_code make_room(struct search *search, struct status *st)
{
    struct segment_searching *searching = &search->searching;
    size_t wanted = size_max(size_min(searching->options->r, searching->snapshot.places), 1);
    size_t room = searching->codes != NULL ? shortlist_capacity(wanted) : 0;

    searching->wanted = wanted;
    search->heaps = malloc(searching->queries * wanted * sizeof *search->heaps);
    if (search->heaps == NULL || (room > 0 && !allocate_lists(search, room)))
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory to search for %zu", wanted);
    for (size_t i = 0; i < searching->queries; i++) {
        topk_init(&searching->best[i], search->heaps + i * wanted, wanted);
        searching->lists[i] = (struct shortlist){ .wanted = wanted };
        if (room > 0) {
            searching->lists[i].places = search->list_places + i * room;
            searching->lists[i].sums = search->list_sums + i * room;
        }
    }
    return STATUS_OK;
}

static void free_room(struct search *search)
{
    free(search->heaps);
    free(search->list_places);
    free(search->list_sums);
    search->heaps = NULL;
    search->list_places = NULL;
    search->list_sums = NULL;
}

/* ---- scanning ---- */

static enum status_code poll(struct search *search, struct status *st)
{
    const struct segment_search *options = search->searching.options;

    search->scanned = 0;
    if (options->cancelled != NULL && options->cancelled(options->context))
        return status_set(st, STATUS_CANCELLED, "search cancelled");
    return STATUS_OK;
}

/* Tables are interleaved when the first group is wanted by many. */
static bool interleave(struct segment_searching *searching)
{
    enum { TABLES = KERNEL_BATCH * CODEBOOK_PARTS * CODEBOOK_CENTROIDS };

    if (searching->batch_tables != NULL)
        return true;
    searching->batch_tables = aligned_alloc(64, TABLES);
    if (searching->batch_tables == NULL)
        return false;
    vector_kernel_interleave(searching->codes[0].table[0], sizeof *searching->codes,
                             searching->queries, CODEBOOK_PARTS, searching->batch_tables);
    return true;
}

static void scan_tile(struct search *search, size_t first, size_t count, uint64_t queries)
{
    struct segment_searching *searching = &search->searching;
    size_t n = (size_t)__builtin_popcountll(queries);

    search->scanned += count * n;
    if (searching->codes != NULL && n >= vector_kernel()->batch_from && interleave(searching)) {
        segment_scan_batch(searching, queries, first, count);
        return;
    }
    for (bool again = false; queries != 0; queries &= queries - 1, again = true)
        segment_scan(searching, (size_t)__builtin_ctzll(queries), first, count, again);
}

static enum status_code scan_run(struct search *search, struct segment_run run, uint64_t queries,
                                 struct status *st)
{
    for (size_t i = 0; i < run.count; i += TILE) {
        if (search->scanned >= POLL_GROUPS && poll(search, st) != STATUS_OK)
            return st->code;
        scan_tile(search, run.first + i, size_min(run.count - i, TILE), queries);
    }
    return STATUS_OK;
}

static enum status_code scan_all(struct search *search, struct status *st)
{
    const struct probes *probes = &search->probes;
    uint64_t everyone = UINT64_MAX >> (64 - search->searching.queries);

    if (poll(search, st) != STATUS_OK)
        return st->code;
    if (probes->cells == NULL)
        return scan_run(search, probes->runs[0], everyone, st);
    for (size_t i = 0; i < probes->count; i++)
        if (scan_run(search, probes->runs[i], probes->masks[probes->cells[i]], st) != STATUS_OK)
            return st->code;
    return STATUS_OK;
}

static void forget_probes(struct probes *probes)
{
    for (size_t i = 0; i < probes->count; i++)
        probes->masks[probes->cells[i]] = 0;
}

/* ---- a batch ---- */

static enum status_code search_snapshot(struct search *search, const float *units,
                                        struct segment_hits *ret_hits, struct status *st)
{
    struct segment_searching *searching = &search->searching;
    size_t d = searching->segment->dimension;

    if (make_room(search, st) != STATUS_OK || scan_all(search, st) != STATUS_OK)
        return st->code;
    for (size_t i = 0; i < searching->queries; i++) {
        if (segment_rank(searching, i, units + i * d, &ret_hits[i], st) != STATUS_OK)
            return st->code;
        ret_hits[i].scanned_codes = searching->scanned_codes[i];
        ret_hits[i].scanned_cells = searching->scanned_cells[i];
    }
    return STATUS_OK;
}

static enum status_code search_batch(struct search *search, const float *units,
                                     struct segment_hits *ret_hits, struct status *st)
{
    struct segment_searching *searching = &search->searching;
    struct segment *segment = searching->segment;
    struct probes *probes = &search->probes;

    prepare(search, units);
    if (segment_snapshot_take(segment, probes->cells, probes->count, searching->options->filter,
                              &searching->snapshot, probes->runs, st) != STATUS_OK)
        return st->code;
    search_snapshot(search, units, ret_hits, st);
    segment_snapshot_release(segment, &searching->snapshot);
    free_room(search);
    free(searching->batch_tables);
    searching->batch_tables = NULL;
    forget_probes(probes);
    return st->code;
}

/* ---- a search ---- */

static bool allocate_probes(struct probes *probes, const struct segment *segment, size_t batch)
{
    size_t most = size_min(batch * probes->most, segment->cell_count);

    probes->runs = malloc(size_max(most, 1) * sizeof *probes->runs);
    if (probes->most == 0)
        return probes->runs != NULL;
    probes->cells = malloc(most * sizeof *probes->cells);
    probes->chosen = malloc(probes->most * sizeof *probes->chosen);
    probes->masks = calloc(segment->cell_count, sizeof *probes->masks);
    return probes->runs != NULL && probes->cells != NULL && probes->chosen != NULL &&
           probes->masks != NULL;
}

static bool allocate_queries(struct segment_searching *searching, bool coded, size_t batch)
{
    if (coded)
        searching->codes = aligned_alloc(64, batch * sizeof *searching->codes);
    searching->rows = aligned_alloc(64, (coded ? 1 : batch) * sizeof *searching->rows);
    return searching->rows != NULL && (!coded || searching->codes != NULL);
}

static void search_deinit(struct search *search)
{
    free(search->searching.codes);
    free(search->searching.rows);
    free(search->probes.cells);
    free(search->probes.masks);
    free(search->probes.chosen);
    free(search->probes.runs);
}

static enum status_code search_all(struct search *search, const float *queries, size_t nq,
                                   struct segment_hits *ret_hits, struct status *st)
{
    const struct segment *segment = search->searching.segment;
    bool coded = segment->codebook != NULL;
    size_t batch = size_min(nq, coded ? SEGMENT_BATCH : SEGMENT_ROWS_BATCH);

    search->probes.most = most_probed(segment, search->searching.options);
    if (!allocate_queries(&search->searching, coded, batch) ||
        !allocate_probes(&search->probes, segment, batch))
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory for %zu queries", batch);
    for (size_t i = 0; i < nq; i += batch) {
        search->searching.queries = size_min(nq - i, batch);
        if (search_batch(search, queries + i * segment->dimension, ret_hits + i, st) != STATUS_OK)
            return st->code;
    }
    return STATUS_OK;
}

enum status_code segment_search(struct segment *segment, const float *queries, size_t nq,
                                const struct segment_search *options, struct arena *arena,
                                struct segment_hits *ret_hits, struct status *st)
{
    struct search search = {
        .searching = { .segment = segment, .options = options, .arena = arena },
    };
    struct segment_hits *hits = arena_calloc(arena, nq, sizeof *hits);

    if (hits == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no room for %zu queries", nq);
    if (options->r == 0 || nq == 0 || search_all(&search, queries, nq, hits, st) == STATUS_OK)
        memcpy(ret_hits, hits, nq * sizeof *hits);
    search_deinit(&search);
    return st->code;
}
