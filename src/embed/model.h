#ifndef SUTRA_EMBED_MODEL_H
#define SUTRA_EMBED_MODEL_H

/** The inside of an open model, for the worker. Immutable but for the hash under its lock. */

#include "src/embed/embed.h"
#include "src/embed/encoder.h"
#include "src/embed/safetensors.h"
#include "src/embed/tokenizer.h"

#include <pthread.h>

enum { MODEL_KERNELS_TEXT_SIZE = 64 };

struct embed_model {
    struct tokenizer *tokenizer;
    struct safetensors *file;
    struct encoder encoder;
    enum embed_precision precision;
    char kernels_text[MODEL_KERNELS_TEXT_SIZE];

    pthread_mutex_t hash_lock;
    char sha256[EMBED_SHA256_SIZE]; /* "" until somebody asks */
};

#endif
