/* What is left after kill -9, and what damaged files do. */

#include <criterion/criterion.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/store/store.h"
#include "tests/support/store_fixture.h"

static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

static uint64_t random_u64(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* ---- Kill --------------------------------------------------------------------------------- */

enum { WRITERS = 3, GROUP = 3, KILLS = 10, MAX_ACKS = 1 << 16, ROW_BYTES = 388 };

/* Three concepts in a ring, written in one batch; their texts are in the struct. */
struct group {
    char ids[GROUP][32];
    uint8_t row[ROW_BYTES];
    struct store_vector vector;
    struct store_association edges[GROUP];
    struct store_write writes[GROUP];
};

static void group_make(struct group *group, uint64_t number)
{
    memset(group, 0, sizeof *group);
    for (int i = 0; i < GROUP; i++)
        snprintf(group->ids[i], sizeof group->ids[i], "%llu/%d", (unsigned long long)number, i);
    memset(group->row, (int)(number % 251), ROW_BYTES);
    group->vector = (struct store_vector){ group->row, ROW_BYTES, NULL, 0, NULL };
    for (int i = 0; i < GROUP; i++) {
        group->edges[i] = edge("", group->ids[(i + 1) % GROUP], 1, "next");
        group->writes[i] = item(group->ids[i], group->ids[i]);
        group->writes[i].vector = &group->vector;
        group->writes[i].associations = &group->edges[i];
        group->writes[i].association_count = 1;
    }
}

/* A quarter of the associations is for another shard, and stays in the outbox. */
static bool owns_most(void *context, uint16_t slot)
{
    (void)context;
    return slot % 4 != 0;
}

static struct store *open_or_die(const char *path)
{
    const struct store_options options = { .path = path, .owns = owns_most };
    struct store *store = NULL;
    struct status st = { 0 };

    if (store_open(&options, &store, &st) != STATUS_OK) {
        fprintf(stderr, "%s\n", st.message);
        _exit(3);
    }
    return store;
}

struct writer {
    struct store *store;
    uint64_t first;
    int acks;
};

/* Writes until killed; every number that goes down the pipe was answered OK. */
static void *write_forever(void *context)
{
    struct writer *writer = context;
    struct store_write_result results[GROUP];
    struct group group;

    for (uint64_t number = writer->first;; number += WRITERS) {
        struct status st = { 0 };
        group_make(&group, number);
        if (store_write(writer->store, group.writes, GROUP, true, results, &st) != STATUS_OK ||
            write(writer->acks, &number, sizeof number) != sizeof number)
            _exit(4);
    }
    return NULL;
}

static void run_writers(const char *path, uint64_t first, int acks)
{
    struct store *store = open_or_die(path);
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];

    for (uint64_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){ store, first + i, acks };
        pthread_create(&threads[i], NULL, write_forever, &writers[i]);
    }
    pthread_join(threads[0], NULL);
    _exit(5);
}

static void note_there(void *context, size_t i, const void *data, size_t size)
{
    bool *there = context;

    (void)size;
    there[i] = data != NULL;
}

/* Concepts of a group that are there, each with vector and association; dies of half a concept. */
static int count_whole(struct store *store, uint64_t number)
{
    struct concept_id ids[GROUP];
    struct store_vector vectors[GROUP];
    bool there[GROUP];
    struct status st = { 0 };
    struct group group;
    struct arena arena;
    int found = 0;

    group_make(&group, number);
    arena_init(&arena, SIZE_MAX);
    for (int i = 0; i < GROUP; i++)
        ids[i] = id_of(group.ids[i]);
    store_get_many(store, ids, GROUP, note_there, there, &st);
    store_get_vectors(store, ids, GROUP, &arena, vectors, &st);
    for (int i = 0; i < GROUP; i++) {
        struct store_neighbors_query query = { ids[i], STORE_OUT, 0, 9, { 0 } };
        struct store_neighbors out = { 0 };
        bool here = there[i];

        store_neighbors(store, &query, &arena, &out, &st);
        if (st.code != STATUS_OK || here != (out.count == 1) ||
            here != (vectors[i].refinement_size == ROW_BYTES &&
                     memcmp(vectors[i].refinement, group.row, ROW_BYTES) == 0))
            _exit(6);
        found += here;
    }
    arena_deinit(&arena);
    return found;
}

static void check_whole(const char *path, const uint64_t *acks, size_t n, uint64_t last)
{
    struct store *store = open_or_die(path);
    uint64_t remote = 0;
    struct store_stats stats;
    struct status st = { 0 };

    store_fixture_verify(store);
    for (size_t i = 0; i < n; i++)
        if (count_whole(store, acks[i]) != GROUP)
            _exit(7);
    for (uint64_t number = 0; number < last; number++) {
        struct group group;
        int found = count_whole(store, number);
        group_make(&group, number);
        if (found != 0 && found != GROUP)
            _exit(8);
        for (int i = 0; found != 0 && i < GROUP; i++)
            remote += !owns_most(NULL, id_of(group.ids[(i + 1) % GROUP]).slot);
    }
    if (store_stats(store, &stats, &st) != STATUS_OK || stats.outbox_pending != remote)
        _exit(9);
    store_close(store);
    _exit(0);
}

/* Reads acks until enough have come, kills, reads the rest. */
static size_t kill_after(pid_t child, int pipe_end, size_t enough, uint64_t *acks, size_t n)
{
    size_t goal = n + enough;
    uint64_t ack;

    while (n < MAX_ACKS && read(pipe_end, &ack, sizeof ack) == sizeof ack) {
        acks[n++] = ack;
        if (n == goal)
            kill(child, SIGKILL);
    }
    return n;
}

/* RocksDB's threads do not survive a fork, so this process itself opens no store. */
Test(store_fault, kill_loses_no_answered_write_and_keeps_no_half, .timeout = 120)
{
    static uint64_t acks[MAX_ACKS];
    uint64_t next = 0;
    char path[64];
    size_t n = 0;
    int status;

    temp_folder_make(path);
    for (int round = 0; round < KILLS; round++) {
        pid_t child;
        int ends[2];

        cr_assert_eq(pipe(ends), 0);
        child = fork();
        if (child == 0)
            run_writers(path, next, ends[1]);
        close(ends[1]);
        n = kill_after(child, ends[0], 1 + random_u64() % 100, acks, n);
        close(ends[0]);
        waitpid(child, &status, 0);
        cr_assert(WIFSIGNALED(status), "the writer ended by itself: %d", WEXITSTATUS(status));
        for (size_t i = 0; i < n; i++)
            next = acks[i] + 2 * WRITERS > next ? acks[i] + 2 * WRITERS : next;

        child = fork();
        if (child == 0)
            check_whole(path, acks, n, next);
        waitpid(child, &status, 0);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "round %d, check %d", round,
                  WEXITSTATUS(status));
    }
    cr_assert_geq(n, KILLS);
    temp_folder_remove(path);
}

/* ---- Damage ------------------------------------------------------------------------------- */

enum { CONCEPTS = 300, FLIPS = 60 };

static struct store_fixture f;

static void fill(void)
{
    static uint8_t row[ROW_BYTES];
    const struct store_vector vector = { row, ROW_BYTES, NULL, 0, NULL };
    char content[200];
    char target[32];
    char id[32];

    for (int i = 0; i < CONCEPTS; i++) {
        struct store_association association;
        struct store_write write;
        snprintf(id, sizeof id, "concept %d", i);
        snprintf(target, sizeof target, "concept %d", i / 2);
        snprintf(content, sizeof content, "%d says %llx", i, (unsigned long long)random_u64());
        for (int b = 0; b < ROW_BYTES; b++)
            row[b] = (uint8_t)random_u64();
        association = edge("", target, 1, "half");
        write = item(id, content);
        write.vector = &vector;
        write.associations = &association;
        write.association_count = 1;
        write_one(&f, write);
    }
}

/* Flips a bit pattern somewhere in a file of that ending; the same call again undoes it. */
static void flip(const char *ending, size_t which, double where)
{
    DIR *folder = opendir(f.path);
    struct dirent *entry;
    char path[512];
    FILE *file;
    long size;
    int byte;

    while ((entry = readdir(folder)) != NULL) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot != NULL && strcmp(dot, ending) == 0 && which-- == 0)
            break;
    }
    cr_assert_not_null(entry);
    snprintf(path, sizeof path, "%s/%s", f.path, entry->d_name);
    closedir(folder);
    file = fopen(path, "r+b");
    cr_assert_not_null(file);
    fseek(file, 0, SEEK_END);
    size = ftell(file);
    fseek(file, (long)((double)size * where), SEEK_SET);
    byte = fgetc(file);
    fseek(file, (long)((double)size * where), SEEK_SET);
    fputc(byte ^ 0x5a, file);
    fclose(file);
}

static bool is_honest(enum status_code code)
{
    return code == STATUS_OK || code == STATUS_DATA_LOSS;
}

static bool visit_any(void *context, const struct concept_id *id, const struct store_vector *vector)
{
    (void)context;
    (void)id;
    return vector != NULL;
}

/* Everything that reads; how many calls found damage. */
static int read_everything(struct store *store)
{
    struct store_verify_report report;
    struct text_view *values;
    struct status all[3] = { { 0 } };
    size_t count;
    bool done;
    int losses = 0;

    store_verify(store, NULL, NULL, &report, &all[0]);
    store_list(store, 0, SLOT_COUNT - 1, (struct text_view){ 0 }, CONCEPTS, &f.arena, &values,
               &count, &done, &all[1]);
    store_scan_vectors(store, visit_any, NULL, &all[2]);
    for (int i = 0; i < CONCEPTS; i++) {
        struct store_neighbors_query query;
        struct store_neighbors answer;
        struct store_value value = { 0 };
        struct concept_id id;
        struct status st = { 0 };
        char name[32];

        snprintf(name, sizeof name, "concept %d", i);
        id = id_of(name);
        store_get(store, &id, &value, &st);
        cr_assert(is_honest(st.code), "%s", st.message);
        losses += st.code != STATUS_OK;
        store_value_release(&value);
        query = (struct store_neighbors_query){ id, STORE_IN, 0, 500, { 0 } };
        status_clear(&st);
        store_neighbors(store, &query, &f.arena, &answer, &st);
        cr_assert(is_honest(st.code), "%s", st.message);
        losses += st.code != STATUS_OK;
    }
    for (int i = 0; i < 3; i++) {
        cr_assert(is_honest(all[i].code), "%s", all[i].message);
        losses += all[i].code != STATUS_OK;
    }
    return losses;
}

static size_t count_files(const char *ending)
{
    DIR *folder = opendir(f.path);
    struct dirent *entry;
    size_t count = 0;

    while ((entry = readdir(folder)) != NULL) {
        const char *dot = strrchr(entry->d_name, '.');
        count += dot != NULL && strcmp(dot, ending) == 0;
    }
    closedir(folder);
    return count;
}

/* Read-only rounds: RocksDB writes no table between the two flips of one round. */
Test(store_fault, damaged_tables_are_data_loss_never_a_crash, .timeout = 120)
{
    struct status st = { 0 };
    int losses = 0;

    store_fixture_open(&f);
    fill();
    store_compact(f.store, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    store_close(f.store);
    cr_assert_geq(count_files(".sst"), 4);

    for (int round = 0; round < FLIPS; round++) {
        size_t files = count_files(".sst");
        size_t which = random_u64() % files;
        double where = (double)(random_u64() % 9999) / 10000;

        flip(".sst", which, where);
        status_clear(&st);
        f.store = NULL;
        store_open(&f.options, &f.store, &st);
        cr_assert(is_honest(st.code), "%s", st.message);
        losses += st.code != STATUS_OK;
        if (st.code == STATUS_OK)
            losses += read_everything(f.store);
        store_close(f.store);
        cr_assert_eq(count_files(".sst"), files, "round %d: a table came or went", round);
        flip(".sst", which, where);
        arena_reset(&f.arena);
    }
    cr_expect_gt(losses, FLIPS / 2, "only %d of the damages were noticed", losses);
    f.store = NULL;
    store_fixture_reopen(&f);
    store_fixture_close(&f);
}

Test(store_fault, a_damaged_log_leaves_whole_writes_or_is_refused, .timeout = 120)
{
    for (int round = 0; round < 20; round++) {
        struct status st = { 0 };

        store_fixture_open(&f);
        fill();
        store_close(f.store);
        f.store = NULL;
        flip(".log", 0, (double)(random_u64() % 9999) / 10000);
        store_open(&f.options, &f.store, &st);
        cr_assert(is_honest(st.code), "%s", st.message);
        if (st.code == STATUS_OK)
            store_fixture_verify(f.store);
        store_close(f.store);
        arena_deinit(&f.arena);
        temp_folder_remove(f.path);
    }
}

/* ---- Memory ------------------------------------------------------------------------------- */

Test(store_fault, a_full_arena_fails_reads_and_changes_nothing)
{
    struct store_association association = edge("a", "b", 1, "");
    struct concept_id id = id_of("a");
    struct store_neighbors_query query = { id, STORE_OUT, 0, 10, { 0 } };
    struct store_neighbors answer;
    struct store_association stored;
    struct store_vector vector = { "row", 3, NULL, 0, NULL };
    struct store_write write = item("a", "1");
    struct text_view value;
    struct text_view *values;
    struct store_outbox_entry *entries;
    struct arena small;
    struct status st = { 0 };
    size_t count;
    bool flag;

    store_fixture_open(&f);
    write.vector = &vector;
    write_one(&f, write);
    store_associate(f.store, &association, true, &stored, &flag, &st);
    arena_init(&small, 8);
    store_reinforce_concept(f.store, &id, 1, true, &small, &value, &st);
    cr_expect_eq(st.code, STATUS_RESOURCE_EXHAUSTED);
    cr_expect_eq(read_one(&f, "a").version, 1);
    status_clear(&st);
    store_neighbors(f.store, &query, &small, &answer, &st);
    cr_expect_eq(st.code, STATUS_RESOURCE_EXHAUSTED);
    status_clear(&st);
    store_get_vectors(f.store, &id, 1, &small, &vector, &st);
    cr_expect_eq(st.code, STATUS_RESOURCE_EXHAUSTED);
    status_clear(&st);
    store_list(f.store, 0, SLOT_COUNT - 1, (struct text_view){ 0 }, 5, &small, &values, &count,
               &flag, &st);
    cr_expect_eq(st.code, STATUS_RESOURCE_EXHAUSTED);
    status_clear(&st);
    store_outbox_peek(f.store, 0, 5, &small, &entries, &count, &st);
    cr_expect(st.code == STATUS_RESOURCE_EXHAUSTED || count == 0);
    arena_deinit(&small);
    store_fixture_close(&f);
}
