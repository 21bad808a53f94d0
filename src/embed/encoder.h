#ifndef SUTRA_EMBED_ENCODER_H
#define SUTRA_EMBED_ENCODER_H

/**
 * The forward pass of MiniLM over a batch of tokenised texts; internal to the embedding library.
 *
 * The texts of a batch lie back to back, without padding, as one matrix of all their tokens:
 * every matrix product is one call for the whole batch, and only attention looks at single texts.
 */

#include "src/base/status.h"
#include "src/embed/kernels.h"
#include "src/embed/packed.h"
#include "src/embed/weights.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ENCODER_BATCH_TOKENS = 1024, /* from here on bigger products are hardly faster */
    /* With packed weights smaller ones are as fast, and what lies between stays in the cache. */
    ENCODER_PACKED_BATCH_TOKENS = 512,
    ENCODER_TEXT_TOKENS = KERNEL_MAX_TOKENS,
    ENCODER_BATCH_TEXTS = ENCODER_BATCH_TOKENS / 2, /* each has [CLS] and [SEP] */
};

struct encoder_path;

/* What a batch is run through. Immutable: any number of threads may share it. */
struct encoder {
    struct weights weights;
    const struct embed_kernels *kernels;
    const struct encoder_path *path; /* how the dense layers are computed */
    struct packed_weights *packed;   /* what for; NULL: by OpenBLAS, from the weights */
};

/* One text of a batch. */
struct encoder_text {
    size_t first; /* row of its first token */
    size_t n_tokens;
    float *ret_row; /* [D], the unit vector */
};

struct encoder_scratch;

/* Belongs to one thread. The caller fills in ids and texts. */
struct encoder_batch {
    uint32_t ids[ENCODER_BATCH_TOKENS + ENCODER_TEXT_TOKENS]; /* room to try one text more */
    size_t n_tokens;                                          /* at most ENCODER_BATCH_TOKENS */
    struct encoder_text texts[ENCODER_BATCH_TEXTS];
    size_t n_texts;
    struct encoder_scratch *scratch;
};

/**
 * Chooses how @encoder, with its weights and kernels set, computes the dense layers, and packs
 * them. Bfloat16 takes a machine where dense_is_supported(). RESOURCE_EXHAUSTED without memory.
 */
enum status_code encoder_prepare(struct encoder *encoder, bool in_bfloat16, struct status *st);

/** Accepts {0}. */
void encoder_deinit(struct encoder *encoder);

/** "amx_bf16", "avx512" or OpenBLAS' own name for its kernels. */
const char *encoder_products(const struct encoder *encoder);

/** What a batch of this encoder takes at most, one text at least. */
size_t encoder_batch_tokens(const struct encoder *encoder);

/** An empty batch with its scratch memory; RESOURCE_EXHAUSTED without memory. */
enum status_code encoder_batch_new(struct encoder_batch **ret_batch, struct status *st);

/** Accepts NULL. */
void encoder_batch_free(struct encoder_batch *batch);

/** Fills every text's ret_row; false if one of them is not a finite vector. No allocation. */
bool encoder_run(const struct encoder *encoder, struct encoder_batch *batch);

#endif
