#include "src/vector/segment.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/property/vector_data.h"
#include "tests/support/alloc_fault.h"

enum { D = 192, ROW = 4 + D, MANY = 700, GROUP = 256 };

/* The linker sends this here too; it fails when a malloc at its place would. */
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    void *probe = malloc(1);

    free(probe);
    return probe != NULL ? __real_aligned_alloc(alignment, size) : NULL;
}

/* A unit vector along one axis as a row; also a code, good enough where scores do not matter. */
static void axis_row(size_t axis, uint8_t row[ROW])
{
    float unit[D] = { 0 };

    unit[axis % D] = 1;
    refine_encode(REFINE_INT8, unit, D, row);
}

static struct segment *segment_of(struct codebook *codebook)
{
    struct segment_options options = {
        .dimension = D,
        .codebook = codebook,
        .row_budget_bytes = 1 << 30,
    };

    return segment_new(&options);
}

static enum status_code put_number(struct segment *segment, uint32_t number, struct status *st)
{
    uint8_t row[ROW];

    axis_row(number, row);
    return segment_put(segment, &number, sizeof number, row, row, 0, st);
}

static bool is_there(struct segment *segment, const void *id, size_t length)
{
    bool found;

    return segment_find(segment, &(struct segment_id){ id, length }, 1, &found) == 1;
}

static void fill(struct segment *segment, uint32_t count)
{
    struct status st = { 0 };

    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(put_number(segment, i, &st), STATUS_OK, "%s", st.message);
}

static enum status_code search_axis(struct segment *segment, size_t axis, size_t r,
                                    struct arena *arena, struct segment_hits *hits)
{
    struct status st = { 0 };
    float query[D] = { 0 };

    query[axis] = 1;
    return segment_search(segment, query, 1, &(struct segment_search){ .r = r }, arena, hits, &st);
}

Test(vector_segment_unit, an_empty_one_finds_nothing)
{
    struct segment *segment = segment_of(NULL);
    struct segment_hits hits = { .count = 7 };
    struct arena arena;

    arena_init(&arena, 1 << 16);
    cr_assert_eq(search_axis(segment, 0, 10, &arena, &hits), STATUS_OK);
    cr_assert_eq(hits.count, 0);
    cr_assert_eq(segment_stats(segment).count, 0);
    cr_assert_null(segment_codebook(segment));
    arena_deinit(&arena);
    segment_unref(segment);
    segment_unref(NULL);
}

Test(vector_segment_unit, asking_for_nothing_gives_nothing)
{
    struct segment *segment = segment_of(NULL);
    struct segment_hits hits = { .count = 7 };
    struct arena arena;

    arena_init(&arena, 1 << 16);
    fill(segment, 3);
    cr_assert_eq(search_axis(segment, 0, 0, &arena, &hits), STATUS_OK);
    cr_assert_eq(hits.count, 0);
    arena_deinit(&arena);
    segment_unref(segment);
}

Test(vector_segment_unit, a_put_replaces_and_a_remove_removes)
{
    struct segment *segment = segment_of(NULL);
    struct segment_hits hits;
    struct arena arena;
    struct status st = { 0 };
    uint8_t row[ROW];

    arena_init(&arena, 1 << 16);
    axis_row(1, row);
    cr_assert_eq(segment_put(segment, "a", 1, row, NULL, 0, &st), STATUS_OK);
    axis_row(2, row);
    cr_assert_eq(segment_put(segment, "a", 1, row, NULL, 0, &st), STATUS_OK);
    cr_assert_eq(search_axis(segment, 2, 10, &arena, &hits), STATUS_OK);
    cr_assert_eq(hits.count, 1);
    cr_assert_float_eq(hits.hits[0].approximate, 1, 1e-3);
    cr_assert(is_there(segment, "a", 1));
    cr_assert(segment_remove(segment, "a", 1));
    cr_assert_not(segment_remove(segment, "a", 1));
    cr_assert_not(is_there(segment, "a", 1));
    cr_assert_eq(search_axis(segment, 2, 10, &arena, &hits), STATUS_OK);
    cr_assert_eq(hits.count, 0);
    arena_deinit(&arena);
    segment_unref(segment);
}

Test(vector_segment_unit, ids_of_any_length_differ_by_any_byte)
{
    struct segment *segment = segment_of(NULL);
    struct status st = { 0 };
    uint8_t row[ROW];
    char id[40];

    axis_row(1, row);
    memset(id, 'x', sizeof id);
    for (size_t length = 1; length <= sizeof id; length++)
        cr_assert_eq(segment_put(segment, id, length, row, NULL, 0, &st), STATUS_OK);
    cr_assert_eq(segment_stats(segment).count, sizeof id);
    for (size_t length = 1; length <= sizeof id; length++) {
        cr_assert(is_there(segment, id, length));
        for (size_t i = 0; i < length; i++) {
            id[i] = 'y';
            cr_assert_not(is_there(segment, id, length), "length %zu, byte %zu", length, i);
            id[i] = 'x';
        }
    }
    segment_unref(segment);
}

Test(vector_segment_unit, impossible_ids_and_rows_are_refused)
{
    struct segment *segment = segment_of(NULL);
    const float not_a_number = NAN;
    char long_id[256] = { 0 };
    uint8_t row[ROW];
    struct status st = { 0 };

    axis_row(0, row);
    cr_assert_eq(segment_put(segment, "", 0, row, NULL, 0, &st), STATUS_INVALID_ARGUMENT);
    status_clear(&st);
    cr_assert_eq(segment_put(segment, long_id, 256, row, NULL, 0, &st), STATUS_INVALID_ARGUMENT);
    status_clear(&st);
    cr_assert_eq(segment_put(segment, long_id, 255, row, NULL, 0, &st), STATUS_OK);
    memcpy(row, &not_a_number, sizeof not_a_number);
    cr_assert_eq(segment_put(segment, "b", 1, row, NULL, 0, &st), STATUS_INVALID_ARGUMENT);
    cr_assert_eq(segment_stats(segment).count, 1);
    segment_unref(segment);
}

Test(vector_segment_unit, a_cell_that_is_none_is_refused)
{
    struct codebook *codebook = vector_random_codebook(1, D, 1);
    struct segment *segment = segment_of(codebook);
    struct status st = { 0 };
    uint8_t row[ROW];

    axis_row(0, row);
    cr_assert_eq(segment_put(segment, "a", 1, row, row, 1, &st), STATUS_INVALID_ARGUMENT);
    cr_assert_eq(segment_stats(segment).count, 0);
    segment_unref(segment);
    codebook_unref(codebook);
}

Test(vector_segment_unit, a_filter_is_stale_after_a_put_but_not_after_a_removal)
{
    struct segment *segment = segment_of(NULL);
    struct segment_filter *filter;
    struct segment_search options = { .r = 10 };
    struct segment_hits hits = { .count = 7 };
    struct status st = { 0 };
    struct arena arena;
    float query[D] = { 1 };
    uint32_t zero = 0;
    uint32_t one = 1;

    arena_init(&arena, 1 << 16);
    fill(segment, MANY);
    filter = segment_filter_new(segment);
    cr_assert(segment_filter_add(filter, &zero, sizeof zero));
    cr_assert(segment_filter_add(filter, &one, sizeof one));
    cr_assert_not(segment_filter_add(filter, "none", 4));
    segment_remove(segment, &one, sizeof one);
    options.filter = filter;
    cr_assert_eq(segment_search(segment, query, 1, &options, &arena, &hits, &st), STATUS_OK);
    cr_assert_eq(hits.count, 1);
    cr_assert_eq(memcmp(hits.hits[0].id, &zero, sizeof zero), 0);
    hits.count = 7;
    put_number(segment, zero, &st);
    cr_assert_eq(segment_search(segment, query, 1, &options, &arena, &hits, &st), STATUS_ABORTED);
    cr_assert_eq(hits.count, 7);
    segment_filter_free(filter);
    segment_filter_free(NULL);
    arena_deinit(&arena);
    segment_unref(segment);
}

static bool cancel_at(void *polls_left)
{
    return (*(int *)polls_left)-- == 0;
}

Test(vector_segment_unit, a_search_can_be_cancelled_at_any_poll)
{
    struct segment *segment = segment_of(NULL);
    const float query[D] = { 1 };
    enum status_code code = STATUS_CANCELLED;
    int polls = 0;

    fill(segment, 40 * GROUP);
    for (; code == STATUS_CANCELLED; polls++) {
        struct segment_hits hits = { .count = 7 };
        struct status st = { 0 };
        struct arena arena;
        int left = polls;
        arena_init(&arena, 1 << 16);
        struct segment_search options = { .r = 5, .cancelled = cancel_at, .context = &left };
        code = segment_search(segment, query, 1, &options, &arena, &hits, &st);
        cr_assert_eq(hits.count, code == STATUS_OK ? 5 : 7);
        arena_deinit(&arena);
    }
    cr_assert_eq(code, STATUS_OK);
    cr_assert_geq(polls, 3);
    segment_unref(segment);
}

Test(vector_segment_unit, an_arena_that_is_too_small_is_an_error)
{
    struct segment *segment = segment_of(NULL);
    struct segment_hits hits = { .count = 7 };
    struct arena arena;

    fill(segment, MANY);
    arena_init(&arena, 4096);
    cr_assert_eq(search_axis(segment, 0, MANY, &arena, &hits), STATUS_RESOURCE_EXHAUSTED);
    cr_assert_eq(hits.count, 7);
    arena_deinit(&arena);
    segment_unref(segment);
}

Test(vector_segment_unit, puts_survive_every_failed_allocation)
{
    struct segment *segment = segment_of(NULL);
    uint32_t next = 0;

    for (int n = 1; next < MANY; n = n % 5 + 1) {
        struct status st = { 0 };
        alloc_fault_at(n);
        put_number(segment, next, &st);
        if (alloc_fault_clear())
            cr_assert_eq(st.code, STATUS_RESOURCE_EXHAUSTED);
        next += st.code == STATUS_OK;
        cr_assert_eq(segment_stats(segment).count, next);
    }
    segment_unref(segment);
}

/* Replacing and removing, so that groups dissolve, while allocations fail now and then. */
Test(vector_segment_unit, dissolving_survives_failed_allocations)
{
    struct codebook *codebook = vector_random_codebook(1, D, 1);
    struct segment *segment = segment_of(codebook);
    struct vector_random random = { 9 };
    bool present[MANY] = { 0 };
    size_t count = 0;

    for (int i = 0; i < 30000; i++) {
        uint32_t number = (uint32_t)vector_random_below(&random, MANY);
        struct status st = { 0 };
        bool removing = vector_random_below(&random, 3) == 0;
        alloc_fault_at((int)(1 + vector_random_below(&random, 4)));
        if (removing)
            cr_assert_eq(segment_remove(segment, &number, sizeof number), present[number]);
        if (removing || put_number(segment, number, &st) == STATUS_OK)
            present[number] = !removing;
        alloc_fault_clear();
    }
    for (uint32_t number = 0; number < MANY; number++) {
        cr_assert_eq(is_there(segment, &number, sizeof number), present[number]);
        count += present[number];
    }
    cr_assert_eq(segment_stats(segment).count, count);
    segment_unref(segment);
    codebook_unref(codebook);
}

Test(vector_segment_unit, searches_survive_every_failed_allocation)
{
    struct codebook *codebook = vector_random_codebook(1, D, 1);
    struct segment *segment = segment_of(codebook);
    enum status_code code = STATUS_RESOURCE_EXHAUSTED;
    int n = 1;

    fill(segment, MANY);
    for (; code != STATUS_OK; n++) {
        struct segment_hits hits = { .count = 7 };
        struct arena arena;
        arena_init(&arena, 1 << 20);
        alloc_fault_at(n);
        code = search_axis(segment, 3, 600, &arena, &hits);
        cr_assert_eq(alloc_fault_clear(), code == STATUS_RESOURCE_EXHAUSTED);
        cr_assert_eq(hits.count, code == STATUS_OK ? 600 : 7);
        arena_deinit(&arena);
    }
    cr_assert_gt(n, 5);
    segment_unref(segment);
    codebook_unref(codebook);
}

/* ---- files ---- */

struct folder {
    char path[64];
    char file[96];
    char temporary[104];
};

static struct folder folder_new(void)
{
    struct folder folder;

    strcpy(folder.path, "/tmp/vector-segment-XXXXXX");
    cr_assert_not_null(mkdtemp(folder.path));
    snprintf(folder.file, sizeof folder.file, "%s/segment", folder.path);
    snprintf(folder.temporary, sizeof folder.temporary, "%s.tmp", folder.file);
    return folder;
}

static void folder_remove(struct folder *folder)
{
    unlink(folder->file);
    unlink(folder->temporary);
    cr_assert_eq(rmdir(folder->path), 0, "something was left in %s", folder->path);
}

static enum status_code load_as(const char *path, const struct segment_options *options)
{
    struct segment *segment = NULL;
    struct status st = { 0 };
    uint64_t mark;

    segment_load(path, options, &segment, &mark, &st);
    cr_assert((segment != NULL) == (st.code == STATUS_OK));
    segment_unref(segment);
    return st.code;
}

static enum status_code load(const char *path, size_t d, struct codebook *codebook)
{
    struct segment_options options = { .dimension = d, .codebook = codebook };

    return load_as(path, &options);
}

Test(vector_segment_unit, an_empty_one_can_be_saved)
{
    struct folder folder = folder_new();
    struct segment *segment = segment_of(NULL);
    struct status st = { 0 };

    cr_assert_eq(segment_save(segment, folder.file, 1, &st), STATUS_OK, "%s", st.message);
    cr_assert_eq(load(folder.file, D, NULL), STATUS_OK);
    folder_remove(&folder);
    segment_unref(segment);
}

Test(vector_segment_unit, only_the_matching_file_is_loaded)
{
    struct folder folder = folder_new();
    struct codebook *codebook = vector_random_codebook(1, D, 5);
    struct codebook *newer = vector_random_codebook(1, D, 6);
    struct codebook *wider = vector_random_codebook(1, 2 * D, 5);
    struct segment *segment = segment_of(codebook);
    struct status st = { 0 };

    fill(segment, MANY);
    cr_assert_eq(load(folder.file, D, codebook), STATUS_NOT_FOUND);
    cr_assert_eq(segment_save(segment, folder.file, 9, &st), STATUS_OK, "%s", st.message);
    cr_assert_eq(load(folder.file, D, codebook), STATUS_OK);
    cr_assert_eq(load(folder.file, D, newer), STATUS_FAILED_PRECONDITION);
    cr_assert_eq(load(folder.file, 2 * D, wider), STATUS_FAILED_PRECONDITION);
    cr_assert_eq(load(folder.file, D, NULL), STATUS_FAILED_PRECONDITION);
    cr_assert_eq(load_as(folder.file, &(struct segment_options){ .dimension = D,
                                                                 .codebook = codebook,
                                                                 .refine = REFINE_FLOAT16 }),
                 STATUS_FAILED_PRECONDITION);
    folder_remove(&folder);
    segment_unref(segment);
    codebook_unref(codebook);
    codebook_unref(newer);
    codebook_unref(wider);
}

Test(vector_segment_unit, a_newer_format_is_named_as_such)
{
    struct folder folder = folder_new();
    struct segment *segment = segment_of(NULL);
    struct status st = { 0 };
    int fd;

    cr_assert_eq(segment_save(segment, folder.file, 1, &st), STATUS_OK);
    fd = open(folder.file, O_WRONLY);
    cr_assert_eq(pwrite(fd, "\x04", 1, 8), 1);
    close(fd);
    cr_assert_eq(load(folder.file, D, NULL), STATUS_FAILED_PRECONDITION);
    folder_remove(&folder);
    segment_unref(segment);
}

Test(vector_segment_unit, a_file_outlives_its_replacement_while_mapped)
{
    struct folder folder = folder_new();
    struct segment *segment = segment_of(NULL);
    struct segment *loaded = NULL;
    struct segment_hits hits;
    struct arena arena;
    struct status st = { 0 };
    uint64_t mark;

    fill(segment, MANY);
    cr_assert_eq(segment_save(segment, folder.file, 1, &st), STATUS_OK);
    cr_assert_eq(
        segment_load(folder.file, &(struct segment_options){ .dimension = D }, &loaded, &mark, &st),
        STATUS_OK);
    segment_unref(segment);
    segment = segment_of(NULL);
    cr_assert_eq(segment_save(segment, folder.file, 2, &st), STATUS_OK);
    arena_init(&arena, 1 << 20);
    cr_assert_eq(search_axis(loaded, 3, MANY, &arena, &hits), STATUS_OK);
    cr_assert_eq(hits.count, MANY);
    arena_deinit(&arena);
    folder_remove(&folder);
    segment_unref(segment);
    segment_unref(loaded);
}

Test(vector_segment_unit, a_full_disk_leaves_the_old_file_and_nothing_else)
{
    struct folder folder = folder_new();
    struct segment *segment = segment_of(NULL);
    struct status st = { 0 };

    fill(segment, MANY);
    cr_assert_eq(segment_save(segment, folder.file, 1, &st), STATUS_OK);
    cr_assert_eq(symlink("/dev/full", folder.temporary), 0);
    cr_assert_eq(segment_save(segment, folder.file, 2, &st), STATUS_RESOURCE_EXHAUSTED);
    cr_assert_eq(access(folder.temporary, F_OK), -1);
    cr_assert_eq(load(folder.file, D, NULL), STATUS_OK);
    folder_remove(&folder);
    segment_unref(segment);
}

Test(vector_segment_unit, a_missing_folder_is_an_error)
{
    struct segment *segment = segment_of(NULL);
    struct status st = { 0 };

    cr_assert_eq(segment_save(segment, "/tmp/no-such-folder-here/segment", 1, &st),
                 STATUS_NOT_FOUND);
    cr_assert_not_null(strstr(st.message, "no-such-folder-here"));
    segment_unref(segment);
}

Test(vector_segment_unit, files_survive_every_failed_allocation)
{
    struct folder folder = folder_new();
    struct segment *segment = segment_of(NULL);
    struct segment *loaded = NULL;
    bool failed = true;

    fill(segment, MANY);
    for (int n = 1; failed; n++) {
        struct status st = { 0 };
        alloc_fault_at(n);
        segment_save(segment, folder.file, 1, &st);
        failed = alloc_fault_clear();
        cr_assert_eq(failed, st.code != STATUS_OK, "%d: %s", n, st.message);
    }
    failed = true;
    for (int n = 1; failed; n++) {
        struct status st = { 0 };
        uint64_t mark;
        alloc_fault_at(n);
        segment_load(folder.file, &(struct segment_options){ .dimension = D }, &loaded, &mark, &st);
        failed = alloc_fault_clear();
        cr_assert_eq(st.code, failed ? STATUS_RESOURCE_EXHAUSTED : STATUS_OK);
        cr_assert((loaded == NULL) == failed);
    }
    cr_assert_eq(segment_stats(loaded).count, MANY);
    folder_remove(&folder);
    segment_unref(segment);
    segment_unref(loaded);
}
