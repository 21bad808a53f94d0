#include "src/vector/calibration.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const uint32_t cell_counts[] = { 16, 256, 512, 1024, 2048, 4096 };

Test(vector_calibration, the_grid_reaches_from_few_cells_to_all_of_them)
{
    for (size_t i = 0; i < 6; i++) {
        struct calibration_setting grid[CALIBRATION_MAX_SETTINGS];
        size_t count = calibration_grid(cell_counts[i], 1000000, grid);
        uint32_t least = cell_counts[i];
        bool all = false;
        cr_assert(count >= 20 && count <= CALIBRATION_MAX_SETTINGS);
        for (size_t s = 0; s < count; s++) {
            cr_assert_lt(grid[s].nprobe, cell_counts[i]);
            cr_assert(grid[s].rerank >= CALIBRATION_K && grid[s].cost > 0);
            all = all || grid[s].nprobe == 0;
            least = grid[s].nprobe > 0 && grid[s].nprobe < least ? grid[s].nprobe : least;
        }
        cr_assert(all);
        cr_assert_leq(least, 2);
    }
}

Test(vector_calibration, without_cells_only_the_rerank_varies)
{
    struct calibration_setting grid[CALIBRATION_MAX_SETTINGS];
    size_t count = calibration_grid(0, 10000, grid);

    cr_assert_geq(count, 8);
    for (size_t s = 0; s < count; s++) {
        cr_assert_eq(grid[s].nprobe, 0);
        cr_assert(s == 0 || grid[s].rerank > grid[s - 1].rerank);
        cr_assert(s == 0 || grid[s].cost > grid[s - 1].cost);
    }
    cr_assert_eq(grid[0].rerank, 50);
    cr_assert_eq(grid[count - 1].rerank, 500);
}

Test(vector_calibration, more_cells_or_more_rows_cost_more)
{
    struct calibration_setting grid[CALIBRATION_MAX_SETTINGS];
    size_t count = calibration_grid(512, 100000, grid);

    for (size_t a = 0; a < count; a++)
        for (size_t b = 0; b < count; b++) {
            bool fewer =
                grid[a].nprobe != 0 && (grid[b].nprobe == 0 || grid[a].nprobe < grid[b].nprobe);
            if (fewer && grid[a].rerank == grid[b].rerank)
                cr_assert_lt(grid[a].cost, grid[b].cost);
            if (grid[a].nprobe == grid[b].nprobe && grid[a].rerank < grid[b].rerank)
                cr_assert_lt(grid[a].cost, grid[b].cost);
        }
}

static struct calibration fitted(void)
{
    static const struct calibration_setting settings[] = {
        { .nprobe = 0, .rerank = 100, .recall = 0.99f, .cost = 1000 },
        { .nprobe = 2, .rerank = 20, .recall = 0.60f, .cost = 10 },
        { .nprobe = 4, .rerank = 20, .recall = 0.75f, .cost = 20 },
        { .nprobe = 2, .rerank = 400, .recall = 0.70f, .cost = 50 }, /* worse than a cheaper one */
        { .nprobe = 8, .rerank = 100, .recall = 0.95f, .cost = 100 },
        { .nprobe = 16, .rerank = 20, .recall = 0.95f, .cost = 110 }, /* no better */
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

    cr_assert_eq(calibration_choose(&calibration, 0)->nprobe, 2);
    cr_assert_eq(calibration_choose(&calibration, 0.75f)->nprobe, 4);
    cr_assert_eq(calibration_choose(&calibration, 0.76f)->nprobe, 8);
    cr_assert_eq(calibration_choose(&calibration, 0.99f)->nprobe, 0);
    cr_assert_eq(calibration_choose(&calibration, 1)->nprobe, 0, "else the one with the most");
    cr_assert_null(calibration_choose(&none, 0.9f));
}

Test(vector_calibration, what_a_setting_gives_is_the_best_it_contains)
{
    struct calibration calibration = fitted();
    struct calibration none = { .queries = 0 };

    cr_assert_eq(calibration_expect(&calibration, 1, 1000), 0);
    cr_assert_eq(calibration_expect(&calibration, 2, 20), 0.60f);
    cr_assert_eq(calibration_expect(&calibration, 100, 19), 0);
    cr_assert_eq(calibration_expect(&calibration, 100, 99), 0.75f);
    cr_assert_eq(calibration_expect(&calibration, 100, 1000), 0.95f);
    cr_assert_eq(calibration_expect(&calibration, 0, 100), 0.99f, "0 is all cells");
    cr_assert_eq(calibration_expect(&none, 0, 1000), 0);
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
    enum { RECALL_OF_LAST = 32 + 3 * 16 + 8, COST_OF_LAST = RECALL_OF_LAST + 4 };
    struct calibration calibration = fitted();

    for (size_t i = 0; i < 4; i++)
        for (size_t at = RECALL_OF_LAST; at <= COST_OF_LAST; at += 4) {
            struct buf buf = serialized(&calibration);
            memcpy(buf.data + at, &impossible[i], 4); /* 1.5 costs less than the one before */
            forge_checksum(&buf);
            cr_assert_eq(parse(&buf, buf.size), STATUS_DATA_LOSS);
            buf_deinit(&buf);
        }
}

Test(vector_calibration, a_newer_format_is_named_as_such)
{
    struct calibration calibration = fitted();
    struct buf buf = serialized(&calibration);

    buf.data[8] = 2;
    cr_assert_eq(parse(&buf, buf.size), STATUS_FAILED_PRECONDITION);
    buf_deinit(&buf);
}
