/*
 * Writers, searchers and all other callers on one segment, for the thread sanitizer. A search may
 * never miss or repeat a concept that is only ever replaced, whatever the writers are doing; and
 * what it says of a concept is always what was written for it.
 */

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "src/vector/segment.h"
#include "tests/property/vector_data.h"

enum {
    D = 192,
    ROW = REFINE_SCALE_BYTES + D,
    LASTING = 300,
    PASSING = 600,
    ALL = LASTING + PASSING,
    STEPS = 8000,
    LEAST_SEARCHES = 30,
    QUERIES = 2,
};

struct stress {
    struct segment *segment;
    struct codebook *codebook;
    float *units; /* [ALL][D]; each concept keeps its vector */
    uint8_t rows[ALL][ROW];
    uint8_t codes[ALL][CODEBOOK_CODE_BYTES];
    uint32_t cells[ALL];
    float expected[QUERIES][ALL]; /* scores by row */
    atomic_int writers;
    atomic_int failures;
};

static void require(struct stress *stress, bool holds, const char *what)
{
    if (!holds && atomic_fetch_add(&stress->failures, 1) < 10)
        fprintf(stderr, "not so: %s\n", what);
}

static void put(struct stress *stress, uint32_t id, bool with_row)
{
    struct status st = { 0 };

    with_row = with_row || stress->codebook == NULL;
    segment_put(stress->segment, &id, sizeof id, with_row ? stress->rows[id] : NULL,
                stress->codes[id], stress->cells[id], &st);
    require(stress, st.code == STATUS_OK, "a put succeeds");
}

static void write_one(struct stress *stress, struct vector_random *random)
{
    uint32_t passing = (uint32_t)(LASTING + vector_random_below(random, PASSING));

    switch (vector_random_below(random, 5)) {
    case 0:
        put(stress, passing, true);
        break;
    case 1:
        segment_remove(stress->segment, &passing, sizeof passing);
        break;
    case 2:
        segment_put_row(stress->segment, &passing, sizeof passing, stress->rows[passing]);
        break;
    default:
        put(stress, (uint32_t)vector_random_below(random, LASTING),
            vector_random_below(random, 2) == 0);
    }
}

static void *write_much(void *argument)
{
    struct stress *stress = argument;
    struct vector_random random = { (uint64_t)(uintptr_t)&random };

    for (int i = 0; i < STEPS; i++)
        write_one(stress, &random);
    atomic_fetch_sub(&stress->writers, 1);
    return NULL;
}

/* ---- what must hold ---- */

static void check_hits(struct stress *stress, const struct segment_hits *hits, size_t query,
                       size_t least_lasting)
{
    uint8_t seen[ALL] = { 0 };
    size_t lasting = 0;

    for (size_t i = 0; i < hits->count; i++) {
        const struct segment_hit *hit = &hits->hits[i];
        uint32_t id;
        memcpy(&id, hit->id, sizeof id);
        require(stress, hit->id_length == sizeof id && id < ALL && seen[id]++ == 0,
                "no concept is found twice");
        require(stress, isnan(hit->refined) || hit->refined == stress->expected[query][id],
                "the row is that of the concept");
        lasting += id < LASTING;
    }
    require(stress, lasting >= least_lasting, "no lasting concept is missing");
}

static void search_all(struct stress *stress, struct arena *arena)
{
    struct segment_search options = { .r = ALL };
    struct segment_hits hits[QUERIES];
    struct status st = { 0 };

    segment_search(stress->segment, stress->units, QUERIES, &options, arena, hits, &st);
    require(stress, st.code == STATUS_OK, "a search succeeds");
    for (size_t i = 0; st.code == STATUS_OK && i < QUERIES; i++)
        check_hits(stress, &hits[i], i, LASTING);
}

static void search_some(struct stress *stress, struct arena *arena)
{
    struct segment_search options = { .r = 50, .k = 10, .nprobe = 3 };
    struct segment_hits hits;
    struct status st = { 0 };

    segment_search(stress->segment, stress->units, 1, &options, arena, &hits, &st);
    require(stress, st.code == STATUS_OK, "a search of cells succeeds");
    if (st.code == STATUS_OK)
        check_hits(stress, &hits, 0, 0);
}

static void search_filtered(struct stress *stress, struct arena *arena)
{
    struct segment_filter *filter = segment_filter_new(stress->segment);
    struct segment_search options = { .r = ALL, .filter = filter };
    struct segment_hits hits;
    struct status st = { 0 };

    for (uint32_t id = 0; id < LASTING; id += 2)
        require(stress, segment_filter_add(filter, &id, sizeof id), "a filter finds what lasts");
    segment_search(stress->segment, stress->units, 1, &options, arena, &hits, &st);
    require(stress, st.code == STATUS_OK || st.code == STATUS_ABORTED,
            "a filter works or is stale");
    if (st.code == STATUS_OK)
        require(stress, hits.count == LASTING / 2, "all of a filter is found");
    segment_filter_free(filter);
}

/* So many at once that groups are scanned. */
static void score_by_code(struct stress *stress, const struct segment_id *ids)
{
    struct codebook_query query;
    float scores[LASTING];
    struct status st = { 0 };

    codebook_query_init(&query, stress->codebook, stress->units);
    segment_score(stress->segment, stress->units, ids, LASTING, SEGMENT_BY_CODE, scores, &st);
    require(stress, st.code == STATUS_OK, "scores by code succeed");
    for (size_t i = 0; i < LASTING; i++)
        require(stress, scores[i] == codebook_query_score(&query, stress->codes[i]),
                "a score by code is that of the concept");
}

static void compare(struct stress *stress)
{
    uint32_t numbers[LASTING];
    struct segment_id ids[LASTING];
    float scores[LASTING];
    bool found[LASTING];
    struct status st = { 0 };

    for (uint32_t i = 0; i < LASTING; i++) {
        numbers[i] = i;
        ids[i] = (struct segment_id){ &numbers[i], sizeof numbers[i] };
    }
    require(stress, segment_find(stress->segment, ids, LASTING, found) == LASTING,
            "what lasts is there");
    segment_score(stress->segment, stress->units, ids, LASTING, SEGMENT_BY_ROW, scores, &st);
    for (size_t i = 0; i < LASTING; i++)
        require(stress, isnan(scores[i]) || scores[i] == stress->expected[0][i],
                "a score is that of the concept");
    segment_pairs(stress->segment, ids, ids + 1, LASTING - 1, SEGMENT_BY_ROW, scores, &st);
    if (stress->codebook != NULL)
        segment_pairs(stress->segment, ids, ids + 1, LASTING - 1, SEGMENT_BY_CODE, scores, &st);
    if (stress->codebook != NULL)
        score_by_code(stress, ids);
    require(stress, st.code == STATUS_OK, "distances succeed");
}

static void ask(struct stress *stress)
{
    struct segment_stats stats = segment_stats(stress->segment);
    uint64_t sizes[16];

    segment_cell_sizes(stress->segment, sizes);
    require(stress, stats.count >= LASTING && stats.memory_bytes > 0, "counts make sense");
}

static void *search_much(void *argument)
{
    struct stress *stress = argument;

    for (int i = 0; i < LEAST_SEARCHES || atomic_load(&stress->writers) > 0; i++) {
        struct arena arena;
        arena_init(&arena, 4 << 20);
        search_all(stress, &arena);
        search_some(stress, &arena);
        search_filtered(stress, &arena);
        compare(stress);
        ask(stress);
        arena_deinit(&arena);
    }
    return NULL;
}

/* Saves again and again; each file must load, and hold what lasts. */
static void *save_much(void *argument)
{
    struct stress *stress = argument;
    struct segment_options options = { .dimension = D, .codebook = stress->codebook };
    char path[] = "/tmp/vector-segment-stress-XXXXXX";

    close(mkstemp(path));
    do {
        struct segment *loaded = NULL;
        struct status st = { 0 };
        uint64_t mark;
        segment_save(stress->segment, path, 1, &st);
        if (st.code == STATUS_OK)
            segment_load(path, &options, &loaded, &mark, &st);
        require(stress, st.code == STATUS_OK, "saving and loading succeed");
        require(stress, loaded == NULL || segment_stats(loaded).count >= LASTING,
                "a file holds what lasts");
        segment_unref(loaded);
    } while (atomic_load(&stress->writers) > 0);
    unlink(path);
    return NULL;
}

/* ---- running ---- */

static void prepare(struct stress *stress)
{
    struct vector_random random = { 2 };
    struct refine_query query;

    stress->units = vector_random_units(&random, ALL, D, 20);
    for (size_t i = 0; i < ALL; i++)
        refine_encode(REFINE_INT8, stress->units + i * D, D, stress->rows[i]);
    if (stress->codebook != NULL)
        codebook_encode(stress->codebook, (const int8_t *)stress->rows[0] + REFINE_SCALE_BYTES, ROW,
                        ALL, stress->codes[0], stress->cells, NULL);
    for (size_t q = 0; q < QUERIES; q++) {
        refine_query_init(&query, REFINE_INT8, stress->units + q * D, D);
        for (size_t i = 0; i < ALL; i++)
            stress->expected[q][i] = refine_score(&query, stress->rows[i]);
    }
    for (uint32_t id = 0; id < LASTING; id++)
        put(stress, id, true);
}

static int run(struct codebook *codebook)
{
    static void *(*const work[])(void *) = { write_much, write_much, search_much, search_much,
                                             save_much };
    enum { THREADS = sizeof work / sizeof work[0], WRITERS = 2 };
    static struct stress stress;
    struct segment_options options = {
        .dimension = D,
        .codebook = codebook,
        .row_budget_bytes = 1 << 20,
    };
    pthread_t threads[THREADS];

    stress = (struct stress){ .segment = segment_new(&options), .codebook = codebook };
    atomic_store(&stress.writers, WRITERS);
    prepare(&stress);
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work[i], &stress);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    segment_unref(stress.segment);
    free(stress.units);
    return atomic_load(&stress.failures);
}

static struct codebook *train(uint32_t cells)
{
    enum { SAMPLES = 600 };
    struct vector_random random = { 1 };
    struct codebook_train_options options = {
        .seed = 1,
        .iterations = 3,
        .version = 1,
        .cells = cells,
    };
    float *samples = vector_random_units(&random, SAMPLES, D, 20);
    struct codebook *codebook = NULL;
    struct status st = { 0 };

    if (codebook_train(samples, SAMPLES, D, &options, &codebook, &st) != STATUS_OK) {
        fprintf(stderr, "%s\n", st.message);
        abort();
    }
    free(samples);
    return codebook;
}

int main(void)
{
    struct codebook *plain = train(0);
    struct codebook *cells = train(16);
    int failures = run(NULL) + run(plain) + run(cells);

    codebook_unref(plain);
    codebook_unref(cells);
    if (failures > 0)
        fprintf(stderr, "%d failures\n", failures);
    return failures > 0;
}
