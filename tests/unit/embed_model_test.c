#include "src/embed/embed.h"

#include "src/embed/dense.h"
#include "src/embed/safetensors.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/embed_fixture.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { D = EMBED_DIMENSION, TIDE_ID = 10401 };

static const char weights_sha256[] =
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";

static struct embed_text text_of(const char *s)
{
    return (struct embed_text){ s, strlen(s) };
}

static const char *real_path(const char *name)
{
    static char path[EMBED_PATH_SIZE + 32];
    char dir[EMBED_PATH_SIZE];
    struct status st = { 0 };

    cr_assert_eq(embed_model_default_dir(dir, &st), STATUS_OK);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* A folder to put a model's files into. */
static const char *new_dir(void)
{
    static char dir[2048];
    const char *parent = getenv("TEST_TMPDIR");

    snprintf(dir, sizeof dir, "%s/model.XXXXXX", parent != NULL ? parent : "/tmp");
    cr_assert_not_null(mkdtemp(dir));
    return dir;
}

static const char *path_in(const char *dir, const char *name)
{
    static char path[EMBED_PATH_SIZE];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void link_real(const char *dir, const char *name)
{
    cr_assert_eq(symlink(real_path(name), path_in(dir, name)), 0, "%s", name);
}

static void write_text(const char *dir, const char *name, const char *text)
{
    FILE *file = fopen(path_in(dir, name), "w");

    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

static void expect_refused(const char *dir, enum status_code code, const char *message)
{
    struct embed_model *model = NULL;
    struct status st = { 0 };

    cr_expect_eq(embed_model_open(dir, &model, &st), code, "%s", st.message);
    cr_expect_not_null(strstr(st.message, message), "'%s' does not say '%s'", st.message, message);
    cr_expect_null(model);
}

static void embed(const struct embed_model *model, const struct embed_text *texts, size_t n,
                  float *ret_rows)
{
    struct embed_worker *worker = embed_fixture_worker(model);
    struct status st = { 0 };

    embed_texts(worker, texts, n, NULL, NULL, ret_rows, &st);
    cr_assert(st.code == STATUS_OK, "%s", st.message);
    embed_worker_free(worker);
}

static double dot(const float *a, const float *b)
{
    double sum = 0;

    for (size_t i = 0; i < D; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

Test(embed_model, a_missing_model_names_its_folder_and_the_remedy)
{
    struct embed_model *model = NULL;
    struct status st = { 0 };

    cr_expect_eq(embed_model_open("/nowhere/model", &model, &st), STATUS_FAILED_PRECONDITION);
    cr_expect_str_eq(st.reason, "MODEL_MISSING");
    cr_expect_not_null(strstr(st.message, "/nowhere/model"), "%s", st.message);
    cr_expect_not_null(strstr(st.message, "deploy/fetch-model"), "%s", st.message);
}

Test(embed_model, each_of_its_files_must_be_there)
{
    const char *dir = new_dir();

    expect_refused(dir, STATUS_FAILED_PRECONDITION, "no config.json");
    link_real(dir, "config.json");
    expect_refused(dir, STATUS_FAILED_PRECONDITION, "no vocab.txt");
    link_real(dir, "vocab.txt");
    expect_refused(dir, STATUS_FAILED_PRECONDITION, "no model.safetensors");
}

Test(embed_model, refuses_another_architecture)
{
    const char *dir = new_dir();
#define CONFIG(hidden, act, vocabulary, eps)                                                       \
    "{\"hidden_size\":" hidden ",\"num_hidden_layers\":6,\"num_attention_heads\":12,"              \
    "\"intermediate_size\":1536,\"max_position_embeddings\":512,\"type_vocab_size\":2,"            \
    "\"hidden_act\":" act ",\"vocab_size\":" vocabulary ",\"layer_norm_eps\":" eps "}"

    write_text(dir, "config.json", CONFIG("768", "\"gelu\"", "30522", "1e-12"));
    expect_refused(dir, STATUS_INVALID_ARGUMENT, "hidden_size is 768");
    write_text(dir, "config.json", CONFIG("384", "\"relu\"", "30522", "1e-12"));
    expect_refused(dir, STATUS_INVALID_ARGUMENT, "hidden_act");
    write_text(dir, "config.json", CONFIG("384", "\"gelu\"", "-1", "1e-12"));
    expect_refused(dir, STATUS_INVALID_ARGUMENT, "vocab_size");
    write_text(dir, "config.json", CONFIG("384", "\"gelu\"", "30522", "0"));
    expect_refused(dir, STATUS_INVALID_ARGUMENT, "layer_norm_eps");
    write_text(dir, "config.json", "{");
    expect_refused(dir, STATUS_DATA_LOSS, "config.json");
    write_text(dir, "config.json", CONFIG("384", "\"gelu\"", "30521", "1e-12"));
    link_real(dir, "vocab.txt");
    expect_refused(dir, STATUS_INVALID_ARGUMENT, "30522 tokens, the model 30521");
#undef CONFIG
}

Test(embed_model, refuses_weights_without_its_tensors)
{
    const char *dir = new_dir();
    static const char empty[] = "\x08\0\0\0\0\0\0\0{}      ";

    link_real(dir, "config.json");
    link_real(dir, "vocab.txt");
    FILE *file = fopen(path_in(dir, "model.safetensors"), "wb");
    fwrite(empty, 1, sizeof empty - 1, file);
    fclose(file);
    expect_refused(dir, STATUS_INVALID_ARGUMENT, "embeddings.word_embeddings.weight");
}

Test(embed_model, looks_in_the_environments_folder_first)
{
    char dir[EMBED_PATH_SIZE];
    struct status st = { 0 };

    setenv("SUTRA_MODEL", "/some/model", 1);
    cr_expect_eq(embed_model_default_dir(dir, &st), STATUS_OK);
    cr_expect_str_eq(dir, "/some/model");
    setenv("SUTRA_MODEL", "", 1);
    setenv("HOME", "/home/ada", 1);
    cr_expect_eq(embed_model_default_dir(dir, &st), STATUS_OK);
    cr_expect_str_eq(dir, "/home/ada/.cache/sutra/all-MiniLM-L6-v2");
    unsetenv("HOME");
    cr_expect_eq(embed_model_default_dir(dir, &st), STATUS_INVALID_ARGUMENT);
}

Test(embed_model, refuses_a_path_that_does_not_fit)
{
    static char path[EMBED_PATH_SIZE + 1];
    char dir[EMBED_PATH_SIZE];
    struct status st = { 0 };

    memset(path, 'p', EMBED_PATH_SIZE);
    setenv("SUTRA_MODEL", path, 1);
    cr_expect_eq(embed_model_default_dir(dir, &st), STATUS_INVALID_ARGUMENT);
    expect_refused(path, STATUS_INVALID_ARGUMENT, "too long");
}

Test(embed_model, tells_what_it_is)
{
    struct embed_model *model = embed_fixture_model();
    struct embed_info info;
    struct status st = { 0 };

    for (int i = 0; i < 2; i++) {
        cr_assert_eq(embed_model_info(model, &info, &st), STATUS_OK);
        cr_expect_str_eq(info.name, "all-MiniLM-L6-v2");
        cr_expect_eq(info.dimension, 384);
        cr_expect_eq(info.max_tokens, 256);
        cr_expect_str_eq(info.sha256, weights_sha256);
    }
    cr_expect_not_null(strchr(embed_model_kernels(model), ','));
    embed_model_close(model);
}

Test(embed_model, like_meanings_get_like_vectors)
{
    struct embed_model *model = embed_fixture_model();
    const struct embed_text texts[] = { text_of("The sea rises and falls twice a day."),
                                        text_of("Tides are caused by the moon."),
                                        text_of("Bond yields rose on Monday.") };
    float rows[3 * D];

    embed(model, texts, 3, rows);
    for (size_t i = 0; i < 3; i++)
        cr_expect(fabs(dot(rows + i * D, rows + i * D) - 1) < 1e-6);
    cr_expect(dot(rows, rows + D) > 2 * dot(rows, rows + 2 * D));
    embed_model_close(model);
}

/* More than one batch, long texts and short ones. */
static void check_neighbours(enum embed_precision precision, double tolerance)
{
    enum { N = 60 };
    struct embed_model *model = embed_fixture_model_as(precision);
    struct embed_text texts[N];
    static char storage[N][1200];
    static float together[N * D];
    float alone[D];

    for (size_t i = 0; i < N; i++) {
        size_t words = i % 7 == 0 ? 200 : i % 5;
        for (size_t w = 0; w < words; w++)
            strcat(storage[i], w % 3 == i % 3 ? "tide " : "moon ");
        texts[i] = text_of(storage[i]);
    }
    embed(model, texts, N, together);
    for (size_t i = 0; i < N; i++) {
        embed(model, &texts[i], 1, alone);
        cr_expect(dot(alone, together + i * D) > 1 - tolerance, "text %zu", i);
    }
    embed_model_close(model);
}

Test(embed_model, neighbours_in_a_batch_do_not_matter, .timeout = 120)
{
    check_neighbours(EMBED_FLOAT32, 1e-6);
}

Test(embed_model, neighbours_in_a_batch_do_not_matter_in_bfloat16, .timeout = 120)
{
    check_neighbours(EMBED_BFLOAT16, 1e-6);
}

Test(embed_model, opens_in_the_precision_that_was_asked_for_or_in_float32)
{
    struct embed_model *model = embed_fixture_model();

    cr_expect_eq(embed_model_precision(model), EMBED_FLOAT32);
    embed_model_close(model);
    model = embed_fixture_model_as(EMBED_BFLOAT16);
    cr_expect_eq(embed_model_precision(model),
                 dense_is_supported() ? EMBED_BFLOAT16 : EMBED_FLOAT32);
    embed_model_close(model);
}

Test(embed_model, precisions_have_names)
{
    enum embed_precision precision = EMBED_FLOAT32;
    struct status st = { 0 };

    cr_expect_eq(embed_precision_parse("bfloat16", &precision, &st), STATUS_OK);
    cr_expect_eq(precision, EMBED_BFLOAT16);
    cr_expect_eq(embed_precision_parse("float32", &precision, &st), STATUS_OK);
    cr_expect_eq(precision, EMBED_FLOAT32);
    cr_expect_str_eq(embed_precision_name(EMBED_BFLOAT16), "bfloat16");
    cr_expect_eq(embed_precision_parse("int8", &precision, &st), STATUS_INVALID_ARGUMENT);
    cr_expect_not_null(strstr(st.message, "int8"));
    cr_expect_eq(precision, EMBED_FLOAT32);
}

Test(embed_model, embeds_nothing_at_once)
{
    struct embed_model *model = embed_fixture_model();
    float row[D] = { 7 };

    embed(model, NULL, 0, row);
    cr_expect_eq(row[0], 7);
    embed_model_close(model);
}

static bool cancel_at_second_batch(void *context)
{
    int *calls = context;

    return ++*calls == 2;
}

Test(embed_model, stops_between_batches_when_cancelled)
{
    enum { N = 600 };
    struct embed_model *model = embed_fixture_model();
    struct embed_worker *worker = embed_fixture_worker(model);
    static struct embed_text texts[N];
    static float rows[N * D];
    struct status st = { 0 };
    int calls = 0;

    for (size_t i = 0; i < N; i++)
        texts[i] = text_of("moon");
    cr_expect_eq(embed_texts(worker, texts, N, cancel_at_second_batch, &calls, rows, &st),
                 STATUS_CANCELLED);
    cr_expect_eq(calls, 2);
    cr_expect(rows[0] != 0);
    cr_expect_eq(rows[(N - 1) * D], 0);
    embed_worker_free(worker);
    embed_model_close(model);
}

/* Where a word's row lies in the weights file. */
static long position_of_word(const char *path, size_t id)
{
    const size_t shape[] = { 30522, D };
    struct safetensors *file = NULL;
    struct status st = { 0 };
    const float *words;
    size_t size;

    safetensors_open(path, &file, &st);
    safetensors_f32(file, "embeddings.word_embeddings.weight", shape, 2, &words, &st);
    cr_assert(st.code == STATUS_OK, "%s", st.message);
    const uint8_t *row = (const uint8_t *)(words + id * D);
    long position = (long)(row - safetensors_bytes(file, &size));
    safetensors_close(file);
    return position;
}

static void copy_file(const char *from, const char *to)
{
    static char block[1 << 20];
    FILE *source = fopen(from, "rb"), *copy = fopen(to, "wb");
    size_t n;

    cr_assert(source != NULL && copy != NULL);
    while ((n = fread(block, 1, sizeof block, source)) > 0)
        cr_assert_eq(fwrite(block, 1, n, copy), n);
    fclose(source);
    fclose(copy);
}

Test(embed_model, damaged_weights_give_an_error_and_no_vector)
{
    const char *dir = new_dir();
    const struct embed_text tide = text_of("tide"), moon = text_of("moon");
    struct embed_model *model = NULL;
    const float not_a_number = NAN;
    struct status st = { 0 };
    float row[D];

    link_real(dir, "config.json");
    link_real(dir, "vocab.txt");
    const char *path = path_in(dir, "model.safetensors");
    copy_file(real_path("model.safetensors"), path);
    FILE *file = fopen(path, "r+b");
    fseek(file, position_of_word(path, TIDE_ID), SEEK_SET);
    fwrite(&not_a_number, sizeof not_a_number, 1, file);
    fclose(file);

    cr_assert_eq(embed_model_open(dir, &model, &st), STATUS_OK, "%s", st.message);
    embed(model, &moon, 1, row);
    struct embed_worker *worker = embed_fixture_worker(model);
    cr_expect_eq(embed_texts(worker, &tide, 1, NULL, NULL, row, &st), STATUS_DATA_LOSS);
    embed_worker_free(worker);
    embed_model_close(model);
    unlink(path);
}

static void check_allocations(enum embed_precision precision)
{
    struct embed_model *model = NULL;
    struct embed_worker *worker = NULL;
    char dir[EMBED_PATH_SIZE];

    for (int n = 1;; n++) {
        struct status st = { 0 };
        embed_model_default_dir(dir, &st);
        alloc_fault_at(n);
        if (embed_model_open_as(dir, precision, &model, &st) == STATUS_OK)
            embed_worker_new(model, &worker, &st);
        if (!alloc_fault_clear())
            break;
        cr_expect_eq(st.code, STATUS_RESOURCE_EXHAUSTED, "allocation %d: %s", n, st.message);
        cr_expect_null(worker);
        embed_model_close(model);
        model = NULL;
    }
    cr_assert_not_null(worker);
    embed_worker_free(worker);
    embed_model_close(model);
}

Test(embed_model, survives_every_failed_allocation)
{
    check_allocations(EMBED_FLOAT32);
}

Test(embed_model, survives_every_failed_allocation_in_bfloat16)
{
    check_allocations(EMBED_BFLOAT16);
}
