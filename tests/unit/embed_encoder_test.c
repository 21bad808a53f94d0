/* Every way to run the encoder gives the same vectors, whichever this machine prefers. */

#include "src/embed/embed.h"
#include "src/embed/encoder.h"
#include "tests/support/embed_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { VOCABULARY = 30522, N_TEXTS = 5, D = WEIGHTS_FEATURES };

static struct safetensors *open_weights(struct weights *ret)
{
    char dir[EMBED_PATH_SIZE], path[EMBED_PATH_SIZE + 32];
    struct safetensors *file = NULL;
    struct status st = { 0 };

    embed_model_close(embed_fixture_model()); /* says what to do when there is none */
    embed_model_default_dir(dir, &st);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    safetensors_open(path, &file, &st);
    weights_load(file, VOCABULARY, 1e-12f, ret, &st);
    cr_assert(st.code == STATUS_OK, "%s", st.message);
    return file;
}

/* Any ids will do. */
static void fill(struct encoder_batch *batch, float rows[N_TEXTS][D])
{
    static const size_t lengths[N_TEXTS] = { 2, 24, 256, 7, 33 };

    batch->n_tokens = batch->n_texts = 0;
    for (size_t i = 0; i < N_TEXTS; i++) {
        batch->texts[batch->n_texts++] =
            (struct encoder_text){ batch->n_tokens, lengths[i], rows[i] };
        for (size_t token = 0; token < lengths[i]; token++, batch->n_tokens++)
            batch->ids[batch->n_tokens] = (uint32_t)(batch->n_tokens * 7919 % VOCABULARY);
    }
}

static void run(const struct weights *weights, const struct embed_kernels *kernels,
                bool in_bfloat16, float ret[N_TEXTS][D])
{
    struct encoder encoder = { .weights = *weights, .kernels = kernels };
    struct encoder_batch *batch = NULL;
    struct status st = { 0 };

    encoder_prepare(&encoder, in_bfloat16, &st);
    encoder_batch_new(&batch, &st);
    cr_assert(st.code == STATUS_OK, "%s", st.message);
    fill(batch, ret);
    cr_expect(encoder_run(&encoder, batch), "%s", encoder_products(&encoder));
    encoder_batch_free(batch);
    encoder_deinit(&encoder);
}

static void expect_same(float a[N_TEXTS][D], float b[N_TEXTS][D], double floor, const char *what)
{
    for (size_t i = 0; i < N_TEXTS; i++) {
        double product = 0;
        for (size_t k = 0; k < D; k++)
            product += (double)a[i][k] * (double)b[i][k];
        cr_expect(product > floor, "%s: cosine %.9f for text %zu", what, product, i);
    }
}

Test(embed_encoder, every_set_of_kernels_gives_the_same_vectors, .timeout = 120)
{
    static float reference[N_TEXTS][D], rows[N_TEXTS][D];
    struct weights weights;
    struct safetensors *file = open_weights(&weights);

    run(&weights, &embed_kernels_baseline, false, reference);
    if (__builtin_cpu_supports("x86-64-v3")) {
        run(&weights, &embed_kernels_avx2, false, rows);
        expect_same(reference, rows, 1 - 1e-6, "avx2");
    }
    if (__builtin_cpu_supports("x86-64-v4")) {
        run(&weights, &embed_kernels_avx512, false, rows);
        expect_same(reference, rows, 1 - 1e-6, "avx512");
    }
    if (dense_is_supported()) {
        run(&weights, embed_kernels_select(), true, rows);
        expect_same(reference, rows, 0.9999, "bfloat16");
    }
    safetensors_close(file);
}

Test(embed_encoder, products_come_from_openblas_where_we_have_none)
{
    struct weights weights;
    struct safetensors *file = open_weights(&weights);
    struct encoder encoder = { .weights = weights, .kernels = &embed_kernels_baseline };
    struct status st = { 0 };

    cr_assert_eq(encoder_prepare(&encoder, false, &st), STATUS_OK);
    cr_expect_null(encoder.packed);
    cr_expect_eq(encoder_batch_tokens(&encoder), ENCODER_BATCH_TOKENS);
    encoder_deinit(&encoder);
    safetensors_close(file);
}
