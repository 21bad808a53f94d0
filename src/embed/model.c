#include "src/embed/model.h"

#include "src/embed/config.h"

#include <cblas.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_FILE "config.json"
#define VOCABULARY_FILE "vocab.txt"
#define WEIGHTS_FILE "model.safetensors"

enum { SHA256_BYTES = 32 };

/* snprintf's answer, or its doubt. */
static enum status_code check_fits(int printed, struct status *st)
{
    if (printed < 0 || printed >= EMBED_PATH_SIZE)
        return status_set(st, STATUS_INVALID_ARGUMENT, "model folder: path too long");
    return STATUS_OK;
}

enum status_code embed_model_default_dir(char ret_dir[EMBED_PATH_SIZE], struct status *st)
{
    const char *model = getenv("SUTRA_MODEL");
    const char *home = getenv("HOME");

    if (model != NULL && model[0] != '\0')
        return check_fits(snprintf(ret_dir, EMBED_PATH_SIZE, "%s", model), st);
    if (home == NULL || home[0] == '\0')
        return status_set(
            st, STATUS_INVALID_ARGUMENT,
            "model folder: neither SUTRA_MODEL nor HOME is set (see deploy/fetch-model)");
    return check_fits(snprintf(ret_dir, EMBED_PATH_SIZE, "%s/.cache/sutra/all-MiniLM-L6-v2", home),
                      st);
}

/* The path of a file that has to be there. */
static enum status_code find_file(const char *dir, const char *name, char ret_path[EMBED_PATH_SIZE],
                                  struct status *st)
{
    if (check_fits(snprintf(ret_path, EMBED_PATH_SIZE, "%s/%s", dir, name), st) != STATUS_OK)
        return st->code;
    if (access(ret_path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return status_set_reason(st, STATUS_FAILED_PRECONDITION, "MODEL_MISSING",
                                 "no %s in model folder '%s': run deploy/fetch-model", name, dir);
    return STATUS_OK;
}

static enum status_code open_tokenizer(struct embed_model *model, const char *dir, size_t size,
                                       struct status *st)
{
    char path[EMBED_PATH_SIZE];

    if (find_file(dir, VOCABULARY_FILE, path, st) != STATUS_OK ||
        tokenizer_open(path, &model->tokenizer, st) != STATUS_OK)
        return st->code;
    if (tokenizer_size(model->tokenizer) != size)
        return status_set(st, STATUS_INVALID_ARGUMENT, "'%s' has %zu tokens, the model %zu", path,
                          tokenizer_size(model->tokenizer), size);
    return STATUS_OK;
}

static enum status_code open_weights(struct embed_model *model, const char *dir,
                                     const struct model_config *config, struct status *st)
{
    char path[EMBED_PATH_SIZE];

    if (find_file(dir, WEIGHTS_FILE, path, st) != STATUS_OK ||
        safetensors_open(path, &model->file, st) != STATUS_OK)
        return st->code;
    if (weights_load(model->file, config->vocabulary_size, config->norm_epsilon,
                     &model->encoder.weights, st) != STATUS_OK)
        return status_wrap(st, "weights '%s'", path);
    return STATUS_OK;
}

static enum status_code open_files(struct embed_model *model, const char *dir, struct status *st)
{
    char path[EMBED_PATH_SIZE];
    struct model_config config;

    if (find_file(dir, CONFIG_FILE, path, st) == STATUS_OK &&
        model_config_load(path, &config, st) == STATUS_OK &&
        open_tokenizer(model, dir, config.vocabulary_size, st) == STATUS_OK)
        open_weights(model, dir, &config, st);
    return st->code;
}

static enum status_code choose_kernels(struct embed_model *model, enum embed_precision precision,
                                       struct status *st)
{
    bool in_bfloat16 = precision == EMBED_BFLOAT16 && dense_is_supported();

    openblas_set_num_threads(1);
    model->precision = in_bfloat16 ? EMBED_BFLOAT16 : EMBED_FLOAT32;
    model->encoder.kernels = embed_kernels_select();
    if (encoder_prepare(&model->encoder, in_bfloat16, st) != STATUS_OK)
        return st->code;
    snprintf(model->kernels_text, sizeof model->kernels_text, "%s, %s",
             encoder_products(&model->encoder), model->encoder.kernels->name);
    return STATUS_OK;
}

enum status_code embed_model_open_as(const char *dir, enum embed_precision precision,
                                     struct embed_model **ret_model, struct status *st)
{
    struct embed_model *model = calloc(1, sizeof *model);

    if (model == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    pthread_mutex_init(&model->hash_lock, NULL);
    if (open_files(model, dir, st) != STATUS_OK ||
        choose_kernels(model, precision, st) != STATUS_OK) {
        embed_model_close(model);
        return st->code;
    }
    *ret_model = model;
    return STATUS_OK;
}

enum status_code embed_model_open(const char *dir, struct embed_model **ret_model,
                                  struct status *st)
{
    return embed_model_open_as(dir, EMBED_FLOAT32, ret_model, st);
}

void embed_model_close(struct embed_model *model)
{
    if (model == NULL)
        return;
    encoder_deinit(&model->encoder);
    safetensors_close(model->file);
    tokenizer_close(model->tokenizer);
    pthread_mutex_destroy(&model->hash_lock);
    free(model);
}

static void to_hex(const unsigned char *bytes, size_t n, char *ret_hex)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        ret_hex[2 * i] = digits[bytes[i] >> 4];
        ret_hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret_hex[2 * n] = '\0';
}

static enum status_code hash_weights(struct embed_model *model, struct status *st)
{
    unsigned char digest[SHA256_BYTES];
    size_t size;
    const uint8_t *bytes = safetensors_bytes(model->file, &size);

    if (EVP_Digest(bytes, size, digest, NULL, EVP_sha256(), NULL) != 1)
        return status_set(st, STATUS_INTERNAL, "SHA-256 failed");
    to_hex(digest, sizeof digest, model->sha256);
    return STATUS_OK;
}

enum status_code embed_model_info(struct embed_model *model, struct embed_info *ret_info,
                                  struct status *st)
{
    pthread_mutex_lock(&model->hash_lock);
    if (model->sha256[0] == '\0')
        hash_weights(model, st);
    pthread_mutex_unlock(&model->hash_lock);
    if (st->code != STATUS_OK)
        return st->code;

    *ret_info = (struct embed_info){ .name = "all-MiniLM-L6-v2",
                                     .dimension = EMBED_DIMENSION,
                                     .max_tokens = EMBED_MAX_TOKENS };
    snprintf(ret_info->sha256, sizeof ret_info->sha256, "%s", model->sha256);
    return STATUS_OK;
}

enum embed_precision embed_model_precision(const struct embed_model *model)
{
    return model->precision;
}

static const char *const precision_names[] = { "float32", "bfloat16" };

const char *embed_precision_name(enum embed_precision precision)
{
    return precision_names[precision];
}

enum status_code embed_precision_parse(const char *name, enum embed_precision *ret_precision,
                                       struct status *st)
{
    for (size_t i = 0; i < sizeof precision_names / sizeof *precision_names; i++)
        if (strcmp(name, precision_names[i]) == 0) {
            *ret_precision = (enum embed_precision)i;
            return STATUS_OK;
        }
    return status_set(st, STATUS_INVALID_ARGUMENT, "takes float32 or bfloat16, not '%s'", name);
}

const char *embed_model_kernels(const struct embed_model *model)
{
    return model->kernels_text;
}
