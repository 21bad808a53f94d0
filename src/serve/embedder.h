#ifndef SUTRA_SERVE_EMBEDDER_H
#define SUTRA_SERVE_EMBEDDER_H

/**
 * Where a server gets vectors for texts: a model in its own process, another server's
 * EmbeddingService, or nowhere (then every request for one is answered FAILED_PRECONDITION, reason
 * MODEL_MISSING, with the way out).
 *
 * Any thread may ask; answers come by callback, on a thread of the embedder or of the loop.
 */

#include <stddef.h>
#include <stdint.h>

#include "src/embed/embed.h"
#include "src/rpc/call.h"
#include "src/rpc/loop.h"
#include "src/serve/serve.h"

struct embedder;

struct embedder_options {
    const struct rpc_channel_options *peers; /* how to connect to the address; may be NULL */
    const char *address;   /* "" or that of an EmbeddingService; wins over the model */
    const char *model_dir; /* "": embed_model_default_dir() */
    size_t threads;        /* for a model in this process */
    const char *precision; /* of a model in this process: see embed_precision_parse() */
};

/** Opens what the options name. A missing model is no error here; a damaged one is, and so is a
 * precision that there is not. Where the machine cannot compute in bfloat16 the model is opened in
 * float32, which is logged. */
enum status_code embedder_open(const struct embedder_options *options, struct rpc_loop *loop,
                               struct embedder **ret, struct status *st);

/** OK if there is a model or a server to ask; else the status that requests are answered with. */
enum status_code embedder_missing(const struct embedder *embedder, struct status *st);

/** After the last call has come back. Accepts NULL. */
void embedder_close(struct embedder *embedder);

/** @st is valid during the call only. */
typedef void embedder_done_fn(void *ctx, const struct status *st);

/**
 * Embeds @n texts into @ret_rows [n][EMBED_DIMENSION]. Texts and rows must live until @done, which
 * comes exactly once and possibly before the function returns. @parent gives deadline and
 * cancellation; it must not be finished before
 * @done.
 */
void embedder_embed(struct embedder *embedder, struct rpc_call *parent,
                    const struct embed_text *texts, size_t n, float *ret_rows,
                    embedder_done_fn *done, void *ctx);

/** Announces sutra.v1.EmbeddingService. */
void embedder_announce(struct serve *serve);

/** Opens it and adds its metrics; it is out of service where there is nothing to embed with. */
void embedder_serve(struct embedder *embedder, struct serve *serve);

#endif
