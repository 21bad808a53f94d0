#include "src/vector/codebook.h"

#include <criterion/criterion.h>
#include <string.h>

#include "src/vector/kmeans.h"
#include "src/vector/refine.h"
#include "tests/property/vector_data.h"
#include "tests/support/alloc_fault.h"

enum { D = 192, N = 300, CELLS = 16 };

/* The linker sends this here too; it fails when a malloc at its place would. */
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    void *probe = malloc(1);

    free(probe);
    return probe != NULL ? __real_aligned_alloc(alignment, size) : NULL;
}

static float *samples(void)
{
    struct vector_random random = { 1 };

    return vector_random_units(&random, N, D, 10);
}

static void expect_refused(const float *rows, size_t n, size_t d, uint32_t iterations)
{
    struct codebook_train_options options = { .iterations = iterations };
    struct codebook *codebook = NULL;
    struct status st = { 0 };

    cr_assert_eq(codebook_train(rows, n, d, &options, &codebook, &st), STATUS_INVALID_ARGUMENT);
    cr_assert_null(codebook);
}

Test(vector_codebook_unit, training_refuses_impossible_input)
{
    float *rows = samples();

    expect_refused(rows, N, 48, 1);
    expect_refused(rows, N, 0, 1);
    expect_refused(rows, N, 192 * 100, 1);
    expect_refused(rows, CODEBOOK_MIN_SAMPLES - 1, D, 1);
    expect_refused(rows, N, D, 0);
    rows[5 * D] = NAN;
    expect_refused(rows, N, D, 1);
    memset(rows, 0, D * sizeof *rows);
    expect_refused(rows, N, D, 1);
    free(rows);
}

Test(vector_codebook_unit, training_refuses_impossible_numbers_of_cells)
{
    static const uint32_t refused[] = { 8, 17, 32, CODEBOOK_MAX_CELLS + 16, UINT32_MAX };
    float *rows = samples();

    for (size_t i = 0; i < 5; i++) { /* 32 cells want 512 samples */
        struct codebook_train_options options = { .iterations = 1, .cells = refused[i] };
        struct codebook *codebook = NULL;
        struct status st = { 0 };
        cr_assert_eq(codebook_train(rows, N, D, &options, &codebook, &st), STATUS_INVALID_ARGUMENT);
        cr_assert_null(codebook);
    }
    free(rows);
}

static float error_with(const float *rows, const float *held_out, size_t held_out_count)
{
    const struct codebook_train_options options = { .iterations = 3,
                                                    .held_out = held_out,
                                                    .held_out_count = held_out_count };
    struct codebook *codebook = NULL;
    struct status st = { 0 };
    float error;

    cr_assert_eq(codebook_train(rows, N, D, &options, &codebook, &st), STATUS_OK, "%s", st.message);
    error = codebook_info(codebook)->mean_squared_error;
    codebook_unref(codebook);
    return error;
}

Test(vector_codebook_unit, the_error_is_that_of_vectors_it_was_not_trained_on)
{
    struct vector_random random = { 2 };
    float *others = vector_random_units(&random, 100, D, 10);
    float *rows = samples();

    cr_expect(error_with(rows, others, 100) > 2 * error_with(rows, NULL, 0),
              "with about one sample per centroid the samples themselves lose nearly nothing");
    free(others);
    free(rows);
}

struct watcher {
    int polls_left;
    double last;
    bool rising;
};

static bool cancel_later(void *context)
{
    struct watcher *watcher = context;

    return watcher->polls_left-- == 0;
}

static void watch(void *context, double fraction)
{
    struct watcher *watcher = context;

    watcher->rising = watcher->rising && fraction > watcher->last;
    watcher->last = fraction;
}

Test(vector_codebook_unit, training_can_be_cancelled_at_any_poll)
{
    float *rows = samples();
    struct codebook *codebook = NULL;
    enum status_code code = STATUS_CANCELLED;
    int polls = 0;

    for (; code == STATUS_CANCELLED; polls++) {
        struct watcher watcher = { .polls_left = polls };
        struct codebook_train_options options = {
            .iterations = 1, .cells = CELLS, .cancelled = cancel_later, .context = &watcher
        };
        struct status st = { 0 };
        code = codebook_train(rows, N, D, &options, &codebook, &st);
        cr_assert((codebook != NULL) == (code == STATUS_OK));
    }
    cr_assert_eq(code, STATUS_OK);
    cr_assert_geq(polls, 10);
    codebook_unref(codebook);
    free(rows);
}

Test(vector_codebook_unit, progress_rises_to_one)
{
    float *rows = samples();
    struct watcher watcher = { .rising = true };
    struct codebook_train_options options = {
        .iterations = 3, .cells = CELLS, .progress = watch, .context = &watcher
    };
    struct codebook *codebook = NULL;
    struct status st = { 0 };

    cr_assert_eq(codebook_train(rows, N, D, &options, &codebook, &st), STATUS_OK);
    cr_assert(watcher.rising);
    cr_assert_float_eq(watcher.last, 1, 1e-12);
    codebook_unref(codebook);
    free(rows);
}

Test(vector_codebook_unit, training_survives_every_failed_allocation)
{
    float *rows = samples();
    struct codebook_train_options options = { .iterations = 4, .cells = CELLS };
    struct codebook *codebook = NULL;
    int n = 1;

    for (;; n++) {
        struct status st = { 0 };
        alloc_fault_at(n);
        codebook_train(rows, N, D, &options, &codebook, &st);
        if (!alloc_fault_clear())
            break;
        cr_assert_eq(st.code, STATUS_RESOURCE_EXHAUSTED);
        cr_assert_null(codebook);
    }
    cr_assert_gt(n, 10);
    cr_assert_not_null(codebook);
    codebook_unref(codebook);
    free(rows);
}

Test(vector_codebook_unit, samples_that_are_all_the_same_are_learnt)
{
    float *rows = calloc((size_t)N * D, sizeof *rows);
    struct codebook_train_options options = { .iterations = 2 };
    struct codebook *codebook = NULL;
    struct codebook *parsed = NULL;
    struct buf buf = { 0 };
    struct status st = { 0 };
    int8_t values[D];
    float decoded[D];
    uint8_t code[48];

    for (size_t i = 0; i < N; i++)
        rows[i * D + 7] = 1;
    cr_assert_eq(codebook_train(rows, N, D, &options, &codebook, &st), STATUS_OK, "%s", st.message);
    refine_quantise(rows, D, values);
    codebook_encode(codebook, values, D, 1, code, NULL, NULL);
    codebook_decode(codebook, code, decoded);
    for (size_t i = 0; i < D; i++)
        cr_assert_float_eq(decoded[i], rows[i], 0.01);
    codebook_serialize(codebook, &buf);
    cr_assert_eq(codebook_parse(buf.data, buf.size, &parsed, &st), STATUS_OK, "%s", st.message);
    buf_deinit(&buf);
    codebook_unref(parsed);
    codebook_unref(codebook);
    free(rows);
}

static struct codebook *trained_with_cells(uint32_t cells)
{
    float *rows = samples();
    struct codebook_train_options options = {
        .iterations = 2, .cells = cells, .version = UINT64_C(0x123456789A), .stored = 77
    };
    struct codebook *codebook = NULL;
    struct status st = { 0 };

    cr_assert_eq(codebook_train(rows, N, D, &options, &codebook, &st), STATUS_OK, "%s", st.message);
    free(rows);
    return codebook;
}

Test(vector_codebook_unit, what_was_serialized_is_parsed)
{
    struct codebook *codebook = trained_with_cells(CELLS);
    struct codebook *parsed = NULL;
    const struct codebook_info *info;
    struct status st = { 0 };
    struct buf first = { 0 };
    struct buf second = { 0 };

    buf_append_u8(&first, 'x'); /* a buffer may hold something already */
    codebook_serialize(codebook, &first);
    cr_assert_eq(first.size - 1, 72 + 4 * D + D * (D + 256 + CELLS) + 8);
    cr_assert_eq(codebook_parse(first.data + 1, first.size - 1, &parsed, &st), STATUS_OK, "%s",
                 st.message);
    info = codebook_info(parsed);
    cr_assert_eq(info->version, UINT64_C(0x123456789A));
    cr_assert_eq(info->code_version, UINT64_C(0x123456789A));
    cr_assert_eq(info->trained_on, N);
    cr_assert_eq(info->trained_at, 77);
    cr_assert_eq(info->dimension, D);
    cr_assert_eq(info->cells, CELLS);
    cr_assert_eq(info->mean_squared_error, codebook_info(codebook)->mean_squared_error);
    codebook_serialize(parsed, &second);
    cr_assert_eq(second.size, first.size - 1);
    cr_assert(memcmp(second.data, first.data + 1, second.size) == 0);
    buf_deinit(&first);
    buf_deinit(&second);
    codebook_unref(codebook);
    codebook_unref(parsed);
}

Test(vector_codebook_unit, other_formats_are_named_as_such)
{
    struct codebook *codebook = vector_random_codebook(4, D, 1);

    for (uint8_t format = 1; format <= 3; format += 2) {
        struct buf buf = { 0 };
        struct status st = { 0 };
        codebook_serialize(codebook, &buf);
        buf.data[8] = format;
        cr_assert_eq(codebook_parse(buf.data, buf.size, &codebook, &st),
                     STATUS_FAILED_PRECONDITION);
        cr_assert_not_null(strstr(st.message, format == 1 ? "format 1" : "format 3"));
        buf_deinit(&buf);
    }
    codebook_unref(codebook);
}

Test(vector_codebook_unit, parsing_survives_every_failed_allocation)
{
    struct codebook *codebook = trained_with_cells(CELLS);
    struct codebook *parsed = NULL;
    struct buf buf = { 0 };

    codebook_serialize(codebook, &buf);
    for (int n = 1;; n++) {
        struct status st = { 0 };
        alloc_fault_at(n);
        codebook_parse(buf.data, buf.size, &parsed, &st);
        if (!alloc_fault_clear())
            break;
        cr_assert_eq(st.code, STATUS_RESOURCE_EXHAUSTED);
        cr_assert_null(parsed);
    }
    cr_assert_not_null(parsed);
    codebook_unref(codebook_ref(parsed));
    codebook_unref(parsed);
    codebook_unref(codebook);
    codebook_unref(NULL);
    buf_deinit(&buf);
}

Test(vector_codebook_unit, an_empty_centroid_takes_half_of_the_largest_cluster)
{
    float means[3] = { 0 };
    uint32_t counts[3];
    struct kmeans kmeans = { .k = 3, .w = 1, .means = means, .counts = counts };
    const int8_t points[] = { 10, 40, 50, 60 };

    kmeans_clear(&kmeans);
    kmeans_add(&kmeans, 0, &points[0], 1);
    for (size_t i = 1; i < 4; i++)
        kmeans_add(&kmeans, 1, &points[i], 1);
    kmeans_finish(&kmeans, 2);
    cr_assert_eq(means[0], 10);
    cr_assert_eq(means[1], 48);
    cr_assert_eq(means[2], 52);
    cr_assert_eq(counts[1] + counts[2], 3);
}

/* ---- Cells ---- */

Test(vector_codebook_unit, cells_pay_from_some_number_of_vectors_on)
{
    uint32_t before = 0;

    cr_assert_eq(codebook_cells_for(0), 0);
    cr_assert_eq(codebook_cells_for(CODEBOOK_CELLS_FROM - 1), 0);
    cr_assert_gt(codebook_cells_for(CODEBOOK_CELLS_FROM), 0);
    for (uint64_t n = CODEBOOK_CELLS_FROM; n < UINT64_MAX / 2; n *= 2) {
        uint32_t cells = codebook_cells_for(n);
        cr_assert_eq(cells % 16, 0);
        cr_assert_leq(cells, CODEBOOK_MAX_CELLS);
        cr_assert_geq(cells, before);
        before = cells;
    }
    cr_assert_eq(before, CODEBOOK_MAX_CELLS);
}

/* What the sizes of a codebook's cells are for @rows [N]. */
static void count_cells(const struct codebook *codebook, const float *rows, uint64_t sizes[CELLS])
{
    memset(sizes, 0, CELLS * sizeof *sizes);
    for (size_t i = 0; i < N; i++) {
        int8_t values[D];
        uint32_t cell;
        refine_quantise(rows + i * D, D, values);
        codebook_assign(codebook, values, D, 1, &cell);
        sizes[cell]++;
    }
}

static struct codebook *rebalanced(const struct codebook *codebook, const uint64_t *sizes)
{
    float *rows = samples();
    struct codebook *result = NULL;
    struct status st = { 0 };

    cr_assert_eq(codebook_rebalance(codebook, sizes, rows, N, 9, &result, &st), STATUS_OK, "%s",
                 st.message);
    free(rows);
    return result;
}

Test(vector_codebook_unit, cells_of_about_the_same_size_are_left_alone)
{
    struct codebook *codebook = trained_with_cells(CELLS);
    uint64_t sizes[CELLS];

    for (size_t c = 0; c < CELLS; c++)
        sizes[c] = 100 + c;
    cr_assert_null(rebalanced(codebook, sizes));
    memset(sizes, 0, sizeof sizes); /* and empty ones */
    cr_assert_null(rebalanced(codebook, sizes));
    codebook_unref(codebook);
}

static size_t largest_of(const uint64_t sizes[CELLS])
{
    size_t largest = 0;

    for (size_t c = 1; c < CELLS; c++)
        largest = sizes[c] > sizes[largest] ? c : largest;
    return largest;
}

Test(vector_codebook_unit, a_cell_that_is_too_large_is_split)
{
    struct codebook *codebook = trained_with_cells(CELLS);
    struct codebook *result;
    float *rows = samples();
    uint64_t before[CELLS], sizes[CELLS], after[CELLS];
    size_t large;
    size_t changed = 0;

    count_cells(codebook, rows, before);
    large = largest_of(before);
    for (size_t c = 0; c < CELLS; c++)
        sizes[c] = c == large ? 1000 : 10;
    result = rebalanced(codebook, sizes);
    cr_assert_not_null(result);
    cr_assert_eq(codebook_info(result)->cells, CELLS);
    cr_assert_eq(codebook_info(result)->version, 9);
    cr_assert_eq(codebook_info(result)->code_version, codebook_info(codebook)->code_version);
    count_cells(result, rows, after);
    cr_assert_lt(after[large], before[large]);
    for (size_t c = 0; c < CELLS; c++)
        changed += after[c] != before[c];
    cr_assert_geq(changed, 2);
    free(rows);
    codebook_unref(codebook);
    codebook_unref(result);
}

Test(vector_codebook_unit, a_cell_that_is_too_small_is_given_up)
{
    struct codebook *codebook = trained_with_cells(CELLS);
    struct codebook *result;
    float *rows = samples();
    uint64_t before[CELLS], sizes[CELLS];
    size_t large, small;

    count_cells(codebook, rows, before);
    large = largest_of(before);
    small = large == 3 ? 4 : 3;
    for (size_t c = 0; c < CELLS; c++)
        sizes[c] = c == small ? 1 : c == large ? 120 : 100;
    result = rebalanced(codebook, sizes);
    cr_assert_not_null(result);
    free(rows);
    codebook_unref(codebook);
    codebook_unref(result);
}

Test(vector_codebook_unit, a_cell_of_equal_vectors_is_not_split)
{
    struct codebook *codebook = trained_with_cells(CELLS);
    struct codebook *result = codebook;
    float *rows = calloc((size_t)N * D, sizeof *rows);
    uint64_t sizes[CELLS];
    struct status st = { 0 };

    for (size_t i = 0; i < N; i++)
        rows[i * D] = 1;
    count_cells(codebook, rows, sizes);
    cr_assert_eq(sizes[largest_of(sizes)], N);
    cr_assert_eq(codebook_rebalance(codebook, sizes, rows, N, 9, &result, &st), STATUS_OK);
    cr_assert_null(result);
    free(rows);
    codebook_unref(codebook);
}

Test(vector_codebook_unit, only_cells_and_unit_vectors_can_be_rebalanced)
{
    struct codebook *none = trained_with_cells(0);
    struct codebook *codebook = trained_with_cells(CELLS);
    struct codebook *result = NULL;
    float *rows = samples();
    const uint64_t sizes[CELLS] = { 1000 };
    struct status st = { 0 };

    cr_assert_eq(codebook_rebalance(none, sizes, rows, N, 9, &result, &st),
                 STATUS_FAILED_PRECONDITION);
    rows[D] = NAN;
    st = (struct status){ 0 };
    cr_assert_eq(codebook_rebalance(codebook, sizes, rows, N, 9, &result, &st),
                 STATUS_INVALID_ARGUMENT);
    cr_assert_null(result);
    free(rows);
    codebook_unref(codebook);
    codebook_unref(none);
}

Test(vector_codebook_unit, rebalancing_survives_every_failed_allocation)
{
    struct codebook *codebook = trained_with_cells(CELLS);
    struct codebook *result = NULL;
    float *rows = samples();
    uint64_t sizes[CELLS];

    count_cells(codebook, rows, sizes);
    sizes[largest_of(sizes)] = 100000;
    for (int n = 1;; n++) {
        struct status st = { 0 };
        alloc_fault_at(n);
        codebook_rebalance(codebook, sizes, rows, N, 9, &result, &st);
        if (!alloc_fault_clear())
            break;
        cr_assert_eq(st.code, STATUS_RESOURCE_EXHAUSTED);
        cr_assert_null(result);
    }
    cr_assert_not_null(result);
    free(rows);
    codebook_unref(codebook);
    codebook_unref(result);
}
