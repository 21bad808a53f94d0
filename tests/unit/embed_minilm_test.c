/* The reference implementation's token ids and vectors (tests/golden/minilm_reference.py). */

#include "src/embed/embed.h"
#include "src/embed/tokenizer.h"
#include "tests/support/embed_fixture.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_TEXTS = 220, LINE_SIZE = 65536, DECODED_SIZE = LINE_SIZE };

static const char golden_path[] = "tests/golden/minilm.jsonl";

static float vector_of(const json_t *golden, size_t i)
{
    static unsigned char bytes[DECODED_SIZE];
    static const json_t *decoded;
    float value;

    if (decoded != golden) {
        const char *base64 = json_string_value(json_object_get(golden, "embedding"));
        int n = EVP_DecodeBlock(bytes, (const unsigned char *)base64, (int)strlen(base64));
        cr_assert(n >= (int)(EMBED_DIMENSION * sizeof value));
        decoded = golden;
    }
    memcpy(&value, bytes + i * sizeof value, sizeof value);
    return value;
}

static struct embed_text text_of(const json_t *golden)
{
    const json_t *text = json_object_get(golden, "text");

    return (struct embed_text){ json_string_value(text), json_string_length(text) };
}

/* The file as an array of its lines; the caller drops the reference. */
static json_t *read_golden(void)
{
    static char line[LINE_SIZE];
    json_t *all = json_array();
    FILE *file = fopen(golden_path, "r");

    cr_assert_not_null(file, "%s", golden_path);
    while (fgets(line, sizeof line, file) != NULL) {
        json_t *golden = json_loads(line, JSON_ALLOW_NUL, NULL);
        cr_assert_not_null(golden, "line %zu", json_array_size(all) + 1);
        json_array_append_new(all, golden);
    }
    fclose(file);
    cr_assert_geq(json_array_size(all), MIN_TEXTS);
    return all;
}

static double cosine(const json_t *golden, const float *vector)
{
    double product = 0, a = 0, b = 0;

    for (size_t i = 0; i < EMBED_DIMENSION; i++) {
        double reference = (double)vector_of(golden, i);
        product += reference * (double)vector[i];
        a += reference * reference;
        b += (double)vector[i] * (double)vector[i];
    }
    return product / sqrt(a * b);
}

Test(embed_minilm, tokens_are_the_references)
{
    char path[EMBED_PATH_SIZE + 16], dir[EMBED_PATH_SIZE];
    uint32_t ids[EMBED_MAX_TOKENS];
    struct tokenizer *tokenizer;
    struct status st = { 0 };
    json_t *all = read_golden(), *golden;
    size_t line, i;

    embed_model_close(embed_fixture_model()); /* says what to do when there is none */
    embed_model_default_dir(dir, &st);
    snprintf(path, sizeof path, "%s/vocab.txt", dir);
    cr_assert(tokenizer_open(path, &tokenizer, &st) == STATUS_OK, "%s", st.message);
    json_array_foreach(all, line, golden)
    {
        const json_t *expected = json_object_get(golden, "ids"), *id;
        struct embed_text text = text_of(golden);
        size_t n = tokenizer_encode(tokenizer, text.data, text.length, ids, EMBED_MAX_TOKENS);
        cr_expect_eq(n, json_array_size(expected), "line %zu: %zu tokens", line + 1, n);
        json_array_foreach(expected, i, id)
            cr_expect_eq(ids[i], json_integer_value(id), "line %zu, token %zu", line + 1, i);
    }
    tokenizer_close(tokenizer);
    json_decref(all);
}

static void expect_references(enum embed_precision precision, double floor)
{
    struct embed_model *model = embed_fixture_model_as(precision);
    struct embed_worker *worker = embed_fixture_worker(model);
    json_t *all = read_golden(), *golden;
    size_t n = json_array_size(all), line;
    struct embed_text *texts = calloc(n, sizeof *texts);
    float *rows = calloc(n * EMBED_DIMENSION, sizeof *rows);
    struct status st = { 0 };
    double worst = 1;

    json_array_foreach(all, line, golden) texts[line] = text_of(golden);
    embed_texts(worker, texts, n, NULL, NULL, rows, &st);
    cr_assert(st.code == STATUS_OK, "%s", st.message);
    json_array_foreach(all, line, golden)
    {
        double similarity = cosine(golden, rows + line * EMBED_DIMENSION);
        cr_expect(similarity >= floor, "line %zu: cosine %.8f", line + 1, similarity);
        worst = fmin(worst, similarity);
    }
    fprintf(stderr, "%zu texts in %s, lowest cosine %.9f\n", n,
            embed_precision_name(embed_model_precision(model)), worst);
    free(rows);
    free(texts);
    json_decref(all);
    embed_worker_free(worker);
    embed_model_close(model);
}

Test(embed_minilm, vectors_are_the_references, .timeout = 120)
{
    expect_references(EMBED_FLOAT32, 0.99999);
}

/* Where there is no bfloat16 this is float32 once more. */
Test(embed_minilm, vectors_in_bfloat16_are_near_the_references, .timeout = 120)
{
    expect_references(EMBED_BFLOAT16, 0.9999);
}
