#define _GNU_SOURCE /* memmem */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "src/vector/segment.h"
#include "tests/property/vector_segment_model.h"

enum { MARK = 77, SMALL = 300, SECTIONS_AT = 56, CHECKED_BYTES = 128, PAGE = 4096 };

static void temporary_path(char path[64])
{
    int fd;

    strcpy(path, "/tmp/vector-segment-XXXXXX");
    fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
}

/* ---- the same again ---- */

static struct segment *reload(struct model *model, struct segment *segment, const char *path)
{
    struct segment_options options = model_options(model);
    struct segment *loaded = NULL;
    struct status st = { 0 };
    uint64_t mark = 0;

    cr_assert_eq(segment_save(segment, path, MARK, &st), STATUS_OK, "%s", st.message);
    cr_assert_eq(segment_load(path, &options, &loaded, &mark, &st), STATUS_OK, "%s", st.message);
    cr_assert_eq(mark, MARK);
    segment_unref(segment);
    for (size_t i = 0; model->kind->coded && i < MODEL_IDS; i++)
        model->has_row[i] = false;
    return loaded;
}

static void check_reload(uint64_t seed, const struct model_kind *kind)
{
    struct model *model = model_new(seed, kind);
    struct segment *segment = model_segment(model);
    char path[64];

    temporary_path(path);
    for (size_t round = 0; round < 12; round++) {
        segment = reload(model, segment, path);
        model_expect_same_answers(model, segment);
        model_steps(model, segment, vector_random_below(&model->random, 900),
                    vector_random_below(&model->random, 11));
        model_expect_same_answers(model, segment);
    }
    unlink(path);
    segment_unref(segment);
    model_free(model);
}

Test(vector_segment_file, is_the_same_after_saving_and_loading)
{
    for (uint64_t seed = 41; seed <= 42; seed++)
        for (size_t i = 0; i < model_kind_count; i++)
            check_reload(seed, &model_kinds[i]);
}

/* ---- damage ---- */

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
    cr_assert_eq(segment_save(segment, file.path, MARK, &st), STATUS_OK, "%s", st.message);
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
    struct segment_options options = model_options(model);
    struct segment_search search = { .r = 10 };
    struct segment *segment = NULL;
    struct status st = { 0 };
    struct segment_hits hits;
    struct arena arena;
    uint64_t mark;
    enum status_code code = segment_load(path, &options, &segment, &mark, &st);

    cr_assert((segment != NULL) == (code == STATUS_OK));
    if (segment == NULL)
        return code;
    arena_init(&arena, 8 << 20);
    status_clear(&st);
    cr_assert_eq(segment_search(segment, model->queries, 1, &search, &arena, &hits, &st),
                 STATUS_OK);
    model_put(model, segment, 0, 0, true);
    arena_deinit(&arena);
    segment_unref(segment);
    return code;
}

static struct file small_file(struct model *model)
{
    struct segment *segment = model_segment(model);
    struct file file;

    for (size_t i = 0; i < SMALL; i++)
        model_put(model, segment, i, i % MODEL_VECTORS, true);
    file = file_of(segment);
    segment_unref(segment);
    return file;
}

static void check_damage(uint64_t seed, const struct model_kind *kind)
{
    struct model *model = model_new(seed, kind);
    struct file file = small_file(model);

    for (size_t i = 0; i < file.size;
         i += i < 140 ? 1 : 1 + vector_random_below(&model->random, file.size / 800)) {
        uint8_t bit = (uint8_t)(1 << vector_random_below(&model->random, 8));
        file.bytes[i] ^= bit;
        overwrite(&file, file.bytes, file.size);
        cr_assert_neq(try(model, file.path), STATUS_OK, "byte %zu of %zu", i, file.size);
        file.bytes[i] ^= bit;
    }
    for (size_t size = 0; size < file.size;
         size += 1 + vector_random_below(&model->random, file.size / 50)) {
        overwrite(&file, file.bytes, size);
        cr_assert_eq(try(model, file.path), STATUS_DATA_LOSS, "cut to %zu", size);
    }
    overwrite(&file, file.bytes, file.size);
    cr_assert_eq(try(model, file.path), STATUS_OK);
    file_free(&file);
    model_free(model);
}

Test(vector_segment_file, every_damaged_byte_is_noticed)
{
    for (size_t i = 0; i < model_kind_count; i++)
        check_damage(51 + i, &model_kinds[i]);
}

static uint64_t read_u64(const uint8_t *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof value);
    return value;
}

static void forge_checksums(uint8_t *bytes, size_t size)
{
    uint64_t sum;

    for (size_t at = SECTIONS_AT; at < CHECKED_BYTES; at += 24) {
        uint64_t offset = read_u64(bytes + at);
        uint64_t length = read_u64(bytes + at + 8);
        if (offset > size || length > size - offset)
            continue;
        sum = XXH3_64bits(bytes + offset, length);
        memcpy(bytes + at + 16, &sum, sizeof sum);
    }
    sum = XXH3_64bits(bytes, CHECKED_BYTES);
    memcpy(bytes + CHECKED_BYTES, &sum, sizeof sum);
}

/* Of a section: groups 0, vectors 1, ids 2. */
static uint8_t *section(const struct file *file, uint8_t *bytes, size_t number)
{
    return bytes + read_u64(file->bytes + SECTIONS_AT + 24 * number);
}

static size_t section_size(const struct file *file, size_t number)
{
    return read_u64(file->bytes + SECTIONS_AT + 24 * number + 8);
}

/* Header fields, groups, id lengths and ids are where a wrong byte with a right checksum could do
 * harm. */
static void mutate(struct model *model, const struct file *file, uint8_t *bytes)
{
    struct vector_random *random = &model->random;
    size_t changes = 1 + vector_random_below(random, 3);

    for (size_t i = 0; i < changes; i++) {
        size_t where = vector_random_below(random, 4);
        uint8_t *at = where == 3 ? bytes + 12 + vector_random_below(random, CHECKED_BYTES - 12)
                                 : section(file, bytes, where) +
                                       vector_random_below(random, section_size(file, where));
        *at = (uint8_t)vector_random_next(random);
    }
}

static void check_forgery(uint64_t seed, const struct model_kind *kind)
{
    struct model *model = model_new(seed, kind);
    struct file file = small_file(model);
    uint8_t *bytes = malloc(file.size);

    for (size_t i = 0; i < 600; i++) {
        memcpy(bytes, file.bytes, file.size);
        mutate(model, &file, bytes);
        forge_checksums(bytes, file.size);
        overwrite(&file, bytes, file.size);
        try(model, file.path);
    }
    free(bytes);
    file_free(&file);
    model_free(model);
}

Test(vector_segment_file, forged_ones_do_no_harm)
{
    for (size_t i = 0; i < model_kind_count; i++)
        check_forgery(61 + i, &model_kinds[i]);
}

/* ---- forgeries one by one ---- */

static void expect_refused(struct model *model, struct file *file)
{
    forge_checksums(file->bytes, file->size);
    overwrite(file, file->bytes, file->size);
    cr_assert_eq(try(model, file->path), STATUS_DATA_LOSS);
}

Test(vector_segment_file, a_forged_one_with_a_repeated_id_is_refused)
{
    struct model *model = model_new(73, &model_kinds[0]);
    struct file file = small_file(model);
    uint8_t *id = memmem(file.bytes, file.size, "concept-200", 11);

    memcpy(id, "concept-100", 11);
    expect_refused(model, &file);
    file_free(&file);
    model_free(model);
}

/* The ids end where the file ends: a length beyond would be read from nowhere. */
Test(vector_segment_file, a_forged_one_whose_last_id_is_too_long_is_refused)
{
    struct model *model = model_new(74, &model_kinds[0]);
    struct file file = small_file(model);
    size_t last = file.size - 1;

    while (file.bytes[last] >= '0')
        last--;
    file.bytes[last]++;
    if ((file.size - last - 1 - file.bytes[last]) % 2 != 0)
        file.bytes[last]++;
    expect_refused(model, &file);
    file_free(&file);
    model_free(model);
}

static void check_record(size_t field, uint32_t value)
{
    struct model *model = model_new(75, &model_kinds[5]);
    struct file file = small_file(model);

    memcpy(section(&file, file.bytes, 0) + 4 * field, &value, sizeof value);
    expect_refused(model, &file);
    file_free(&file);
    model_free(model);
}

Test(vector_segment_file, a_forged_one_with_impossible_groups_is_refused)
{
    check_record(0, 16); /* a cell that is none */
    check_record(0, 15); /* not in order */
    check_record(1, 0);
    check_record(1, 257);
    check_record(1, 1); /* then the sum is wrong */
}
