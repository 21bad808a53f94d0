/*
 * Writes the synsets of WordNet as requests that bench/load sends:
 *
 *   wordnet_requests [--plain] FOLDER VECTORS REQUESTS IDS [BATCH]
 *
 *   --plain    without their associations
 *   VECTORS    their embeddings, as wordnet_vectors writes them
 *   REQUESTS   gets LearnBatchRequests of BATCH (256) synsets each, embeddings included, each
 *              behind its size (uint32, little-endian); they are ImportRequests, too
 *   IDS        gets their ids, one a line
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/apps/cli/sources/source.h"
#include "src/embed/embed.h"
#include "sutra/v1/concept_service.pb-c.h"

enum { MOST_BATCH = 10000, ROW_BYTES = EMBED_DIMENSION * sizeof(float) };

struct output {
    struct source *source;
    struct arena arena; /* of a batch */
    size_t batch;
    bool plain;
    FILE *vectors;
    FILE *requests;
    FILE *ids;
};

static void die(const char *what)
{
    fprintf(stderr, "wordnet_requests: %s\n", what);
    exit(1);
}

static FILE *open_file(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);

    if (file == NULL) {
        perror(path);
        exit(1);
    }
    return file;
}

static void *from_arena(struct output *output, size_t size)
{
    void *memory = arena_calloc(&output->arena, 1, size);

    if (memory == NULL)
        die("out of memory");
    return memory;
}

static void attach_vector(struct output *output, Sutra__V1__ConceptInput *item)
{
    Sutra__V1__Embedding *embedding = from_arena(output, sizeof *embedding);

    sutra__v1__embedding__init(embedding);
    embedding->f32le.len = ROW_BYTES;
    embedding->f32le.data = from_arena(output, ROW_BYTES);
    if (fread(embedding->f32le.data, 1, ROW_BYTES, output->vectors) != ROW_BYTES)
        die("there are fewer vectors than synsets");
    item->embedding = embedding;
}

static size_t read_batch(struct output *output, Sutra__V1__ConceptInput **ret_items)
{
    struct status st = { 0 };
    size_t n = 0;

    for (; n < output->batch; n++) {
        if (source_next(output->source, &output->arena, &ret_items[n], &st) != STATUS_OK)
            die(st.message);
        if (ret_items[n] == NULL)
            break;
        if (output->plain)
            ret_items[n]->n_associations = 0;
        attach_vector(output, ret_items[n]);
        fprintf(output->ids, "%s\n", ret_items[n]->id);
    }
    return n;
}

static void write_request(struct output *output, const Sutra__V1__LearnBatchRequest *request)
{
    uint32_t size = (uint32_t)protobuf_c_message_get_packed_size(&request->base);
    uint8_t head[4] = { (uint8_t)size, (uint8_t)(size >> 8), (uint8_t)(size >> 16),
                        (uint8_t)(size >> 24) };
    uint8_t *packed = from_arena(output, size);

    protobuf_c_message_pack(&request->base, packed);
    if (fwrite(head, 1, sizeof head, output->requests) != sizeof head ||
        fwrite(packed, 1, size, output->requests) != size)
        die("the requests cannot be written");
}

static void write_all(struct output *output)
{
    static Sutra__V1__ConceptInput *items[MOST_BATCH];
    Sutra__V1__LearnBatchRequest request = SUTRA__V1__LEARN_BATCH_REQUEST__INIT;

    request.items = items;
    do {
        arena_init(&output->arena, SIZE_MAX);
        request.n_items = read_batch(output, items);
        if (request.n_items > 0)
            write_request(output, &request);
        arena_deinit(&output->arena);
    } while (request.n_items == output->batch);
}

int main(int argc, char **argv)
{
    struct output output = { .plain = argc > 1 && strcmp(argv[1], "--plain") == 0 };
    struct status st = { 0 };

    argc -= output.plain;
    argv += output.plain;
    output.batch = argc > 5 ? strtoul(argv[5], NULL, 10) : 256;
    if (argc < 5 || output.batch < 1 || output.batch > MOST_BATCH) {
        fprintf(stderr, "usage: wordnet_requests [--plain] FOLDER VECTORS REQUESTS IDS [BATCH]\n");
        return 2;
    }
    output.vectors = open_file(argv[2], "rb");
    output.requests = open_file(argv[3], "wb");
    output.ids = open_file(argv[4], "w");
    if (source_open(SOURCE_WORDNET, argv[1], &output.source, &st) != STATUS_OK)
        die(st.message);
    write_all(&output);
    source_close(output.source);
    fclose(output.vectors);
    if (fclose(output.requests) != 0 || fclose(output.ids) != 0)
        die("the files cannot be written");
    return 0;
}
