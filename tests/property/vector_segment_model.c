#include "tests/property/vector_segment_model.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/vector/kernel.h"

enum { CELLS = 16, SAMPLES = 600 };

const struct model_kind model_kinds[] = {
    { "rows", false, 0, REFINE_INT8, 0 },
    { "float rows", false, 0, REFINE_FLOAT32, 0 },
    { "codes", true, 0, REFINE_INT8, 0 },
    { "codes and rows", true, 0, REFINE_INT8, SIZE_MAX / 2 },
    { "codes and some rows", true, 0, REFINE_FLOAT16, 60 * 64 * 2 * MODEL_D / 10 },
    { "cells", true, CELLS, REFINE_INT8, 0 },
    { "cells and rows", true, CELLS, REFINE_FLOAT16, SIZE_MAX / 2 },
    { "cells and some rows", true, CELLS, REFINE_INT8, 15 * 64 * (4 + MODEL_D) },
};

const size_t model_kind_count = sizeof model_kinds / sizeof model_kinds[0];

/* ---- life ---- */

static struct codebook *train(uint64_t seed, uint32_t cells)
{
    struct vector_random random = { seed };
    struct codebook_train_options options = {
        .seed = seed,
        .iterations = 3,
        .version = seed,
        .cells = cells,
    };
    float *samples = vector_random_units(&random, SAMPLES, MODEL_D, 20);
    struct codebook *codebook = NULL;
    struct status st = { 0 };

    cr_assert_eq(codebook_train(samples, SAMPLES, MODEL_D, &options, &codebook, &st), STATUS_OK,
                 "%s", st.message);
    free(samples);
    return codebook;
}

static void encode(struct model *model, size_t vector)
{
    enum refine_format format = model->kind->refine;
    int8_t scratch[MODEL_D];
    const int8_t *values;

    refine_encode(format, model->units + vector * MODEL_D, MODEL_D, model->rows[vector]);
    if (!model->kind->coded)
        return;
    values = refine_values(format, model->rows[vector], MODEL_D, scratch);
    codebook_encode(model->codebook, values, MODEL_D, 1, model->codes[vector],
                    &model->cells[vector], NULL);
}

struct model *model_new(uint64_t seed, const struct model_kind *kind)
{
    struct model *model = calloc(1, sizeof *model);

    model->kind = kind;
    model->seed = seed;
    model->random.state = seed;
    model->codebook = kind->coded ? train(seed, kind->cells) : NULL;
    model->units = vector_random_units(&model->random, MODEL_VECTORS, MODEL_D, 5);
    model->queries = vector_random_units(&model->random, MODEL_QUERIES, MODEL_D, 5);
    for (size_t i = 0; i < MODEL_VECTORS; i++)
        encode(model, i);
    for (size_t i = 0; i < MODEL_IDS; i++) {
        model->vector_of[i] = -1;
        /* of one length, or of different ones, some a prefix of others */
        snprintf(model->ids[i], sizeof model->ids[i],
                 seed % 3 == 0 ? "concept-%04zu"
                 : i % 3 == 0  ? "%zu"
                               : "concept-%zu",
                 i);
    }
    return model;
}

void model_free(struct model *model)
{
    codebook_unref(model->codebook);
    free(model->units);
    free(model->queries);
    free(model);
}

struct segment_options model_options(const struct model *model)
{
    return (struct segment_options){
        .dimension = MODEL_D,
        .refine = model->kind->refine,
        .codebook = model->codebook,
        .row_budget_bytes = model->kind->row_budget,
    };
}

struct segment *model_segment(const struct model *model)
{
    struct segment_options options = model_options(model);

    return segment_new(&options);
}

struct segment_id model_id(const struct model *model, size_t id)
{
    return (struct segment_id){ model->ids[id], strlen(model->ids[id]) };
}

size_t model_count(const struct model *model)
{
    size_t count = 0;

    for (size_t i = 0; i < MODEL_IDS; i++)
        count += model->vector_of[i] >= 0;
    return count;
}

/* ---- writing ---- */

void model_put(struct model *model, struct segment *segment, size_t id, size_t vector,
               bool with_row)
{
    struct segment_id name = model_id(model, id);
    struct status st = { 0 };

    with_row = with_row || !model->kind->coded;
    cr_assert_eq(segment_put(segment, name.data, name.length, with_row ? model->rows[vector] : NULL,
                             model->codes[vector], model->cells[vector], &st),
                 STATUS_OK, "%s", st.message);
    model->vector_of[id] = (int)vector;
    model->has_row[id] = with_row;
}

static void remove_one(struct model *model, struct segment *segment, size_t id)
{
    struct segment_id name = model_id(model, id);

    cr_assert_eq(segment_remove(segment, name.data, name.length), model->vector_of[id] >= 0);
    model->vector_of[id] = -1;
}

static void bring_row(struct model *model, struct segment *segment, size_t id)
{
    struct segment_id name = model_id(model, id);
    int vector = model->vector_of[id];
    bool brought =
        segment_put_row(segment, name.data, name.length, model->rows[vector >= 0 ? vector : 0]);

    if (vector < 0)
        cr_assert_not(brought);
    else if (model->kind->row_budget >= SIZE_MAX / 2)
        cr_assert(brought);
    model->has_row[id] = model->has_row[id] || brought;
}

void model_steps(struct model *model, struct segment *segment, size_t steps, size_t puts_of_ten)
{
    struct vector_random *random = &model->random;

    for (size_t i = 0; i < steps; i++) {
        size_t id = vector_random_below(random, MODEL_IDS);
        if (vector_random_below(random, 8) == 0)
            bring_row(model, segment, id);
        if (vector_random_below(random, 10) < puts_of_ten)
            model_put(model, segment, id, vector_random_below(random, MODEL_VECTORS),
                      vector_random_below(random, 4) > 0);
        else
            remove_one(model, segment, id);
    }
}

/* ---- what there should be ---- */

struct scores {
    float approximate[MODEL_VECTORS];
    float refined[MODEL_VECTORS];
    bool probed[MODEL_VECTORS];
};

static void score_rows(const struct model *model, const float *unit, float *ret)
{
    static struct refine_query query;

    refine_query_init(&query, model->kind->refine, unit, MODEL_D);
    for (size_t i = 0; i < MODEL_VECTORS; i++)
        ret[i] = refine_score(&query, model->rows[i]);
}

static void score_codes(const struct model *model, const float *unit, float *ret)
{
    static struct codebook_query query;

    codebook_query_init(&query, model->codebook, unit);
    for (size_t i = 0; i < MODEL_VECTORS; i++)
        ret[i] = codebook_query_score(&query, model->codes[i]);
}

static bool contains(const uint32_t *cells, size_t n, uint32_t cell)
{
    for (size_t i = 0; i < n; i++)
        if (cells[i] == cell)
            return true;
    return false;
}

static size_t probed_cells(const struct model *model, const float *unit,
                           const struct segment_search *options, uint32_t *ret)
{
    struct codebook_query query;

    if (options->reach == 0) {
        codebook_query_cells(model->codebook, unit, options->nprobe, ret);
        return options->nprobe;
    }
    codebook_query_init(&query, model->codebook, unit);
    return codebook_query_cells_within(model->codebook, &query, unit, options->reach, ret);
}

static void probe(const struct model *model, const float *unit,
                  const struct segment_search *options, bool *ret)
{
    uint32_t cells[CELLS];
    bool all =
        model->kind->cells == 0 ||
        (options->reach == 0 && (options->nprobe == 0 || options->nprobe >= model->kind->cells));
    size_t nprobe = all ? 0 : probed_cells(model, unit, options, cells);

    for (size_t i = 0; i < MODEL_VECTORS; i++)
        ret[i] = all || contains(cells, nprobe, model->cells[i]);
}

/* Which rows are at hand the segment says itself: as long as there is room for all, all that were
 * given. */
static void find_rows(const struct model *model, struct segment *segment, bool *ret)
{
    struct segment_id ids[MODEL_IDS];
    float scores[MODEL_IDS];
    struct status st = { 0 };

    for (size_t i = 0; i < MODEL_IDS; i++)
        ids[i] = model_id(model, i);
    cr_assert_eq(
        segment_score(segment, model->queries, ids, MODEL_IDS, SEGMENT_BY_ROW, scores, &st),
        STATUS_OK);
    for (size_t i = 0; i < MODEL_IDS; i++) {
        ret[i] = !isnan(scores[i]);
        if (model->vector_of[i] < 0 || !model->has_row[i])
            cr_assert_not(ret[i]);
        else if (!model->kind->coded || model->kind->row_budget >= SIZE_MAX / 2)
            cr_assert(ret[i]);
    }
}

static int compare_ids(const struct segment_hit *a, const struct segment_hit *b)
{
    size_t shorter = a->id_length < b->id_length ? a->id_length : b->id_length;
    int order = memcmp(a->id, b->id, shorter);

    return order != 0 ? order : (int)a->id_length - (int)b->id_length;
}

static int by_code(const void *a, const void *b)
{
    const struct segment_hit *x = a;
    const struct segment_hit *y = b;

    if (x->approximate != y->approximate)
        return x->approximate > y->approximate ? -1 : 1;
    return compare_ids(x, y);
}

static int by_row(const void *a, const void *b)
{
    const struct segment_hit *x = a;
    const struct segment_hit *y = b;

    if (isnan(x->refined) != isnan(y->refined))
        return isnan(x->refined) ? 1 : -1;
    if (isnan(x->refined))
        return by_code(a, b);
    if (x->refined != y->refined)
        return x->refined > y->refined ? -1 : 1;
    return compare_ids(x, y);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t model_search(const struct model *model, struct segment *segment, const float *unit,
                    const struct segment_search *options, struct segment_hit *ret)
{
    bool has_row[MODEL_IDS];
    struct scores scores;
    size_t count = 0;

    score_rows(model, unit, scores.refined);
    memcpy(scores.approximate, scores.refined, sizeof scores.approximate);
    if (model->kind->coded)
        score_codes(model, unit, scores.approximate);
    probe(model, unit, options, scores.probed);
    find_rows(model, segment, has_row);
    for (size_t i = 0; i < MODEL_IDS; i++) {
        int vector = model->vector_of[i];
        if (vector < 0 || !scores.probed[vector] || (options->filter != NULL && !model->member[i]))
            continue;
        ret[count++] = (struct segment_hit){
            .approximate = scores.approximate[vector],
            .refined = has_row[i] && !options->codes_only ? scores.refined[vector] : NAN,
            .id_length = (uint32_t)strlen(model->ids[i]),
            .id = (const uint8_t *)model->ids[i],
        };
    }
    qsort(ret, count, sizeof *ret, by_code);
    count = least(count, options->r);
    if (options->k == 0)
        return count;
    qsort(ret, count, sizeof *ret, by_row);
    return least(count, options->k);
}

/* ---- comparing ---- */

static bool same(float a, float b)
{
    return a == b || (isnan(a) && isnan(b));
}

void model_expect_hits(const struct model *model, const struct segment_hits *hits,
                       const struct segment_hit *expected, size_t count)
{
    cr_assert_eq(hits->count, count, "%s, seed %zu: %zu hits instead of %zu", model->kind->name,
                 (size_t)model->seed, hits->count, count);
    for (size_t i = 0; i < count; i++) {
        const struct segment_hit *hit = &hits->hits[i];
        cr_assert(same(hit->approximate, expected[i].approximate) &&
                      same(hit->refined, expected[i].refined) &&
                      compare_ids(hit, &expected[i]) == 0,
                  "%s, seed %zu, rank %zu: %.*s %a %a instead of %.*s %a %a", model->kind->name,
                  (size_t)model->seed, i, (int)hit->id_length, (const char *)hit->id,
                  hit->approximate, hit->refined, (int)expected[i].id_length,
                  (const char *)expected[i].id, expected[i].approximate, expected[i].refined);
    }
}

static struct segment_filter *random_filter(struct model *model, struct segment *segment)
{
    struct segment_filter *filter = segment_filter_new(segment);
    size_t of_hundred = vector_random_below(&model->random, 101);

    for (size_t i = 0; i < MODEL_IDS; i++) {
        struct segment_id id = model_id(model, i);
        model->member[i] = vector_random_below(&model->random, 100) < of_hundred;
        if (model->member[i])
            cr_assert_eq(segment_filter_add(filter, id.data, id.length), model->vector_of[i] >= 0);
    }
    return filter;
}

static struct segment_search random_options(struct model *model)
{
    static const size_t rs[] = { 1, 2, 17, 100, 5000 };
    static const size_t ks[] = { 0, 1, 10, 1000 };
    struct vector_random *random = &model->random;

    return (struct segment_search){
        .r = rs[vector_random_below(random, 5)],
        .k = ks[vector_random_below(random, 4)],
        .reach = vector_random_below(random, 3) == 0
                     ? (float)(1 + vector_random_below(random, 50)) / 100
                     : 0,
        .nprobe = vector_random_below(random, CELLS + 2),
        .codes_only = vector_random_below(random, 4) == 0,
    };
}

static void select_kernel(struct model *model)
{
    static const char *const names[] = { "portable", "neon", "avx2", "avx512bw", "avx512vbmi" };

    while (!vector_kernel_select(names[vector_random_below(&model->random, 5)]))
        ;
}

static void expect_same_hits(struct model *model, struct segment *segment)
{
    static struct segment_hit expected[MODEL_IDS];
    struct segment_search options = random_options(model);
    size_t nq = 1 + vector_random_below(&model->random, MODEL_QUERIES);
    struct segment_filter *filter = NULL;
    struct segment_hits hits[MODEL_QUERIES];
    struct status st = { 0 };
    struct arena arena;

    if (vector_random_below(&model->random, 3) == 0)
        filter = random_filter(model, segment);
    options.filter = filter;
    arena_init(&arena, 16 << 20);
    cr_assert_eq(segment_search(segment, model->queries, nq, &options, &arena, hits, &st),
                 STATUS_OK, "%s", st.message);
    for (size_t q = 0; q < nq; q++) {
        size_t count =
            model_search(model, segment, model->queries + q * MODEL_D, &options, expected);
        model_expect_hits(model, &hits[q], expected, count);
    }
    arena_deinit(&arena);
    segment_filter_free(filter);
}

static float expected_similarity(const struct model *model, const bool *has_row, size_t a, size_t b,
                                 enum segment_measure measure)
{
    int x = model->vector_of[a];
    int y = model->vector_of[b];

    if (x < 0 || y < 0)
        return NAN;
    if (measure == SEGMENT_BY_CODE)
        return codebook_similarity(model->codebook, model->codes[x], model->codes[y]);
    if (!has_row[a] || !has_row[b])
        return NAN;
    return refine_similarity(model->kind->refine, model->rows[x], model->rows[y], MODEL_D);
}

static void expect_same_pairs(struct model *model, struct segment *segment,
                              enum segment_measure measure)
{
    enum { PAIRS = 600 };
    static struct segment_id ids[2][PAIRS];
    size_t numbers[2][PAIRS];
    float similarities[PAIRS];
    bool has_row[MODEL_IDS];
    struct status st = { 0 };

    for (size_t i = 0; i < 2 * PAIRS; i++) {
        numbers[i % 2][i / 2] = vector_random_below(&model->random, MODEL_IDS);
        ids[i % 2][i / 2] = model_id(model, numbers[i % 2][i / 2]);
    }
    find_rows(model, segment, has_row);
    cr_assert_eq(segment_pairs(segment, ids[0], ids[1], PAIRS, measure, similarities, &st),
                 STATUS_OK);
    for (size_t i = 0; i < PAIRS; i++)
        cr_assert(same(similarities[i],
                       expected_similarity(model, has_row, numbers[0][i], numbers[1][i], measure)));
}

static void expect_same_scores(struct model *model, struct segment *segment,
                               enum segment_measure measure)
{
    struct segment_id ids[MODEL_IDS];
    float expected[MODEL_VECTORS];
    float scores[MODEL_IDS];
    bool has_row[MODEL_IDS];
    struct status st = { 0 };
    /* Some of them, or so many that groups are scanned. */
    size_t n = 1 + vector_random_below(&model->random, model->random.state % 2 ? 9 : MODEL_IDS);

    for (size_t i = 0; i < MODEL_IDS; i++)
        ids[i] = model_id(model, i);
    if (measure == SEGMENT_BY_CODE)
        score_codes(model, model->queries, expected);
    else
        score_rows(model, model->queries, expected);
    find_rows(model, segment, has_row);
    cr_assert_eq(segment_score(segment, model->queries, ids, n, measure, scores, &st), STATUS_OK);
    for (size_t i = 0; i < n; i++) {
        bool known = model->vector_of[i] >= 0 && (measure == SEGMENT_BY_CODE || has_row[i]);
        cr_assert(same(scores[i], known ? expected[model->vector_of[i]] : NAN));
    }
}

static void expect_same_counts(const struct model *model, struct segment *segment)
{
    struct segment_stats stats = segment_stats(segment);
    struct segment_id ids[MODEL_IDS];
    uint64_t sizes[CELLS] = { 0 };
    bool has_row[MODEL_IDS];
    bool found[MODEL_IDS];
    size_t rows = 0;

    for (size_t i = 0; i < MODEL_IDS; i++)
        ids[i] = model_id(model, i);
    cr_assert_eq(stats.count, model_count(model));
    cr_assert_eq(segment_find(segment, ids, MODEL_IDS, found), model_count(model));
    find_rows(model, segment, has_row);
    segment_cell_sizes(segment, sizes);
    for (size_t i = 0; i < MODEL_IDS; i++) {
        cr_assert_eq(found[i], model->vector_of[i] >= 0);
        rows += has_row[i];
        if (model->kind->cells > 0 && found[i])
            sizes[model->cells[model->vector_of[i]]]--;
    }
    cr_assert_eq(stats.rows, rows);
    for (size_t i = 0; i < CELLS; i++)
        cr_assert_eq(sizes[i], 0);
}

void model_expect_same_answers(struct model *model, struct segment *segment)
{
    select_kernel(model);
    expect_same_counts(model, segment);
    for (size_t i = 0; i < 3; i++)
        expect_same_hits(model, segment);
    expect_same_pairs(model, segment, SEGMENT_BY_ROW);
    expect_same_scores(model, segment, SEGMENT_BY_ROW);
    if (!model->kind->coded)
        return;
    expect_same_pairs(model, segment, SEGMENT_BY_CODE);
    expect_same_scores(model, segment, SEGMENT_BY_CODE);
}
