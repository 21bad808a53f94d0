#include "shard/index.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/log/log.h"
#include "src/serve/limits.h"
#include "src/vector/refine.h"
#include "tests/property/vector_data.h"
#include "tests/support/store_fixture.h"

enum {
    D = LIMIT_DIMENSION,
    ROW_BYTES = REFINE_SCALE_BYTES + D,
    N = 600,
    K = 20,
    MORE = 400,
    CELLS = 32,
};

static const uint64_t SEED = 0x5EED;

/* An index over a store, as a shard has them. */
struct fixture {
    char folder[64];
    char store_path[96];
    char segment_path[96];
    struct store *store;
    struct index *index;
    struct arena arena;
    float *units; /* [N + MORE][D] */
    size_t row_budget_bytes;
    struct row_policy rows;
};

static void open_all(struct fixture *f)
{
    struct status st = { 0 };
    struct store_options options = { .path = f->store_path, .on_vector = index_on_vector };

    const struct index_options index_options = { .segment_path = f->segment_path,
                                                 .rows = f->rows,
                                                 .row_budget_bytes = f->row_budget_bytes };

    cr_assert_eq(index_new(&index_options, &f->index, &st), STATUS_OK, "%s", st.message);
    options.context = f->index;
    cr_assert_eq(store_open(&options, &f->store, &st), STATUS_OK, "%s", st.message);
    cr_assert_eq(index_open(f->index, f->store, &st), STATUS_OK, "%s", st.message);
}

static void close_all(struct fixture *f)
{
    store_close(f->store);
    index_free(f->index);
}

static void save(struct fixture *f)
{
    struct status st = { 0 };

    cr_assert_eq(index_save(f->index, &st), STATUS_OK, "%s", st.message);
}

static void set_up(struct fixture *f)
{
    struct vector_random random = { SEED };

    *f = (struct fixture){ .row_budget_bytes = SIZE_MAX, .rows = { REFINE_INT8, true } };
    temp_folder_make(f->folder);
    snprintf(f->store_path, sizeof f->store_path, "%s/store", f->folder);
    snprintf(f->segment_path, sizeof f->segment_path, "%s/segment", f->folder);
    arena_init(&f->arena, SIZE_MAX);
    f->units = vector_random_units(&random, N + MORE, D, 30);
    open_all(f);
}

static void tear_down(struct fixture *f)
{
    store_fixture_verify(f->store);
    close_all(f);
    free(f->units);
    arena_deinit(&f->arena);
    temp_folder_remove(f->store_path);
    temp_folder_remove(f->folder);
}

/* ---- Writing ---- */

/* The code of a row, from whichever side of an install. */
static void encode(const struct codebook *codebook, const void *row, uint8_t *ret_code)
{
    int8_t scratch[D];

    codebook_encode(codebook, refine_values(REFINE_INT8, row, D, scratch), D, 1, ret_code, NULL,
                    NULL);
}

/* Concept "c<@number>" with the vector @unit, encoded with the codebook in force, as a shard does.
 */
static void write_vector(struct fixture *f, size_t number, const float *unit)
{
    uint8_t row[ROW_BYTES];
    struct store_vector vector;
    struct store_write_result result;
    struct arena arena;
    struct status st = { 0 };
    char id[16];

    snprintf(id, sizeof id, "c%zu", number);
    struct store_write write = item(id, "text");
    write.vector = &vector;
    arena_init(&arena, SIZE_MAX);
    refine_encode(REFINE_INT8, unit, D, row);
    index_encode(f->index, row, 1, &arena, &vector, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    store_write(f->store, &write, 1, false, &result, &st);
    arena_deinit(&arena);
    cr_assert(st.code == STATUS_OK && result.status.code == STATUS_OK, "%s%s", st.message,
              result.status.message);
}

static void write_range(struct fixture *f, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        write_vector(f, i, f->units + i * D);
}

static void delete_one(struct fixture *f, size_t number)
{
    struct status st = { 0 };
    bool existed = false;
    char text[16];

    snprintf(text, sizeof text, "c%zu", number);
    struct concept_id id = id_of(text);
    store_delete(f->store, &id, (struct store_condition){ 0 }, false, &existed, &st);
    cr_assert(st.code == STATUS_OK && existed, "%s", st.message);
}

/* A trained codebook's bytes; the caller owns them. */
static struct buf codebook_bytes(uint64_t version)
{
    struct vector_random random = { version };
    const struct codebook_train_options options = {
        .seed = version, .iterations = 3, .version = version, .cells = CELLS
    };
    float *samples = vector_random_units(&random, N, D, 20);
    struct codebook *codebook = NULL;
    struct buf bytes = { 0 };
    struct status st = { 0 };

    cr_assert_eq(codebook_train(samples, N, D, &options, &codebook, &st), STATUS_OK, "%s",
                 st.message);
    codebook_serialize(codebook, &bytes);
    codebook_unref(codebook);
    free(samples);
    cr_assert_not(bytes.failed);
    return bytes;
}

static enum status_code install(struct fixture *f, const struct buf *bytes, uint64_t expected,
                                struct status *st)
{
    *st = (struct status){ 0 };
    const struct index_install install = {
        .bytes = bytes->data, .size = bytes->size, .compare = true, .expected_version = expected
    };

    return index_install(f->index, &install, st);
}

/* What the codebook's version says of the segment that is searched. */
static void change_over(struct fixture *f, uint64_t version)
{
    struct status st = { 0 };

    cr_assert_eq(index_switch(f->index, version, &st), STATUS_OK, "%s", st.message);
    index_retire(f->index, version);
}

static void install_version(struct fixture *f, uint64_t version, uint64_t expected)
{
    struct buf bytes = codebook_bytes(version);
    struct status st;

    cr_assert_eq(install(f, &bytes, expected, &st), STATUS_OK, "%s", st.message);
    change_over(f, version);
    buf_deinit(&bytes);
}

/* ---- Looking ---- */

static struct segment_hits search(struct fixture *f, const float *query, size_t r)
{
    struct segment *segment = index_segment(f->index, 0);
    const struct segment_search options = { .r = r };
    struct segment_hits hits = { 0 };
    struct status st = { 0 };

    segment_search(segment, query, 1, &options, &f->arena, &hits, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    segment_unref(segment);
    return hits;
}

static size_t count(struct fixture *f)
{
    return index_stats(f->index).segment.count;
}

static bool contains(struct fixture *f, size_t number)
{
    struct segment *segment = index_segment(f->index, 0);
    char text[16];
    bool found;

    snprintf(text, sizeof text, "c%zu", number);
    const struct segment_id id = { text, strlen(text) };
    segment_find(segment, &id, 1, &found);
    segment_unref(segment);
    return found;
}

static void expect_same_hits(struct segment_hits a, struct segment_hits b)
{
    cr_assert_eq(a.count, b.count);
    for (size_t i = 0; i < a.count; i++) {
        cr_assert_eq(a.hits[i].approximate, b.hits[i].approximate, "place %zu", i);
        cr_assert_eq(a.hits[i].id_length, b.hits[i].id_length, "place %zu", i);
        cr_assert_eq(memcmp(a.hits[i].id, b.hits[i].id, a.hits[i].id_length), 0, "place %zu", i);
    }
}

/* Every vector of the store has the code of @version, made from its row as it is now, and stands
 * in the segment with the score that this code has. */
struct comparison {
    struct fixture *f;
    struct codebook *codebook;
    struct codebook_query query;
    struct segment_hits hits; /* of all */
    size_t count;
};

static const struct segment_hit *find_hit(const struct segment_hits *hits,
                                          const struct concept_id *id)
{
    for (size_t i = 0; i < hits->count; i++)
        if (hits->hits[i].id_length == id->length &&
            memcmp(hits->hits[i].id, id->data, id->length) == 0)
            return &hits->hits[i];
    return NULL;
}

static bool compare_one(void *context, const struct concept_id *id,
                        const struct store_vector *vector)
{
    struct comparison *c = context;
    const struct segment_hit *hit = find_hit(&c->hits, id);
    uint8_t code[CODEBOOK_CODE_BYTES];

    encode(c->codebook, vector->refinement, code);
    cr_assert_not_null(hit, "%.*s is not found", (int)id->length, id->data);
    cr_assert_eq(hit->approximate, codebook_query_score(&c->query, code), "%.*s", (int)id->length,
                 id->data);
    c->count++;
    return true;
}

/* The segment is what the store and the codebook in force say, for every vector. */
static void expect_encoded(struct fixture *f)
{
    struct comparison c = { .f = f, .codebook = index_codebook(f->index) };
    struct status st = { 0 };

    cr_assert_not_null(c.codebook);
    codebook_query_init(&c.query, c.codebook, f->units);
    c.hits = search(f, f->units, 10 * (N + MORE));
    cr_assert_eq(store_scan_vectors(f->store, compare_one, &c, &st), STATUS_OK, "%s", st.message);
    cr_expect_eq(c.count, c.hits.count);
    cr_expect_eq(index_stats(f->index).segment.count, c.count);
    codebook_unref(c.codebook);
}

static bool has_version(void *context, const struct concept_id *id,
                        const struct store_vector *vector)
{
    cr_assert_eq(vector->codebook_version, *(uint64_t *)context, "%.*s", (int)id->length, id->data);
    return true;
}

static void expect_stored_version(struct fixture *f, uint64_t version)
{
    struct status st = { 0 };

    cr_assert_eq(store_scan_vectors(f->store, has_version, &version, &st), STATUS_OK, "%s",
                 st.message);
}

/* ---- Without a codebook ---- */

static size_t number_of(const struct segment_hit *hit)
{
    char id[16] = "";

    memcpy(id, hit->id, hit->id_length);
    return strtoul(id + 1, NULL, 10);
}

Test(index, writes_are_followed)
{
    struct fixture f;

    set_up(&f);
    cr_expect_eq(count(&f), 0);
    write_range(&f, 0, 10);
    cr_expect_eq(count(&f), 10);
    cr_expect(contains(&f, 3));
    delete_one(&f, 3);
    cr_expect_eq(count(&f), 9);
    cr_expect_not(contains(&f, 3));
    cr_expect_null(index_codebook(f.index));
    cr_expect_eq(index_stats(f.index).codebook.version, 0);
    tear_down(&f);
}

Test(index, search_is_exact_over_the_rows_before_there_is_a_codebook)
{
    struct refine_query query;
    struct fixture f;

    set_up(&f);
    write_range(&f, 0, 50);
    write_vector(&f, 7, f.units + 60 * D); /* replaced */
    refine_query_init(&query, REFINE_INT8, f.units + 60 * D, D);
    struct segment_hits hits = search(&f, f.units + 60 * D, 50);
    cr_assert_eq(hits.count, 50);
    cr_expect_eq(memcmp(hits.hits[0].id, "c7", 2), 0);
    for (size_t i = 0; i < hits.count; i++) {
        uint8_t row[ROW_BYTES];
        size_t number = number_of(&hits.hits[i]);
        refine_encode(REFINE_INT8, f.units + (number == 7 ? 60 : number) * D, D, row);
        cr_expect_eq(hits.hits[i].approximate, refine_score(&query, row), "c%zu", number);
    }
    tear_down(&f);
}

/* ---- Installing a codebook ---- */

Test(index, a_codebook_reencodes_every_vector)
{
    struct fixture f;

    set_up(&f);
    write_range(&f, 0, N);
    install_version(&f, 1, 0);
    cr_expect_eq(count(&f), N);
    cr_expect_eq(index_stats(f.index).codebook.version, 1);
    expect_stored_version(&f, 1);
    expect_encoded(&f);
    tear_down(&f);
}

/* Rows of the store, best first: what `exact` answers with, and reranking of all must too. */
Test(index, candidates_of_everything_hold_the_exact_answer)
{
    struct fixture f;

    set_up(&f);
    write_range(&f, 0, N);
    struct segment_hits exact = search(&f, f.units + N * D, K);
    install_version(&f, 1, 0);
    struct segment_hits all = search(&f, f.units + N * D, N);
    cr_assert_eq(exact.count, K);
    cr_assert_eq(all.count, N);
    for (size_t i = 0; i < exact.count; i++) {
        struct concept_id id = { (const char *)exact.hits[i].id, exact.hits[i].id_length, 0, 0 };
        cr_expect_not_null(find_hit(&all, &id));
    }
    tear_down(&f);
}

Test(index, writes_after_an_install_are_followed_with_codes)
{
    struct fixture f;

    set_up(&f);
    write_range(&f, 0, 20);
    install_version(&f, 1, 0);
    write_range(&f, 20, 40);
    write_vector(&f, 5, f.units + 50 * D);
    delete_one(&f, 6);
    cr_expect_eq(count(&f), 39);
    expect_stored_version(&f, 1);
    expect_encoded(&f);
    tear_down(&f);
}

Test(index, an_install_expects_the_version_in_force)
{
    struct fixture f;
    struct status st;
    struct buf second = codebook_bytes(2);
    struct buf third = codebook_bytes(3);

    set_up(&f);
    write_range(&f, 0, 20);
    cr_expect_eq(install(&f, &second, 1, &st), STATUS_ABORTED);
    cr_expect_str_eq(st.message, "codebook version 0 is in force, not 1");
    cr_expect_null(index_codebook(f.index), "nothing happened");
    cr_expect_eq(install(&f, &second, 0, &st), STATUS_OK, "%s", st.message);
    cr_expect_eq(install(&f, &second, 0, &st), STATUS_OK, "again: %s", st.message);
    cr_expect_eq(install(&f, &third, 0, &st), STATUS_ABORTED);
    cr_expect_str_eq(st.message, "codebook version 2 is in force, not 0");
    cr_expect_eq(index_stats(f.index).codebook.version, 0, "not changed over yet");
    change_over(&f, 2);
    cr_expect_eq(index_stats(f.index).codebook.version, 2);
    cr_expect_eq(install(&f, &third, 2, &st), STATUS_OK, "%s", st.message);
    cr_expect_eq(index_stats(f.index).codebook.version, 2);
    change_over(&f, 3);
    cr_expect_eq(index_stats(f.index).codebook.version, 3);
    expect_stored_version(&f, 3);
    expect_encoded(&f);
    tear_down(&f);
    buf_deinit(&second);
    buf_deinit(&third);
}

Test(index, a_codebook_that_is_none_is_refused)
{
    struct codebook *small = vector_random_codebook(1, 192, 1);
    struct buf bytes = codebook_bytes(1);
    struct buf other = { 0 };
    struct fixture f;
    struct status st;

    set_up(&f);
    codebook_serialize(small, &other);
    cr_expect_eq(install(&f, &other, 0, &st), STATUS_INVALID_ARGUMENT, "%s", st.message);
    cr_expect_str_eq(st.message, "the codebook has 192 dimensions, not 384");
    bytes.data[1000] ^= 1;
    cr_expect_eq(install(&f, &bytes, 0, &st), STATUS_DATA_LOSS, "%s", st.message);
    cr_expect_null(index_codebook(f.index));
    tear_down(&f);
    buf_deinit(&bytes);
    buf_deinit(&other);
    codebook_unref(small);
}

Test(index, a_vector_that_is_none_stops_an_install)
{
    static const uint8_t row[10] = { 0 };
    struct store_vector vector = { .refinement = row, .refinement_size = sizeof row };
    struct store_write write = item("damaged", "text");
    struct buf bytes = codebook_bytes(1);
    struct store_write_result result;
    struct fixture f;
    struct status st = { 0 };

    set_up(&f);
    write_range(&f, 0, 20);
    write.vector = &vector;
    cr_assert_eq(store_write(f.store, &write, 1, false, &result, &st), STATUS_OK);
    cr_expect_eq(install(&f, &bytes, 0, &st), STATUS_DATA_LOSS);
    cr_expect_str_eq(st.message, "the vector of 'damaged' is damaged");
    cr_expect_eq(index_stats(f.index).codebook.version, 0, "what was searched still is");
    cr_expect_eq(count(&f), 20);
    tear_down(&f);
    buf_deinit(&bytes);
}

/* ---- Writes while a codebook is being installed ---- */

struct racer {
    struct fixture *f;
    atomic_size_t written; /* [N, this) are written */
    atomic_bool stop;
};

/* New concepts, replaced ones and deleted ones, each number once. */
static void *write_on(void *arg)
{
    struct racer *racer = arg;
    struct fixture *f = racer->f;

    for (size_t i = N; i < N + MORE && !atomic_load(&racer->stop); i++) {
        write_vector(f, i, f->units + i * D);
        write_vector(f, i - N, f->units + i * D);
        if (i % 4 == 0)
            delete_one(f, i);
        atomic_store(&racer->written, i + 1);
    }
    return NULL;
}

static size_t alive(size_t written)
{
    size_t n = written;

    for (size_t i = N; i < written; i++)
        n -= i % 4 == 0;
    return n;
}

Test(index, writes_that_race_with_installs_are_all_found, .timeout = 120)
{
    struct fixture f;
    struct racer racer = { .f = &f };
    pthread_t thread;
    struct buf books[4];
    uint64_t version = 0;

    for (uint64_t v = 0; v < 4; v++)
        books[v] = codebook_bytes(v + 1);
    set_up(&f);
    write_range(&f, 0, N);
    atomic_store(&racer.written, N);
    cr_assert_eq(pthread_create(&thread, NULL, write_on, &racer), 0);
    for (; version < 4; version++) {
        struct status st;
        cr_assert_eq(install(&f, &books[version], version, &st), STATUS_OK, "%s", st.message);
        change_over(&f, version + 1);
    }
    atomic_store(&racer.stop, true);
    pthread_join(thread, NULL);
    cr_expect_eq(count(&f), alive(racer.written));
    expect_encoded(&f);
    tear_down(&f);
    for (uint64_t v = 0; v < 4; v++)
        buf_deinit(&books[v]);
}

/* ---- Across restarts ---- */

static ino_t inode_of(const char *path)
{
    struct stat info;

    cr_assert_eq(stat(path, &info), 0);
    return info.st_ino;
}

/* What it logs, it logs to standard error; here: whether the last open rebuilt the segment. */
static bool rebuilt_when_reopened(struct fixture *f)
{
    char path[128];
    char text[4096] = "";
    int saved = dup(STDERR_FILENO);
    int file;

    snprintf(path, sizeof path, "%s/stderr", f->folder);
    file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    fflush(stderr);
    dup2(file, STDERR_FILENO);
    open_all(f);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    cr_assert_geq(pread(file, text, sizeof text - 1, 0), 0);
    close(file);
    close(saved);
    return strstr(text, "segment_rebuilt") != NULL;
}

static void write_and_install(struct fixture *f, bool with_codebook)
{
    write_range(f, 0, 300);
    if (with_codebook)
        install_version(f, 1, 0);
    delete_one(f, 17);
}

static void expect_saved_segment_is_used(bool with_codebook)
{
    struct fixture f;

    set_up(&f);
    write_and_install(&f, with_codebook);
    struct segment_hits before = search(&f, f.units, 300);
    save(&f);
    ino_t file = inode_of(f.segment_path);
    close_all(&f);
    cr_expect_not(rebuilt_when_reopened(&f));
    expect_same_hits(search(&f, f.units, 300), before);
    cr_expect_eq(index_stats(f.index).codebook.version, with_codebook ? 1 : 0);
    write_range(&f, 300, 310);
    cr_expect_eq(count(&f), 309);
    cr_expect_eq(inode_of(f.segment_path), file, "only saving changes the file");
    tear_down(&f);
}

Test(index, a_saved_segment_is_used_again)
{
    expect_saved_segment_is_used(false);
    expect_saved_segment_is_used(true);
}

static void flip(const char *path, off_t offset)
{
    int file = open(path, O_RDWR);
    uint8_t byte;

    cr_assert_eq(pread(file, &byte, 1, offset), 1);
    byte ^= 0x40;
    cr_assert_eq(pwrite(file, &byte, 1, offset), 1);
    close(file);
}

Test(index, a_damaged_segment_is_rebuilt_with_the_same_answers)
{
    static const off_t offsets[] = { 0, 9, 40, 119, 4096, 4096 + 20000 };
    struct fixture f;

    set_up(&f);
    write_and_install(&f, true);
    struct segment_hits before = search(&f, f.units, 300);
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        save(&f);
        close_all(&f);
        flip(f.segment_path, offsets[i]);
        cr_expect(rebuilt_when_reopened(&f), "byte %ld", (long)offsets[i]);
        expect_same_hits(search(&f, f.units, 300), before);
    }
    tear_down(&f);
}

Test(index, writes_after_the_last_save_are_found_again)
{
    struct fixture f;

    set_up(&f);
    write_and_install(&f, true);
    save(&f);
    write_range(&f, 300, 320);
    write_vector(&f, 1, f.units + 400 * D);
    delete_one(&f, 2);
    struct segment_hits before = search(&f, f.units, 400);
    close_all(&f); /* unsaved, as after a crash */
    cr_expect_not(rebuilt_when_reopened(&f), "the changes are enough");
    expect_same_hits(search(&f, f.units, 400), before);
    expect_encoded(&f);
    tear_down(&f);
}

/* Rows only, too, and with what is saved by itself. */
Test(index, a_file_that_falls_behind_is_written_anew)
{
    struct fixture f;
    ino_t file;

    set_up(&f);
    write_range(&f, 0, N);
    save(&f);
    file = inode_of(f.segment_path);
    for (size_t round = 0; round < 7; round++)
        write_range(&f, 0, N);
    index_maintain(f.index, true);
    cr_expect_neq(inode_of(f.segment_path), file, "7 times as many changes as vectors");
    file = inode_of(f.segment_path);
    delete_one(&f, 3);
    index_maintain(f.index, true);
    cr_expect_eq(inode_of(f.segment_path), file, "one change can wait");
    struct segment_hits before = search(&f, f.units, N);
    close_all(&f);
    cr_expect_not(rebuilt_when_reopened(&f));
    expect_same_hits(search(&f, f.units, N), before);
    tear_down(&f);
}

/* Another store's, say, or one from before a backup was put back. */
Test(index, a_file_whose_changes_are_forgotten_is_not_used)
{
    struct fixture f;
    char old[128];

    set_up(&f);
    write_and_install(&f, true);
    save(&f);
    snprintf(old, sizeof old, "%s/old", f.folder);
    cr_assert_eq(link(f.segment_path, old), 0);
    write_range(&f, 300, 320);
    save(&f);
    struct segment_hits before = search(&f, f.units, 400);
    close_all(&f);
    cr_assert_eq(rename(old, f.segment_path), 0);
    cr_expect(rebuilt_when_reopened(&f));
    expect_same_hits(search(&f, f.units, 400), before);
    tear_down(&f);
}

/* As when a power cut has taken from the store what was not synced. */
Test(index, a_file_of_the_future_is_not_used)
{
    struct fixture f;
    struct status st = { 0 };

    set_up(&f);
    write_and_install(&f, true);
    cr_assert_eq(segment_save(index_segment(f.index, 0), f.segment_path, 1000000, &st), STATUS_OK);
    struct segment_hits before = search(&f, f.units, 300);
    close_all(&f);
    cr_expect(rebuilt_when_reopened(&f));
    cr_expect_neq(access(f.segment_path, F_OK), 0, "nor ever will be");
    expect_same_hits(search(&f, f.units, 300), before);
    tear_down(&f);
}

Test(index, writes_that_race_with_saves_are_all_found_again, .timeout = 120)
{
    struct fixture f;
    struct racer racer = { .f = &f };
    pthread_t thread;

    set_up(&f);
    write_range(&f, 0, N);
    install_version(&f, 1, 0);
    atomic_store(&racer.written, N);
    cr_assert_eq(pthread_create(&thread, NULL, write_on, &racer), 0);
    while (atomic_load(&racer.written) < N + MORE / 2)
        save(&f);
    pthread_join(thread, NULL);
    close_all(&f);
    cr_expect_not(rebuilt_when_reopened(&f));
    cr_expect_eq(count(&f), alive(N + MORE));
    expect_encoded(&f);
    tear_down(&f);
}

Test(index, without_a_file_the_segment_is_made_from_the_store)
{
    struct fixture f;

    set_up(&f);
    write_and_install(&f, true);
    struct segment_hits before = search(&f, f.units, 300);
    close_all(&f);
    cr_expect_not(rebuilt_when_reopened(&f), "a first start is nothing to report");
    expect_same_hits(search(&f, f.units, 300), before);
    tear_down(&f);
}

/* A crash between the new codebook in the store and the last new code. */
Test(index, an_install_that_was_cut_off_is_completed_by_the_next_open)
{
    struct buf bytes = codebook_bytes(2);
    struct fixture f;
    struct status st = { 0 };

    set_up(&f);
    write_and_install(&f, true);
    save(&f);
    cr_assert_eq(store_put_blob(f.store, STORE_CODEBOOK, bytes.data, bytes.size, true, &st),
                 STATUS_OK);
    close_all(&f);
    cr_expect(rebuilt_when_reopened(&f));
    cr_expect_eq(index_stats(f.index).codebook.version, 2);
    expect_stored_version(&f, 1);
    expect_encoded(&f);
    tear_down(&f);
    buf_deinit(&bytes);
}

Test(index, a_follower_takes_what_is_newer_and_nothing_older)
{
    struct buf second = codebook_bytes(2);
    struct buf third = codebook_bytes(3);
    const struct index_install follow_third = { .bytes = third.data, .size = third.size };
    const struct index_install follow_second = { .bytes = second.data, .size = second.size };
    struct fixture f;
    struct status st = { 0 };

    set_up(&f);
    write_range(&f, 0, 20);
    install_version(&f, 1, 0);
    cr_assert_eq(index_install(f.index, &follow_third, &st), STATUS_OK, "%s", st.message);
    change_over(&f, 3);
    cr_expect_eq(index_install(f.index, &follow_second, &st), STATUS_ABORTED);
    cr_expect_str_eq(st.message, "codebook version 3 is in force, which is newer than 2");
    tear_down(&f);
    buf_deinit(&second);
    buf_deinit(&third);
}

/* ---- Two codebooks side by side ---- */

static uint64_t version_searched(struct fixture *f, uint64_t wanted)
{
    struct segment *segment = index_segment(f->index, wanted);
    struct codebook *codebook = segment_codebook(segment);
    uint64_t version = codebook == NULL ? 0 : codebook_info(codebook)->version;

    segment_unref(segment);
    return version;
}

Test(index, both_codebooks_can_be_asked_for_until_one_is_retired)
{
    struct buf second = codebook_bytes(2);
    struct fixture f;
    struct status st;

    set_up(&f);
    write_range(&f, 0, 50);
    install_version(&f, 1, 0);
    cr_assert_eq(install(&f, &second, 1, &st), STATUS_OK, "%s", st.message);
    cr_expect_eq(version_searched(&f, 0), 1, "until told to change over");
    cr_expect_eq(version_searched(&f, 2), 2);
    cr_assert_eq(index_switch(f.index, 2, &st), STATUS_OK, "%s", st.message);
    write_range(&f, 50, 60);
    cr_expect_eq(version_searched(&f, 0), 2);
    cr_expect_eq(version_searched(&f, 1), 1);
    struct segment *old = index_segment(f.index, 1);
    cr_expect_eq(segment_stats(old).count, 60, "the old one still follows the writes");
    segment_unref(old);
    index_retire(f.index, 1);
    cr_expect_eq(version_searched(&f, 1), 1, "only what is searched retires the other");
    index_retire(f.index, 2);
    cr_expect_eq(version_searched(&f, 1), 2);
    cr_expect_eq(index_switch(f.index, 1, &st), STATUS_FAILED_PRECONDITION);
    cr_expect_str_eq(st.message, "codebook version 1 is not installed");
    expect_encoded(&f);
    tear_down(&f);
    buf_deinit(&second);
}

/* ---- Calibration ---- */

static struct buf calibration_bytes(uint64_t version)
{
    const struct calibration_setting setting = {
        .reach = 0.2f, .rerank = 50, .recall = 0.9f, .cost = 1
    };
    struct calibration calibration;
    struct buf bytes = { 0 };

    calibration_fit(&setting, 1, version, 100, &calibration);
    calibration_serialize(&calibration, &bytes);
    return bytes;
}

Test(index, a_calibration_belongs_to_its_codebook_and_outlives_a_restart)
{
    struct buf first = calibration_bytes(1);
    struct buf other = calibration_bytes(7);
    struct fixture f;
    struct status st = { 0 };

    set_up(&f);
    write_range(&f, 0, 50);
    install_version(&f, 1, 0);
    cr_expect_eq(index_calibration(f.index, 1).queries, 0);
    cr_expect_eq(index_calibrate(f.index, other.data, other.size, &st), STATUS_FAILED_PRECONDITION);
    st = (struct status){ 0 };
    cr_assert_eq(index_calibrate(f.index, first.data, first.size, &st), STATUS_OK, "%s",
                 st.message);
    close_all(&f);
    open_all(&f);
    cr_expect_eq(index_calibration(f.index, 1).queries, 100);
    cr_expect_eq(index_calibration(f.index, 2).queries, 0);
    install_version(&f, 2, 1);
    cr_expect_eq(index_calibration(f.index, 1).queries, 0, "went with its codebook");
    tear_down(&f);
    buf_deinit(&first);
    buf_deinit(&other);
}

Test(index, a_calibration_of_another_release_is_dropped)
{
    enum { FORMAT_AT = 8 };
    struct buf bytes = calibration_bytes(1);
    struct fixture f;
    struct status st = { 0 };

    set_up(&f);
    write_range(&f, 0, 50);
    install_version(&f, 1, 0);
    bytes.data[FORMAT_AT] = 1;
    cr_assert_eq(store_put_blob(f.store, STORE_CALIBRATION, bytes.data, bytes.size, true, &st),
                 STATUS_OK);
    close_all(&f);
    open_all(&f);
    cr_expect_eq(index_calibration(f.index, 1).queries, 0);
    tear_down(&f);
    buf_deinit(&bytes);
}

/* ---- What can wait ---- */

Test(index, an_interrupted_install_is_taken_up_after_a_restart)
{
    struct buf bytes = codebook_bytes(1);
    struct fixture f;
    struct status st = { 0 };

    set_up(&f);
    write_range(&f, 0, N);
    index_stop(f.index);
    cr_assert_eq(install(&f, &bytes, 0, &st), STATUS_CANCELLED, "%s", st.message);
    cr_expect_eq(version_searched(&f, 0), 0, "what was searched still is");
    cr_expect_eq(count(&f), N);
    close_all(&f);
    open_all(&f);
    cr_expect_eq(version_searched(&f, 0), 1, "all codes are made when the store is read");
    expect_encoded(&f);
    index_maintain(f.index, false);
    expect_stored_version(&f, 1);
    tear_down(&f);
    buf_deinit(&bytes);
}

Test(index, rows_come_back_after_a_restart_as_far_as_the_budget_goes)
{
    struct fixture f;

    set_up(&f);
    write_range(&f, 0, N);
    install_version(&f, 1, 0);
    cr_expect_eq(index_stats(f.index).segment.rows, N);
    save(&f);
    close_all(&f);
    cr_expect_not(rebuilt_when_reopened(&f));
    cr_expect_eq(index_stats(f.index).segment.rows, 0);
    index_maintain(f.index, false);
    cr_expect_eq(index_stats(f.index).segment.rows, N);
    close_all(&f);
    f.row_budget_bytes = 0;
    open_all(&f);
    index_maintain(f.index, false);
    cr_expect_eq(index_stats(f.index).segment.rows, 0);
    struct segment_hits hits = search(&f, f.units, K);
    cr_assert_eq(hits.count, K);
    cr_expect(isnan(hits.hits[0].refined));
    tear_down(&f);
}

Test(index, drift_compares_what_is_written_with_what_was_trained_on)
{
    struct fixture f;
    float alike;

    set_up(&f);
    install_version(&f, 1, 0);
    write_range(&f, 0, 999);
    cr_expect_eq(index_stats(f.index).drift, 0, "a few vectors say nothing");
    write_range(&f, 999, 1000);
    alike = index_stats(f.index).drift;
    cr_expect(alike > 0, "%g", (double)alike);
    for (size_t i = 0; i < D; i++) {
        float unit[D] = { 0 };
        unit[i] = 1; /* like nothing that was trained on */
        write_vector(&f, i, unit);
    }
    cr_expect(index_stats(f.index).drift > alike, "%g, %g", (double)index_stats(f.index).drift,
              (double)alike);
    tear_down(&f);
}
