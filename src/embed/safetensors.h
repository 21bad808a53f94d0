#ifndef SUTRA_EMBED_SAFETENSORS_H
#define SUTRA_EMBED_SAFETENSORS_H

/**
 * A read-only, memory-mapped safetensors file (the format of huggingface.co/docs/safetensors):
 *
 *   0      8      8+h
 *   | h    | JSON | tensor bytes ...
 *
 * h is a little-endian u64; the JSON object maps each name to dtype, shape and data_offsets, a
 * half-open range of the tensor bytes. Nothing in the file is trusted: a tensor is handed out
 * only when its type, shape and range agree and lie inside the file.
 *
 * Immutable once open; any number of threads may share it. The file must not be truncated while
 * it is mapped.
 */

#include "src/base/status.h"

#include <stddef.h>
#include <stdint.h>

struct safetensors;

/** Errno's code when the file cannot be read; DATA_LOSS when it is no safetensors file. */
enum status_code safetensors_open(const char *path, struct safetensors **ret_file,
                                  struct status *st);

/** Every tensor of it becomes invalid. Accepts NULL. */
void safetensors_close(struct safetensors *file);

/**
 * The float32 tensor @name, row-major, valid until the file is closed. @shape has @n_dims
 * extents. INVALID_ARGUMENT when there is no such tensor or it has another type or shape,
 * DATA_LOSS when its range is wrong.
 */
enum status_code safetensors_f32(const struct safetensors *file, const char *name,
                                 const size_t *shape, size_t n_dims, const float **ret_data,
                                 struct status *st);

/** All bytes of the file. */
const uint8_t *safetensors_bytes(const struct safetensors *file, size_t *ret_size);

#endif
