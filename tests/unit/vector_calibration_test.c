#include "src/vector/calibration.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const uint32_t cell_counts[] = { 16, 256, 512, 1024, 2048, 4096 };

Test(vector_calibration, typical_reaches_are_measured_from_most_cells_to_few)
{
    for (size_t i = 0; i < 6; i++) {
        uint32_t probes[CALIBRATION_MAX_REACHES];
        size_t count = calibration_probes(cell_counts[i], probes);
        cr_assert(count >= 5 && count <= CALIBRATION_MAX_REACHES);
        cr_assert_lt(probes[0], cell_counts[i]);
        for (size_t p = 1; p < count; p++)
            cr_assert_lt(probes[p], probes[p - 1]);
        cr_assert(probes[count - 1] > 1 && probes[count - 1] <= cell_counts[i] / 8 + 8);
    }
}

Test(vector_calibration, the_grid_has_all_cells_and_each_reach_that_is_one)
{
    static const float reaches[] = { 0.5f, 0.5f, 0.3f, 0 };
    struct calibration_setting grid[CALIBRATION_MAX_SETTINGS];
    size_t count = calibration_grid(512, reaches, 4, grid);

    cr_assert_eq(count, 3 * 4);
    for (size_t s = 0; s < count; s++) {
        cr_assert_eq(grid[s].reach, s < 4 ? 0 : s < 8 ? 0.5f : 0.3f);
        cr_assert_geq(grid[s].rerank, CALIBRATION_K);
        cr_assert(s % 4 == 0 || grid[s].rerank > grid[s - 1].rerank);
    }
}

Test(vector_calibration, without_cells_only_the_rerank_varies)
{
    struct calibration_setting grid[CALIBRATION_MAX_SETTINGS];
    size_t count = calibration_grid(0, NULL, 0, grid);

    cr_assert_geq(count, 8);
    for (size_t s = 0; s < count; s++) {
        cr_assert_eq(grid[s].reach, 0);
        cr_assert(s == 0 || grid[s].rerank > grid[s - 1].rerank);
    }
    cr_assert_eq(grid[0].rerank, 50);
    cr_assert_eq(grid[count - 1].rerank, 500);
}

Test(vector_calibration, more_codes_more_cells_or_more_rows_cost_more)
{
    float cost = calibration_cost(50, 10000, 20, 512);

    cr_assert_gt(calibration_cost(51, 10000, 20, 512), cost);
    cr_assert_gt(calibration_cost(50, 10100, 20, 512), cost);
    cr_assert_gt(calibration_cost(50, 10000, 21, 512), cost);
    cr_assert_gt(calibration_cost(50, 10000, 20, 1024), cost);
}

static struct calibration fitted(void)
{
    static const struct calibration_setting settings[] = {
        { .reach = 0, .rerank = 100, .recall = 0.99f, .cost = 1000 },
        { .reach = 0.2f, .rerank = 20, .recall = 0.60f, .cost = 10 },
        { .reach = 0.4f, .rerank = 20, .recall = 0.75f, .cost = 20 },
        { .reach = 0.2f, .rerank = 400, .recall = 0.70f, .cost = 50 }, /* a cheaper one is better */
        { .reach = 0.8f, .rerank = 60, .recall = 0.95f, .cost = 100 },
        { .reach = 1.6f, .rerank = 20, .recall = 0.95f, .cost = 110 }, /* no better */
    };
    struct calibration calibration;

    calibration_fit(settings, 6, 7, 500, &calibration);
    return calibration;
}

Test(vector_calibration, fitting_keeps_what_is_worth_its_cost)
{
    static const float kept[] = { 0.60f, 0.75f, 0.95f, 0.99f };
    struct calibration calibration = fitted();

    cr_assert_eq(calibration.codebook_version, 7);
    cr_assert_eq(calibration.queries, 500);
    cr_assert_eq(calibration.count, 4);
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(calibration.settings[i].recall, kept[i]);
}

Test(vector_calibration, the_cheapest_that_reaches_the_target_is_chosen)
{
    struct calibration calibration = fitted();
    struct calibration none = { .queries = 0 };

    cr_assert_eq(calibration_choose(&calibration, 0)->reach, 0.2f);
    cr_assert_eq(calibration_choose(&calibration, 0.75f)->reach, 0.4f);
    cr_assert_eq(calibration_choose(&calibration, 0.76f)->reach, 0.8f);
    cr_assert_eq(calibration_choose(&calibration, 0.99f)->reach, 0);
    cr_assert_eq(calibration_choose(&calibration, 1)->reach, 0, "else the one with the most");
    cr_assert_null(calibration_choose(&none, 0.9f));
}

Test(vector_calibration, what_all_cells_give_is_the_best_with_no_more_rows)
{
    struct calibration calibration = fitted();
    struct calibration none = { .queries = 0 };

    cr_assert_eq(calibration_expect(&calibration, 19), 0);
    cr_assert_eq(calibration_expect(&calibration, 20), 0.75f);
    cr_assert_eq(calibration_expect(&calibration, 60), 0.95f);
    cr_assert_eq(calibration_expect(&calibration, 100), 0.99f);
    cr_assert_eq(calibration_expect(&none, 1000), 0);
}

static struct buf serialized(const struct calibration *calibration)
{
    struct buf buf = { 0 };

    calibration_serialize(calibration, &buf);
    cr_assert_not(buf.failed);
    return buf;
}

static enum status_code parse(const struct buf *buf, size_t size)
{
    struct calibration calibration;
    struct status st = { 0 };

    return calibration_parse(buf->data, size, &calibration, &st);
}

Test(vector_calibration, what_was_serialized_is_parsed)
{
    struct calibration calibration = fitted();
    struct calibration none = { .queries = 0 };
    struct calibration parsed;
    struct status st = { 0 };
    struct buf buf = serialized(&calibration);

    cr_assert_eq(buf.size, 32 + 4 * 16 + 8);
    cr_assert_eq(calibration_parse(buf.data, buf.size, &parsed, &st), STATUS_OK, "%s", st.message);
    cr_assert_eq(parsed.codebook_version, 7);
    cr_assert_eq(parsed.queries, 500);
    cr_assert_eq(parsed.count, 4);
    cr_assert(memcmp(parsed.settings, calibration.settings, 4 * sizeof *parsed.settings) == 0);
    buf_deinit(&buf);
    buf = serialized(&none);
    cr_assert_eq(calibration_parse(buf.data, buf.size, &parsed, &st), STATUS_OK);
    cr_assert_eq(parsed.count, 0);
    buf_deinit(&buf);
}

Test(vector_calibration, every_damaged_bit_and_every_cut_is_noticed)
{
    struct calibration calibration = fitted();
    struct buf buf = serialized(&calibration);

    for (size_t i = 0; i < 8 * buf.size; i++) {
        buf.data[i / 8] ^= (uint8_t)(1 << i % 8);
        cr_assert_neq(parse(&buf, buf.size), STATUS_OK, "bit %zu", i);
        buf.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t size = 0; size < buf.size; size++)
        cr_assert_eq(parse(&buf, size), STATUS_DATA_LOSS);
    buf_deinit(&buf);
}

static void forge_checksum(struct buf *buf)
{
    uint64_t sum = XXH3_64bits(buf->data, buf->size - 8);

    memcpy(buf->data + buf->size - 8, &sum, sizeof sum);
}

Test(vector_calibration, impossible_values_are_refused_though_the_checksum_fits)
{
    static const float impossible[] = { NAN, INFINITY, -1, 1.5f };
    enum { LAST = 32 + 3 * 16, REACH = LAST, RECALL = LAST + 8, COST = LAST + 12 };
    static const size_t places[] = { REACH, RECALL, COST };
    struct calibration calibration = fitted();

    for (size_t i = 0; i < 4; i++)
        for (size_t p = 0; p < 3; p++) {
            struct buf buf;
            if (places[p] == REACH && impossible[i] == 1.5f)
                continue; /* a reach may be that long */
            buf = serialized(&calibration);
            memcpy(buf.data + places[p], &impossible[i], 4); /* 1.5 costs less than another */
            forge_checksum(&buf);
            cr_assert_eq(parse(&buf, buf.size), STATUS_DATA_LOSS);
            buf_deinit(&buf);
        }
}

Test(vector_calibration, a_newer_format_is_named_as_such)
{
    struct calibration calibration = fitted();
    struct buf buf = serialized(&calibration);

    buf.data[8] = 3;
    cr_assert_eq(parse(&buf, buf.size), STATUS_FAILED_PRECONDITION);
    buf_deinit(&buf);
}
