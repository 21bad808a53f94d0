#include "src/vector/codebook.h"

#include <criterion/criterion.h>
#include <string.h>

#include "src/vector/kmeans.h"
#include "tests/property/vector_data.h"
#include "tests/support/alloc_fault.h"

enum { D = 48, N = 300 };

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

    expect_refused(rows, N, 47, 1);
    expect_refused(rows, N, 0, 1);
    expect_refused(rows, N, 48 * 1000, 1);
    expect_refused(rows, CODEBOOK_MIN_SAMPLES - 1, D, 1);
    expect_refused(rows, N, D, 0);
    rows[5 * D] = NAN;
    expect_refused(rows, N, D, 1);
    memset(rows, 0, D * sizeof *rows);
    expect_refused(rows, N, D, 1);
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
        struct codebook_train_options options = { .iterations = 1,
                                                  .cancelled = cancel_later,
                                                  .context = &watcher };
        struct status st = { 0 };
        code = codebook_train(rows, N, D, &options, &codebook, &st);
        cr_assert((codebook != NULL) == (code == STATUS_OK));
    }
    cr_assert_eq(code, STATUS_OK);
    cr_assert_geq(polls, CODEBOOK_PARTS);
    codebook_unref(codebook);
    free(rows);
}

Test(vector_codebook_unit, progress_rises_to_one)
{
    float *rows = samples();
    struct watcher watcher = { .rising = true };
    struct codebook_train_options options = { .iterations = 3,
                                              .progress = watch,
                                              .context = &watcher };
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
    struct codebook_train_options options = { .iterations = 1 };
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
    struct status st = { 0 };
    float decoded[D];
    uint8_t code[48];

    for (size_t i = 0; i < N; i++)
        rows[i * D + 7] = 1;
    cr_assert_eq(codebook_train(rows, N, D, &options, &codebook, &st), STATUS_OK, "%s", st.message);
    codebook_encode(codebook, rows, 1, code);
    codebook_decode(codebook, code, decoded);
    for (size_t i = 0; i < D; i++)
        cr_assert_float_eq(decoded[i], rows[i], 0.01);
    codebook_unref(codebook);
    free(rows);
}

Test(vector_codebook_unit, what_was_serialized_is_parsed)
{
    struct codebook *codebook = vector_random_codebook(3, 96, UINT64_C(0x123456789A));
    struct codebook *parsed = NULL;
    struct status st = { 0 };
    struct buf first = { 0 };
    struct buf second = { 0 };

    buf_append_u8(&first, 'x'); /* a buffer may hold something already */
    codebook_serialize(codebook, &first);
    cr_assert_eq(codebook_parse(first.data + 1, first.size - 1, &parsed, &st), STATUS_OK, "%s",
                 st.message);
    cr_assert_eq(codebook_info(parsed)->version, UINT64_C(0x123456789A));
    cr_assert_eq(codebook_info(parsed)->trained_on, 600);
    cr_assert_eq(codebook_info(parsed)->dimension, 96);
    cr_assert_eq(codebook_info(parsed)->mean_squared_error,
                 codebook_info(codebook)->mean_squared_error);
    codebook_serialize(parsed, &second);
    cr_assert_eq(second.size, first.size - 1);
    cr_assert(memcmp(second.data, first.data + 1, second.size) == 0);
    buf_deinit(&first);
    buf_deinit(&second);
    codebook_unref(codebook);
    codebook_unref(parsed);
}

Test(vector_codebook_unit, a_newer_format_is_named_as_such)
{
    struct codebook *codebook = vector_random_codebook(4, D, 1);
    struct buf buf = { 0 };
    struct status st = { 0 };

    codebook_serialize(codebook, &buf);
    buf.data[8] = 2;
    cr_assert_eq(codebook_parse(buf.data, buf.size, &codebook, &st), STATUS_FAILED_PRECONDITION);
    cr_assert_not_null(strstr(st.message, "format 2"));
    buf_deinit(&buf);
    codebook_unref(codebook);
}

Test(vector_codebook_unit, parsing_survives_every_failed_allocation)
{
    struct codebook *codebook = vector_random_codebook(5, D, 1);
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

Test(vector_codebook_unit, a_centroid_without_points_moves_into_the_largest_cluster)
{
    enum { K = 256 };
    static _Alignas(64) float centroids[K], half_norms[K];
    static float points[K];
    static uint8_t assignment[K];
    static double sums[K];
    static uint32_t indices[K];
    struct kmeans kmeans = { points, K, 1, centroids, half_norms, assignment, sums, indices };
    uint64_t seed = 1;

    for (size_t i = 0; i < K; i++)
        points[i] = 0.5f;
    kmeans_start(&kmeans, &seed);
    kmeans_assign(&kmeans);
    kmeans_update(&kmeans);
    for (size_t c = 1; c < K; c++)
        cr_assert(centroids[c] != 0.5f && fabsf(centroids[c] - 0.5f) < 0.01f);
}
