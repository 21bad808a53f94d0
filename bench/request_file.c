#include "bench/request_file.h"

#include <stdio.h>
#include <stdlib.h>

static void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static struct rpc_bytes *read_request(FILE *file)
{
    uint8_t head[4];
    uint8_t *data;
    size_t size;

    if (fread(head, 1, sizeof head, file) != sizeof head)
        return NULL;
    size = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
    data = malloc(size + 1);
    if (data == NULL || fread(data, 1, size, file) != size)
        die("requests", "the file ends in the middle of one");
    return rpc_bytes_from_malloc(data, size);
}

struct requests requests_read(const char *path)
{
    struct requests requests = { 0 };
    FILE *file = fopen(path, "rb");
    struct rpc_bytes *bytes;
    size_t capacity = 0;

    if (file == NULL)
        die(path, "cannot be opened");
    while ((bytes = read_request(file)) != NULL) {
        if (requests.n == capacity) {
            capacity = 2 * capacity + 64;
            requests.bytes = realloc(requests.bytes, capacity * sizeof(struct rpc_bytes *));
            if (requests.bytes == NULL)
                die(path, "out of memory");
        }
        requests.bytes[requests.n++] = bytes;
    }
    fclose(file);
    if (requests.n == 0)
        die(path, "no requests");
    return requests;
}

void reply_write(FILE *file, const struct rpc_bytes *reply)
{
    const uint8_t *data;
    struct status st = { 0 };
    struct arena arena;
    uint8_t head[4];
    size_t size;

    arena_init(&arena, SIZE_MAX);
    if (rpc_bytes_view(reply, &arena, &data, &size, &st) != STATUS_OK)
        die("replies", st.message);
    for (size_t i = 0; i < sizeof head; i++)
        head[i] = (uint8_t)(size >> (8 * i));
    if (fwrite(head, 1, sizeof head, file) != sizeof head || fwrite(data, 1, size, file) != size)
        die("replies", "cannot be written");
    arena_deinit(&arena);
}

void requests_free(struct requests *requests)
{
    for (size_t i = 0; i < requests->n; i++)
        rpc_bytes_free(requests->bytes[i]);
    free(requests->bytes);
}
