#include "src/embed/safetensors.h"

#include "src/base/size.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LENGTH_SIZE = 8, HEADER_LIMIT = 16 << 20 };

struct safetensors {
    uint8_t *map; /* NULL before mapping */
    size_t size;
    json_t *header;
    size_t data_start; /* in the file */
};

static uint64_t read_u64le(const uint8_t *bytes)
{
    uint64_t value = 0;

    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

static enum status_code map_descriptor(struct safetensors *file, int fd, struct status *st)
{
    struct stat info;

    if (fstat(fd, &info) != 0)
        return status_set_errno(st, errno, "stat");
    if (!S_ISREG(info.st_mode) || info.st_size <= LENGTH_SIZE)
        return status_set(st, STATUS_DATA_LOSS, "not a safetensors file: too short");
    void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return status_set_errno(st, errno, "map");
    file->map = map;
    file->size = (size_t)info.st_size;
    return STATUS_OK;
}

static enum status_code map_path(struct safetensors *file, const char *path, struct status *st)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return status_set_errno(st, errno, "open");
    map_descriptor(file, fd, st);
    close(fd);
    return st->code;
}

static enum status_code parse_header(struct safetensors *file, struct status *st)
{
    uint64_t length = read_u64le(file->map);
    json_error_t error;

    if (length > HEADER_LIMIT || length > file->size - LENGTH_SIZE)
        return status_set(st, STATUS_DATA_LOSS, "header of %llu bytes in a file of %zu",
                          (unsigned long long)length, file->size);
    file->data_start = LENGTH_SIZE + (size_t)length;
    file->header = json_loadb((const char *)file->map + LENGTH_SIZE, (size_t)length,
                              JSON_REJECT_DUPLICATES, &error);
    if (file->header == NULL)
        return status_set(st, STATUS_DATA_LOSS, "header, byte %d: %s", error.position, error.text);
    if (!json_is_object(file->header))
        return status_set(st, STATUS_DATA_LOSS, "header is not a JSON object");
    return STATUS_OK;
}

enum status_code safetensors_open(const char *path, struct safetensors **ret_file,
                                  struct status *st)
{
    struct safetensors *file = calloc(1, sizeof *file);

    if (file == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (map_path(file, path, st) != STATUS_OK || parse_header(file, st) != STATUS_OK) {
        safetensors_close(file);
        return status_wrap(st, "weights '%s'", path);
    }
    *ret_file = file;
    return STATUS_OK;
}

void safetensors_close(struct safetensors *file)
{
    if (file == NULL)
        return;
    json_decref(file->header);
    if (file->map != NULL)
        munmap(file->map, file->size);
    free(file);
}

const uint8_t *safetensors_bytes(const struct safetensors *file, size_t *ret_size)
{
    *ret_size = file->size;
    return file->map;
}

static bool is_shape(const json_t *json, const size_t *shape, size_t n_dims)
{
    if (!json_is_array(json) || json_array_size(json) != n_dims)
        return false;
    for (size_t i = 0; i < n_dims; i++) {
        const json_t *extent = json_array_get(json, i);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0 ||
            (size_t)json_integer_value(extent) != shape[i])
            return false;
    }
    return true;
}

/* Bytes of a float32 tensor; false on overflow. */
static bool tensor_bytes(const size_t *shape, size_t n_dims, size_t *ret_bytes)
{
    size_t bytes = sizeof(float);

    for (size_t i = 0; i < n_dims; i++)
        if (!size_mul(bytes, shape[i], &bytes))
            return false;
    *ret_bytes = bytes;
    return true;
}

/* data_offsets as a position in the file; false unless it spans @bytes inside it. */
static bool locate(const struct safetensors *file, const json_t *offsets, size_t bytes,
                   size_t *ret_position)
{
    json_int_t begin, end;
    size_t available = file->size - file->data_start;

    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !json_is_integer(json_array_get(offsets, 0)) ||
        !json_is_integer(json_array_get(offsets, 1)))
        return false;
    begin = json_integer_value(json_array_get(offsets, 0));
    end = json_integer_value(json_array_get(offsets, 1));
    if (begin < 0 || end < begin || (size_t)end > available || (size_t)(end - begin) != bytes)
        return false;
    *ret_position = file->data_start + (size_t)begin;
    return *ret_position % _Alignof(float) == 0;
}

static enum status_code find_f32(const struct safetensors *file, const char *name,
                                 const size_t *shape, size_t n_dims, const float **ret_data,
                                 struct status *st)
{
    const json_t *tensor = json_object_get(file->header, name);
    const char *dtype = json_string_value(json_object_get(tensor, "dtype"));
    size_t bytes, position;

    if (tensor == NULL)
        return status_set(st, STATUS_INVALID_ARGUMENT, "not in the file");
    if (dtype == NULL || strcmp(dtype, "F32") != 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, "dtype is %s, not F32",
                          dtype != NULL ? dtype : "missing");
    if (!is_shape(json_object_get(tensor, "shape"), shape, n_dims) ||
        !tensor_bytes(shape, n_dims, &bytes))
        return status_set(st, STATUS_INVALID_ARGUMENT, "unexpected shape");
    if (!locate(file, json_object_get(tensor, "data_offsets"), bytes, &position))
        return status_set(st, STATUS_DATA_LOSS, "data_offsets do not fit the shape or the file");
    *ret_data = (const float *)(const void *)(file->map + position);
    return STATUS_OK;
}

enum status_code safetensors_f32(const struct safetensors *file, const char *name,
                                 const size_t *shape, size_t n_dims, const float **ret_data,
                                 struct status *st)
{
    if (find_f32(file, name, shape, n_dims, ret_data, st) != STATUS_OK)
        return status_wrap(st, "tensor '%s'", name);
    return STATUS_OK;
}
