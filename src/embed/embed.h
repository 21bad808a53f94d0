#ifndef SUTRA_EMBED_EMBED_H
#define SUTRA_EMBED_EMBED_H

/**
 * Text to unit vectors: all-MiniLM-L6-v2 on the CPU.
 *
 * A sentence is cut into WordPiece tokens, run through a six-layer BERT encoder (Wang et al.:
 * MiniLM, NeurIPS 2020; Devlin et al.: BERT, NAACL 2019), averaged over its tokens and scaled to
 * length one. The model is a folder of three files, config.json, vocab.txt and model.safetensors,
 * which deploy/fetch-model puts into embed_model_default_dir().
 *
 * A model is immutable once open: any number of threads may share it. A worker is the scratch
 * memory of one thread and needs no allocation after embed_worker_new(). To serve many callers
 * from a few threads use src/embed/embed_queue.h.
 *
 * The parallelism is the callers': opening a model makes OpenBLAS single-threaded for the whole
 * process.
 */

#include "src/base/status.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    EMBED_DIMENSION = 384,  /* floats per vector */
    EMBED_MAX_TOKENS = 256, /* per text, [CLS] and [SEP] included; what follows is not read */
    EMBED_SHA256_SIZE = 65, /* 64 hex digits and a NUL */
    EMBED_PATH_SIZE = 4096,
};

struct embed_model;
struct embed_worker;

/**
 * How the dense layers are computed, which are nearly all of the work. Attention's scores, sums and
 * norms are float32 in both. Over the texts of tests/golden the lowest cosine to the reference,
 * which computes in float64, is 0.9999999 in float32 and 0.99994 in bfloat16.
 */
enum embed_precision {
    EMBED_FLOAT32,  /* by our own kernels with AVX-512, by OpenBLAS without */
    EMBED_BFLOAT16, /* products of numbers of 8 bits' precision, added up in float32 */
};

/** UTF-8, borrowed. Ill-formed bytes are skipped, so are control characters and NUL. */
struct embed_text {
    const char *data;
    size_t length;
};

struct embed_info {
    const char *name;               /* "all-MiniLM-L6-v2" */
    size_t dimension;               /* EMBED_DIMENSION */
    size_t max_tokens;              /* EMBED_MAX_TOKENS */
    char sha256[EMBED_SHA256_SIZE]; /* of model.safetensors, lower case */
};

/** Asked between batches; true ends the work early. */
typedef bool embed_cancelled_fn(void *context);

/**
 * Where the model is looked for unless a caller says otherwise: $SUTRA_MODEL, or
 * $HOME/.cache/sutra/all-MiniLM-L6-v2. INVALID_ARGUMENT when neither variable is set or the path
 * does not fit.
 */
enum status_code embed_model_default_dir(char ret_dir[EMBED_PATH_SIZE], struct status *st);

/**
 * Opens the model in @dir. The weights are memory-mapped, so that processes on one machine share
 * them; with AVX-512 those of the dense layers are copied (42 MB; 21 MB in bfloat16). Replacing the
 * files of an open model is safe only by rename.
 *
 * FAILED_PRECONDITION, reason MODEL_MISSING, when a file is not there; the message names the
 * folder and the command that fetches the model. INVALID_ARGUMENT when the files are not an
 * all-MiniLM-L6-v2, DATA_LOSS when they are damaged.
 */
enum status_code embed_model_open(const char *dir, struct embed_model **ret_model,
                                  struct status *st);

/**
 * The same with a choice of precision. Where the machine has no instructions for bfloat16 (AMX_BF16
 * or AVX512_BF16), the model is opened in float32 instead: ask embed_model_precision().
 */
enum status_code embed_model_open_as(const char *dir, enum embed_precision precision,
                                     struct embed_model **ret_model, struct status *st);

/** What the model computes in. */
enum embed_precision embed_model_precision(const struct embed_model *model);

/** "float32" or "bfloat16". */
const char *embed_precision_name(enum embed_precision precision);

/** INVALID_ARGUMENT, saying what there is, when @name is none of them. */
enum status_code embed_precision_parse(const char *name, enum embed_precision *ret_precision,
                                       struct status *st);

/** After its last worker was freed. Accepts NULL. */
void embed_model_close(struct embed_model *model);

/** The first call reads the whole weights file to hash it (about 0.1 s), later ones are cheap. */
enum status_code embed_model_info(struct embed_model *model, struct embed_info *ret_info,
                                  struct status *st);

/** "SkylakeX, avx512": the BLAS, or the kernels in its place, and our other kernels that were
 * chosen on this machine. Valid until the model is closed. */
const char *embed_model_kernels(const struct embed_model *model);

/** About 18 MB of scratch memory; borrows the model. RESOURCE_EXHAUSTED without memory. */
enum status_code embed_worker_new(const struct embed_model *model, struct embed_worker **ret_worker,
                                  struct status *st);

/** Accepts NULL. */
void embed_worker_free(struct embed_worker *worker);

/**
 * Embeds @n texts, batch by batch; neighbours in a batch do not influence each other beyond the
 * last bits of rounding.
 *
 * @cancelled  may be NULL; asked before every batch with @context
 * @ret_rows   [n][EMBED_DIMENSION], row i for text i; undefined after a failure
 *
 * CANCELLED when @cancelled said so. DATA_LOSS when damaged weights gave something that is not a
 * vector.
 */
enum status_code embed_texts(struct embed_worker *worker, const struct embed_text *texts, size_t n,
                             embed_cancelled_fn *cancelled, void *context, float *ret_rows,
                             struct status *st);

#endif
