#define _GNU_SOURCE /* memmem */
#include "src/vector/segment.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "src/vector/topk.h"
#include "tests/property/vector_data.h"

enum { D = 48, IDS = 1500, DISTINCT = 40, ROW = 4 + D, QUERIES = 19, MAX_SEGMENTS = 8 };

/* What a segment should hold: for each id the number of one of few vectors, so that scores tie. */
struct model {
    struct vector_random random;
    struct codebook *codebook; /* NULL: rows */
    float *units;              /* [DISTINCT][D] */
    float *queries;            /* [QUERIES][D] */
    uint8_t rows[DISTINCT][ROW];
    uint8_t codes[DISTINCT][48];
    int vector_of[IDS]; /* -1: absent */
    char ids[IDS][24];
};

/* Ids of different lengths, some a prefix of others. */
static void make_ids(struct model *model)
{
    for (size_t i = 0; i < IDS; i++)
        snprintf(model->ids[i], sizeof model->ids[i], i % 3 == 0 ? "%zu" : "concept-%zu", i);
}

static struct model model_new(uint64_t seed, bool coded)
{
    struct model model = { .random = { seed } };

    model.codebook = coded ? vector_random_codebook(seed, D, seed) : NULL;
    model.units = vector_random_units(&model.random, DISTINCT, D, 5);
    model.queries = vector_random_units(&model.random, QUERIES, D, 5);
    for (size_t i = 0; i < DISTINCT; i++)
        refine_encode(model.units + i * D, D, model.rows[i]);
    if (coded)
        codebook_encode(model.codebook, model.units, DISTINCT, model.codes[0]);
    for (size_t i = 0; i < IDS; i++)
        model.vector_of[i] = -1;
    make_ids(&model);
    return model;
}

static void model_free(struct model *model)
{
    codebook_unref(model->codebook);
    free(model->units);
    free(model->queries);
}

static size_t model_count(const struct model *model)
{
    size_t count = 0;

    for (size_t i = 0; i < IDS; i++)
        count += model->vector_of[i] >= 0;
    return count;
}

static float model_score(const struct model *model, const float *unit, size_t vector)
{
    static struct codebook_query query;
    static struct refine_query row;

    if (model->codebook != NULL) {
        codebook_query_init(&query, model->codebook, unit);
        return codebook_query_score(&query, model->codes[vector]);
    }
    refine_query_init(&row, unit, D);
    return refine_score(&row, model->rows[vector]);
}

static int compare(const void *a, const void *b)
{
    return topk_compare(a, b);
}

/* All that is there, best first. */
static size_t model_search(const struct model *model, const float *unit, struct topk_entry *ret)
{
    float scores[DISTINCT];
    size_t count = 0;

    for (size_t i = 0; i < DISTINCT; i++)
        scores[i] = model_score(model, unit, i);
    for (size_t i = 0; i < IDS; i++)
        if (model->vector_of[i] >= 0)
            ret[count++] =
                (struct topk_entry){ scores[model->vector_of[i]], (uint32_t)strlen(model->ids[i]),
                                     (const uint8_t *)model->ids[i], 0 };
    qsort(ret, count, sizeof *ret, compare);
    return count;
}

static void put(struct model *model, struct segment *segment, size_t id, size_t vector)
{
    struct status st = { 0 };

    cr_assert_eq(segment_put(segment, model->ids[id], strlen(model->ids[id]), model->rows[vector],
                             model->codes[vector], &st),
                 STATUS_OK, "%s", st.message);
}

static void random_put(struct model *model, struct segment *segment)
{
    size_t id = vector_random_below(&model->random, IDS);
    size_t vector = vector_random_below(&model->random, DISTINCT);

    put(model, segment, id, vector);
    model->vector_of[id] = (int)vector;
}

static void random_remove(struct model *model, struct segment *segment)
{
    size_t id = vector_random_below(&model->random, IDS);
    bool removed = segment_remove(segment, model->ids[id], strlen(model->ids[id]));

    cr_assert_eq(removed, model->vector_of[id] >= 0);
    model->vector_of[id] = -1;
}

static void random_steps(struct model *model, struct segment *segment, size_t steps,
                         size_t puts_of_ten)
{
    for (size_t i = 0; i < steps; i++) {
        if (vector_random_below(&model->random, 10) < puts_of_ten)
            random_put(model, segment);
        else
            random_remove(model, segment);
    }
}

static void expect_hits(const struct segment_hits *hits, const struct topk_entry *expected,
                        size_t count, uint64_t seed)
{
    cr_assert_eq(hits->count, count, "seed %zu: %zu hits instead of %zu", (size_t)seed, hits->count,
                 count);
    for (size_t i = 0; i < count; i++) {
        const struct segment_hit *hit = &hits->hits[i];
        cr_assert(hit->approximate == expected[i].score, "seed %zu, rank %zu: %a != %a",
                  (size_t)seed, i, hit->approximate, expected[i].score);
        cr_assert(hit->id_length == expected[i].id_length &&
                      memcmp(hit->id, expected[i].id, hit->id_length) == 0,
                  "seed %zu, rank %zu: %.*s instead of %.*s", (size_t)seed, i, (int)hit->id_length,
                  (const char *)hit->id, (int)expected[i].id_length, (const char *)expected[i].id);
    }
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void expect_same_answers(struct model *model, struct segment *segment, uint64_t seed)
{
    static const size_t sizes[] = { 1, 2, 17, 100, 5000 };
    static struct topk_entry expected[IDS];
    size_t r = sizes[vector_random_below(&model->random, 5)];
    size_t nq = 1 + vector_random_below(&model->random, QUERIES);
    struct segment_hits hits[QUERIES];
    struct status st = { 0 };
    struct arena arena;

    arena_init(&arena, 8 << 20);
    cr_assert_eq(segment_search(segment, model->queries, nq, r, NULL, NULL, &arena, hits, &st),
                 STATUS_OK, "%s", st.message);
    cr_assert_eq(segment_count(segment), model_count(model));
    for (size_t q = 0; q < nq; q++) {
        size_t count = model_search(model, model->queries + q * D, expected);
        expect_hits(&hits[q], expected, least(count, r), seed);
    }
    arena_deinit(&arena);
}

static void check_against_model(uint64_t seed, bool coded)
{
    struct model model = model_new(seed, coded);
    struct segment *segment = segment_new(D, model.codebook);

    for (size_t round = 0; round < 30; round++) {
        random_steps(&model, segment, vector_random_below(&model.random, 800),
                     vector_random_below(&model.random, 11));
        expect_same_answers(&model, segment, seed);
    }
    segment_unref(segment);
    model_free(&model);
}

Test(vector_segment, answers_as_a_sorted_list_would)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        check_against_model(seed, true);
        check_against_model(seed, false);
    }
}

Test(vector_segment, replacing_for_ever_needs_no_more_memory)
{
    struct model model = model_new(21, true);
    struct segment *segment = segment_new(D, model.codebook);
    size_t before;

    for (size_t i = 0; i < IDS; i++)
        put(&model, segment, i, 0);
    before = segment_memory_bytes(segment);
    for (size_t i = 0; i < 20 * IDS; i++)
        put(&model, segment, vector_random_below(&model.random, IDS), i % DISTINCT);
    cr_assert_leq(segment_memory_bytes(segment), 5 * before / 2);
    cr_assert_eq(segment_count(segment), IDS);
    segment_unref(segment);
    model_free(&model);
}

Test(vector_segment, replacing_one_for_ever_needs_no_more_memory)
{
    struct model model = model_new(22, true);
    struct segment *segment = segment_new(D, model.codebook);
    size_t before;

    put(&model, segment, 0, 0);
    before = segment_memory_bytes(segment);
    for (size_t i = 0; i < 10000; i++)
        put(&model, segment, 0, i % DISTINCT);
    cr_assert_leq(segment_memory_bytes(segment), 3 * before);
    cr_assert_eq(segment_count(segment), 1);
    segment_unref(segment);
    model_free(&model);
}

/* Groups that fill up with what has died already must not stay as they are. */
Test(vector_segment, passing_concepts_leave_nothing_behind)
{
    struct model model = model_new(23, true);
    struct segment *segment = segment_new(D, model.codebook);
    struct segment *fresh = segment_new(D, model.codebook);

    for (size_t i = 1; i < IDS; i++) {
        put(&model, fresh, i, 0);
        put(&model, segment, i, 0);
        for (size_t passing = 0; passing < 5; passing++) {
            put(&model, segment, 0, 0);
            segment_remove(segment, model.ids[0], strlen(model.ids[0]));
        }
    }
    cr_assert_eq(segment_count(segment), IDS - 1);
    cr_assert_leq(segment_memory_bytes(segment), 5 * segment_memory_bytes(fresh) / 2);
    segment_unref(segment);
    segment_unref(fresh);
    model_free(&model);
}

/* More ties than a search can keep in its shortlist. */
Test(vector_segment, equal_codes_are_told_apart_by_id)
{
    struct model model = model_new(24, true);
    struct segment *segment = segment_new(D, model.codebook);

    for (size_t i = 0; i < IDS; i++) {
        size_t id = i * 769 % IDS; /* in no order */
        model.vector_of[id] = id % 97 == 0;
        put(&model, segment, id, (size_t)model.vector_of[id]);
    }
    for (size_t round = 0; round < 20; round++)
        expect_same_answers(&model, segment, 24);
    segment_unref(segment);
    model_free(&model);
}

/* ---- splitting ---- */

static void merge(struct segment_hits *parts, size_t count, struct topk *best)
{
    for (size_t s = 0; s < count; s++)
        for (size_t i = 0; i < parts[s].count; i++) {
            const struct segment_hit *hit = &parts[s].hits[i];
            struct topk_entry entry = { hit->approximate, hit->id_length, hit->id, 0 };
            topk_offer(best, &entry);
        }
    topk_sort(best);
}

static void search_split(struct model *model, struct segment **segments, size_t count, size_t r,
                         const struct topk_entry *expected, uint64_t seed)
{
    struct segment_hits parts[MAX_SEGMENTS];
    struct topk_entry storage[IDS];
    struct status st = { 0 };
    struct topk best;
    struct arena arena;
    struct segment_hit merged[IDS];

    arena_init(&arena, 8 << 20);
    for (size_t s = 0; s < count; s++)
        segment_search(segments[s], model->queries, 1, r, NULL, NULL, &arena, &parts[s], &st);
    cr_assert_eq(st.code, STATUS_OK);
    topk_init(&best, storage, r);
    merge(parts, count, &best);
    for (size_t i = 0; i < best.count; i++)
        merged[i] = (struct segment_hit){ storage[i].score, storage[i].id_length, storage[i].id };
    expect_hits(&(struct segment_hits){ merged, best.count }, expected,
                least(model_count(model), r), seed);
    arena_deinit(&arena);
}

static void check_split(uint64_t seed, bool coded, size_t count)
{
    static struct topk_entry expected[IDS];
    struct model model = model_new(seed, coded);
    struct segment *segments[MAX_SEGMENTS];

    for (size_t s = 0; s < count; s++)
        segments[s] = segment_new(D, model.codebook);
    for (size_t i = 0; i < IDS; i++) {
        model.vector_of[i] = (int)vector_random_below(&model.random, DISTINCT);
        put(&model, segments[vector_random_below(&model.random, count)], i,
            (size_t)model.vector_of[i]);
    }
    model_search(&model, model.queries, expected);
    search_split(&model, segments, count, 1, expected, seed);
    search_split(&model, segments, count, 100, expected, seed);
    search_split(&model, segments, count, IDS, expected, seed);
    for (size_t s = 0; s < count; s++)
        segment_unref(segments[s]);
    model_free(&model);
}

Test(vector_segment, answers_do_not_depend_on_the_split)
{
    for (size_t count = 1; count <= MAX_SEGMENTS; count *= 2) {
        check_split(30 + count, true, count);
        check_split(30 + count, false, count);
    }
}

/* ---- files ---- */

static void temporary_path(char path[64])
{
    int fd;

    strcpy(path, "/tmp/vector-segment-XXXXXX");
    fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
}

static struct segment *reload(struct model *model, struct segment *segment, const char *path)
{
    struct segment *loaded = NULL;
    struct status st = { 0 };

    cr_assert_eq(segment_save(segment, path, 77, &st), STATUS_OK, "%s", st.message);
    cr_assert_eq(segment_load(path, D, model->codebook, 77, &loaded, &st), STATUS_OK, "%s",
                 st.message);
    segment_unref(segment);
    return loaded;
}

static void check_reload(uint64_t seed, bool coded)
{
    struct model model = model_new(seed, coded);
    struct segment *segment = segment_new(D, model.codebook);
    char path[64];

    temporary_path(path);
    for (size_t round = 0; round < 12; round++) {
        segment = reload(&model, segment, path);
        expect_same_answers(&model, segment, seed);
        random_steps(&model, segment, vector_random_below(&model.random, 900),
                     vector_random_below(&model.random, 11));
        expect_same_answers(&model, segment, seed);
    }
    unlink(path);
    segment_unref(segment);
    model_free(&model);
}

Test(vector_segment, is_the_same_after_saving_and_loading)
{
    for (uint64_t seed = 41; seed <= 44; seed++) {
        check_reload(seed, true);
        check_reload(seed, false);
    }
}

struct file {
    char path[64];
    uint8_t *bytes;
    size_t size;
};

static struct file file_of(struct segment *segment)
{
    struct file file;
    struct status st = { 0 };
    int fd;

    temporary_path(file.path);
    cr_assert_eq(segment_save(segment, file.path, 77, &st), STATUS_OK, "%s", st.message);
    fd = open(file.path, O_RDONLY);
    file.size = (size_t)lseek(fd, 0, SEEK_END);
    file.bytes = malloc(file.size);
    cr_assert_eq(pread(fd, file.bytes, file.size, 0), (ssize_t)file.size);
    close(fd);
    return file;
}

static void file_free(struct file *file)
{
    unlink(file->path);
    free(file->bytes);
}

static void overwrite(const struct file *file, const uint8_t *bytes, size_t size)
{
    int fd = open(file->path, O_WRONLY | O_TRUNC);

    cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

/* Loads it; if that works, it must stand a search and a write. */
static enum status_code try(struct model *model, const char *path)
{
    struct segment *segment = NULL;
    struct status st = { 0 };
    struct segment_hits hits;
    struct arena arena;
    enum status_code code = segment_load(path, D, model->codebook, 77, &segment, &st);

    cr_assert((segment != NULL) == (code == STATUS_OK));
    if (segment == NULL)
        return code;
    arena_init(&arena, 8 << 20);
    status_clear(&st);
    cr_assert_eq(segment_search(segment, model->queries, 1, 10, NULL, NULL, &arena, &hits, &st),
                 STATUS_OK);
    put(model, segment, 0, 0);
    arena_deinit(&arena);
    segment_unref(segment);
    return code;
}

static struct file small_file(struct model *model)
{
    struct segment *segment = segment_new(D, model->codebook);
    struct file file;

    for (size_t i = 0; i < 300; i++)
        put(model, segment, i, i % DISTINCT);
    file = file_of(segment);
    segment_unref(segment);
    return file;
}

static void check_damage(uint64_t seed, bool coded)
{
    struct model model = model_new(seed, coded);
    struct file file = small_file(&model);

    for (size_t i = 0; i < file.size;
         i += i < 140 ? 1 : 1 + vector_random_below(&model.random, 30)) {
        uint8_t bit = (uint8_t)(1 << vector_random_below(&model.random, 8));
        file.bytes[i] ^= bit;
        overwrite(&file, file.bytes, file.size);
        cr_assert_neq(try(&model, file.path), STATUS_OK, "byte %zu of %zu", i, file.size);
        file.bytes[i] ^= bit;
    }
    for (size_t size = 0; size < file.size; size += 1 + vector_random_below(&model.random, 500)) {
        overwrite(&file, file.bytes, size);
        cr_assert_eq(try(&model, file.path), STATUS_DATA_LOSS, "cut to %zu", size);
    }
    overwrite(&file, file.bytes, file.size);
    cr_assert_eq(try(&model, file.path), STATUS_OK);
    file_free(&file);
    model_free(&model);
}

Test(vector_segment, every_damaged_byte_is_noticed)
{
    check_damage(51, true);
    check_damage(52, false);
}

static uint64_t read_u64(const uint8_t *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof value);
    return value;
}

static void forge_checksums(uint8_t *bytes, size_t size)
{
    for (size_t at = 48; at < 120; at += 24) {
        uint64_t offset = read_u64(bytes + at);
        uint64_t length = read_u64(bytes + at + 8);
        uint64_t sum;
        if (offset > size || length > size - offset)
            continue;
        sum = XXH3_64bits(bytes + offset, length);
        memcpy(bytes + at + 16, &sum, sizeof sum);
    }
    uint64_t sum = XXH3_64bits(bytes, 120);
    memcpy(bytes + 120, &sum, sizeof sum);
}

/* Header fields, id lengths and ids are where a wrong byte with a right checksum could do harm. */
static void mutate(struct model *model, uint8_t *bytes, size_t size)
{
    size_t changes = 1 + vector_random_below(&model->random, 3);

    for (size_t i = 0; i < changes; i++) {
        bool in_header = vector_random_below(&model->random, 2) == 0;
        size_t at = in_header ? 12 + vector_random_below(&model->random, 108)
                              : 4096 + vector_random_below(&model->random, size - 4096);
        bytes[at] = (uint8_t)vector_random_next(&model->random);
    }
}

static void check_forgery(uint64_t seed, bool coded)
{
    struct model model = model_new(seed, coded);
    struct file file = small_file(&model);
    uint8_t *bytes = malloc(file.size);

    for (size_t i = 0; i < 1500; i++) {
        memcpy(bytes, file.bytes, file.size);
        mutate(&model, bytes, file.size);
        forge_checksums(bytes, file.size);
        overwrite(&file, bytes, file.size);
        try(&model, file.path);
    }
    free(bytes);
    file_free(&file);
    model_free(&model);
}

Test(vector_segment, forged_files_do_no_harm)
{
    check_forgery(61, true);
    check_forgery(62, false);
}

static uint8_t *bytes_in(const struct file *file, const char *text)
{
    return memmem(file->bytes, file->size, text, strlen(text));
}

Test(vector_segment, a_forged_file_with_a_repeated_id_is_refused)
{
    struct model model = model_new(63, true);
    struct file file = small_file(&model);

    memcpy(bytes_in(&file, "concept-200"), "concept-100", 11);
    forge_checksums(file.bytes, file.size);
    overwrite(&file, file.bytes, file.size);
    cr_assert_eq(try(&model, file.path), STATUS_DATA_LOSS);
    file_free(&file);
    model_free(&model);
}

/* The ids end where the mapping ends: a length beyond would be read from nowhere. */
Test(vector_segment, a_forged_file_whose_last_id_is_too_long_is_refused)
{
    struct model model = model_new(64, true);
    struct segment *segment = segment_new(D, model.codebook);
    struct status st = { 0 };
    struct file file;
    char id[255];

    for (size_t i = 0; i < 17; i++) {
        memset(id, 'a' + (int)i, sizeof id);
        segment_put(segment, id, i < 16 ? 255 : 16, NULL, model.codes[0], &st);
    }
    cr_assert_eq(st.code, STATUS_OK);
    file = file_of(segment);
    cr_assert_eq(file.size % 4096, 0);
    file.bytes[4096 + 48 * 256 + 16] = 255; /* behind one group of codes: the last length */
    forge_checksums(file.bytes, file.size);
    overwrite(&file, file.bytes, file.size);
    cr_assert_eq(try(&model, file.path), STATUS_DATA_LOSS);
    segment_unref(segment);
    file_free(&file);
    model_free(&model);
}
