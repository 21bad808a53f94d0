#ifndef SUTRA_EMBED_CONFIG_H
#define SUTRA_EMBED_CONFIG_H

/** The model's config.json: checked against what this encoder is built for; internal. */

#include "src/base/status.h"

#include <stddef.h>

struct model_config {
    size_t vocabulary_size;
    float norm_epsilon;
};

/** INVALID_ARGUMENT when the model has another shape or activation than all-MiniLM-L6-v2,
 * DATA_LOSS when the file is not JSON. */
enum status_code model_config_load(const char *path, struct model_config *ret_config,
                                   struct status *st);

#endif
