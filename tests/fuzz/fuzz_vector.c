#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "src/vector/codebook.h"
#include "src/vector/refine.h"
#include "src/vector/segment.h"
#include "tests/fuzz/fuzz.h"
#include "tests/property/vector_data.h"

enum { D = 192, SEED = 0x5EED, MARK = 7, VERSION = 3 };

static uint8_t *copy_of(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);

    memcpy(copy, data, size);
    return copy;
}

/* ---- Segments: drawn in src/vector/segment_file.h ---- */

/* With cells. */
static struct codebook *train(void)
{
    enum { SAMPLES = 600 };
    struct vector_random random = { SEED };
    struct codebook_train_options options = {
        .seed = SEED,
        .iterations = 3,
        .version = VERSION,
        .cells = 16,
    };
    float *samples = vector_random_units(&random, SAMPLES, D, 20);
    struct codebook *codebook = NULL;
    struct status st = { 0 };

    fuzz_require(codebook_train(samples, SAMPLES, D, &options, &codebook, &st) == STATUS_OK,
                 "a codebook is trained");
    free(samples);
    return codebook;
}

static struct codebook *shared_codebook(void)
{
    static struct codebook *codebook;

    if (codebook == NULL)
        codebook = train();
    return codebook;
}

static void use_segment(struct segment *segment)
{
    struct segment_hits hits;
    struct status st = { 0 };
    struct arena arena;
    float query[D] = { 1 };
    struct segment_search options = { .r = 1000 };

    arena_init(&arena, 1 << 20);
    fuzz_require(segment_search(segment, query, 1, &options, &arena, &hits, &st) == STATUS_OK,
                 "a segment that was accepted can be searched");
    fuzz_require(hits.count == segment_stats(segment).count, "and everything in it is found");
    for (size_t i = 0; i < hits.count; i++) {
        struct segment_id id = { hits.hits[i].id, hits.hits[i].id_length };
        bool found;
        fuzz_require(segment_find(segment, &id, 1, &found) == 1, "by ids that it contains");
        if (i % 2 == 0)
            segment_remove(segment, hits.hits[i].id, hits.hits[i].id_length);
    }
    fuzz_require(segment_stats(segment).count == hits.count / 2, "each of which is there once");
    arena_deinit(&arena);
}

static void load_segment(const char *path, struct codebook *codebook)
{
    struct segment_options options = { .dimension = D, .codebook = codebook };
    struct segment *segment = NULL;
    struct status st = { 0 };
    uint64_t mark;

    if (segment_load(path, &options, &segment, &mark, &st) != STATUS_OK) {
        fuzz_require(segment == NULL, "a refused segment is none");
        return;
    }
    use_segment(segment);
    segment_unref(segment);
}

static void load_both(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size);

    load_segment(path, NULL);
    load_segment(path, shared_codebook());
}

/* A section's offset, size and checksum at @data + @at, if it lies within the file. */
static void mend_section(uint8_t *data, size_t size, size_t at)
{
    uint64_t offset, length, checksum;

    memcpy(&offset, data + at, 8);
    memcpy(&length, data + at + 8, 8);
    if (offset > size || length > size - offset)
        return;
    checksum = XXH3_64bits(data + offset, length);
    memcpy(data + at + 16, &checksum, 8);
}

int fuzz_segment(const uint8_t *data, size_t size)
{
    enum { SECTIONS_AT = 56, SECTION_BYTES = 24, CHECKED_BYTES = 128 };
    uint64_t checksum;

    load_both(data, size);
    if (size < CHECKED_BYTES + sizeof checksum)
        return 0;
    uint8_t *mended = copy_of(data, size);
    for (size_t at = SECTIONS_AT; at < CHECKED_BYTES; at += SECTION_BYTES)
        mend_section(mended, size, at);
    checksum = XXH3_64bits(mended, CHECKED_BYTES);
    memcpy(mended + CHECKED_BYTES, &checksum, sizeof checksum);
    load_both(mended, size);
    free(mended);
    return 0;
}

static void fill(struct segment *segment, size_t count)
{
    struct vector_random random = { SEED };
    float *units = vector_random_units(&random, count, D, 5);

    for (size_t i = 0; i < count; i++) {
        uint8_t row[REFINE_SCALE_BYTES + D];
        uint8_t code[CODEBOOK_CODE_BYTES];
        uint32_t cell;
        char id[24];
        struct status st = { 0 };
        int length = snprintf(id, sizeof id, "%zu%s", i, i % 4 == 0 ? "-longer" : "");
        refine_encode(REFINE_INT8, units + i * D, D, row);
        codebook_encode(shared_codebook(), (const int8_t *)row + REFINE_SCALE_BYTES, D, 1, code,
                        &cell, NULL);
        fuzz_require(segment_put(segment, id, (size_t)length, row, code, cell, &st) == STATUS_OK,
                     "a segment takes what is put");
    }
    free(units);
}

static void append_file(const char *path, struct buf *to)
{
    FILE *file = fopen(path, "rb");
    uint8_t bytes[4096];
    size_t n;

    while ((n = fread(bytes, 1, sizeof bytes, file)) > 0)
        buf_append(to, bytes, n);
    fclose(file);
}

bool fuzz_segment_seed(size_t n, struct buf *ret)
{
    static const size_t counts[] = { 4, 4, 300, 0 };
    char path[] = "/tmp/sutra-fuzz-segment-XXXXXX";
    struct segment_options options = { .dimension = D };
    struct segment *segment;
    struct status st = { 0 };

    if (n >= sizeof counts / sizeof counts[0])
        return false;
    fuzz_require(mkdtemp(path) != NULL, "there is a temporary folder");
    options.codebook = n % 2 == 0 ? shared_codebook() : NULL;
    segment = segment_new(&options);
    fill(segment, counts[n]);
    char name[64];
    snprintf(name, sizeof name, "%s/segment", path);
    fuzz_require(segment_save(segment, name, MARK, &st) == STATUS_OK, "a segment is saved");
    append_file(name, ret);
    remove(name);
    remove(path);
    segment_unref(segment);
    return true;
}
