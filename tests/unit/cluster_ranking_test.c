#include "src/cluster/ranking.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/cluster/candidate_columns.h"

static const uint64_t SEED = 0x5EED;

enum { MAX_LISTS = 9, MAX_CANDIDATES = 300, MAX_K = 40, ID_BYTES = 8 };

static uint64_t state;

static uint64_t random_below(uint64_t bound)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % bound;
}

/* What all shards together have for one query, and how it is divided. */
struct world {
    char ids[MAX_CANDIDATES][ID_BYTES];
    struct candidate all[MAX_CANDIDATES];
    size_t count;
    struct candidate of_list[MAX_LISTS][MAX_CANDIDATES];
    struct ranking_list lists[MAX_LISTS];
    size_t list_count;
};

static struct topk_entry entry_of(const struct candidate *candidate, float score)
{
    return (struct topk_entry){ .score = score,
                                .id = candidate->id,
                                .id_length = candidate->id_length };
}

static int by_approximate(const void *a, const void *b)
{
    struct topk_entry x = entry_of(a, ((const struct candidate *)a)->approximate);
    struct topk_entry y = entry_of(b, ((const struct candidate *)b)->approximate);

    return topk_compare(&x, &y);
}

static int by_refined(const void *a, const void *b)
{
    struct topk_entry x = entry_of(a, ((const struct candidate *)a)->refined);
    struct topk_entry y = entry_of(b, ((const struct candidate *)b)->refined);

    return topk_compare(&x, &y);
}

static void sort(struct candidate *candidates, size_t n, int (*compare)(const void *, const void *))
{
    if (n > 1)
        qsort(candidates, n, sizeof *candidates, compare);
}

/* Few scores, so that many tie; the ids tell them apart. */
static void fill(struct world *world)
{
    world->count = random_below(MAX_CANDIDATES);
    world->list_count = 1 + random_below(MAX_LISTS);
    memset(world->lists, 0, sizeof world->lists);
    for (size_t i = 0; i < world->count; i++) {
        int length = snprintf(world->ids[i], ID_BYTES, "%zu", i);
        world->all[i] = (struct candidate){
            .id = (const uint8_t *)world->ids[i],
            .id_length = (uint32_t)length,
            .approximate = (float)random_below(40),
            .refined = (float)random_below(40),
        };
    }
    sort(world->all, world->count, by_approximate);
    for (size_t i = 0; i < world->count; i++) {
        size_t list = random_below(world->list_count);
        world->of_list[list][world->lists[list].count++] = world->all[i];
    }
    for (size_t i = 0; i < world->list_count; i++)
        world->lists[i].candidates = world->of_list[i];
}

/* No list is longer than @most. */
static void cut(struct world *world, size_t most)
{
    for (size_t i = 0; i < world->list_count; i++) {
        world->lists[i].cut = world->lists[i].count > most;
        if (world->lists[i].cut)
            world->lists[i].count = most;
    }
}

/* The model: everything in one list, sorted twice. */
static size_t rank_all(const struct world *world, const struct ranking_rule *rule,
                       struct candidate *ret)
{
    size_t count = 0;

    for (size_t i = 0; i < world->count; i++) {
        const struct candidate *each = &world->all[i];
        if (rule->own->data == NULL || concept_id_compare((const char *)each->id, each->id_length,
                                                          rule->own->data, rule->own->length) != 0)
            ret[count++] = *each;
    }
    count = count < rule->rerank ? count : rule->rerank;
    sort(ret, count, by_refined);
    return count < rule->k ? count : rule->k;
}

/* Whether the lists were long enough to tell; what they tell is right. */
static bool expect_ranking(struct world *world, const struct ranking_rule *rule)
{
    struct candidate expected[MAX_CANDIDATES];
    struct candidate got[MAX_K];
    struct topk_entry scratch[MAX_K];
    struct ranking ranking = { .candidates = got };
    size_t count = rank_all(world, rule, expected);

    if (!ranking_merge(rule, world->lists, world->list_count, scratch, &ranking))
        return false;
    cr_assert_eq(ranking.count, count, "seed %#lx", SEED);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(got[i].id, expected[i].id, "seed %#lx, place %zu", SEED, i);
    return true;
}

static struct ranking_rule random_rule(const struct world *world, struct concept_id *own)
{
    *own = (struct concept_id){ 0 };
    if (world->count > 0 && random_below(2) == 0) {
        const struct candidate *asks = &world->all[random_below(world->count)];
        *own = concept_id_trusted((const char *)asks->id, asks->id_length);
    }
    return (struct ranking_rule){
        .rerank = random_below(5) == 0 ? SIZE_MAX : 1 + random_below(100),
        .k = 1 + random_below(MAX_K),
        .own = own,
    };
}

Test(ranking, does_not_depend_on_how_candidates_are_divided)
{
    static struct world world;
    struct concept_id own;

    state = SEED;
    for (int i = 0; i < 2000; i++) {
        fill(&world);
        struct ranking_rule rule = random_rule(&world, &own);
        cr_assert(expect_ranking(&world, &rule), "lists that are whole are enough");
    }
}

Test(ranking, of_lists_that_are_cut_is_right_or_refused)
{
    static struct world world;
    struct concept_id own;
    size_t told = 0;

    state = SEED;
    for (int i = 0; i < 2000; i++) {
        fill(&world);
        cut(&world, random_below(60));
        struct ranking_rule rule = random_rule(&world, &own);
        told += expect_ranking(&world, &rule);
    }
    cr_expect_gt(told, 200, "%zu", told);
    cr_expect_lt(told, 1800, "%zu", told);
}

Test(ranking, of_all_by_refined_score_takes_no_list_that_is_cut)
{
    static struct world world;
    const struct concept_id nobody = { 0 };
    const struct ranking_rule rule = { .rerank = SIZE_MAX, .k = 1, .own = &nobody };

    state = SEED;
    do
        fill(&world);
    while (world.lists[0].count < 2);
    cut(&world, 1);
    cr_expect(!expect_ranking(&world, &rule));
}

/* ---- Columns ---- */

struct columns_fixture {
    Sutra__V1__SearchSettings settings;
    Sutra__Internal__V1__CandidatesResponse reply;
    uint32_t counts[2];
    protobuf_c_boolean cut[2];
    float approximate[3];
    float refined[3];
    uint8_t lengths[3];
    uint8_t ids[6];
};

/* Two queries, of which the first has "a" and "bcd", the second "ef". */
static void make_columns(struct columns_fixture *f)
{
    *f = (struct columns_fixture){ .counts = { 2, 1 },
                                   .approximate = { 0.9f, 0.8f, 0.7f },
                                   .refined = { 0.6f, 0.5f, 0.4f },
                                   .lengths = { 1, 3, 2 },
                                   .ids = { 'a', 'b', 'c', 'd', 'e', 'f' } };
    sutra__v1__search_settings__init(&f->settings);
    sutra__internal__v1__candidates_response__init(&f->reply);
    f->reply.settings = &f->settings;
    f->reply.counts = f->counts;
    f->reply.n_counts = 2;
    f->reply.cut = f->cut;
    f->reply.n_cut = 2;
    f->reply.approximate = f->approximate;
    f->reply.n_approximate = 3;
    f->reply.refined = f->refined;
    f->reply.n_refined = 3;
    f->reply.id_lengths = (ProtobufCBinaryData){ .data = f->lengths, .len = 3 };
    f->reply.ids = (ProtobufCBinaryData){ .data = f->ids, .len = 6 };
}

Test(candidate_columns, are_read_one_candidate_after_the_other)
{
    static const char *const ids[] = { "a", "bcd", "ef" };
    struct candidate_columns columns;
    struct columns_fixture f;
    struct status st = { 0 };

    make_columns(&f);
    cr_assert_eq(candidate_columns_open(&f.reply, 2, &columns, &st), STATUS_OK, "%s", st.message);
    for (size_t i = 0; i < 3; i++) {
        struct candidate candidate = candidate_columns_next(&columns);
        cr_assert_eq(candidate.id_length, strlen(ids[i]));
        cr_expect_eq(memcmp(candidate.id, ids[i], strlen(ids[i])), 0);
        cr_expect_eq(candidate.approximate, f.approximate[i]);
        cr_expect_eq(candidate.refined, f.refined[i]);
    }
}

static void expect_refused(struct columns_fixture *f, const char *what)
{
    struct candidate_columns columns;
    struct status st = { 0 };

    cr_expect_eq(candidate_columns_open(&f->reply, 2, &columns, &st), STATUS_INTERNAL, "%s", what);
    make_columns(f);
}

Test(candidate_columns, that_do_not_agree_are_refused)
{
    struct columns_fixture f;

    make_columns(&f);
    f.reply.n_counts = 1;
    expect_refused(&f, "counts of one query");
    f.counts[1] = 2;
    expect_refused(&f, "more counted than there are");
    f.counts[0] = f.counts[1] = UINT32_MAX;
    expect_refused(&f, "far more");
    f.reply.n_cut = 1;
    expect_refused(&f, "cut lists of one query");
    f.reply.n_approximate = 2;
    expect_refused(&f, "an approximate score missing");
    f.reply.n_refined = 2;
    expect_refused(&f, "a refined score missing");
    f.lengths[2] = 3;
    expect_refused(&f, "ids longer than their bytes");
    f.lengths[2] = 1;
    expect_refused(&f, "bytes behind the ids");
    f.lengths[0] = 0;
    f.lengths[1] = 4;
    expect_refused(&f, "an empty id");
    f.reply.settings = NULL;
    expect_refused(&f, "no settings");
    f.reply.n_cut = 0;
    cr_expect_eq(candidate_columns_open(&f.reply, 2, &(struct candidate_columns){ 0 },
                                        &(struct status){ 0 }),
                 STATUS_OK, "none is cut");
}
