/* What is acknowledged as synced: fdatasync() is this file's, and counts. */

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "src/store/store.h"
#include "tests/support/store_fixture.h"

static atomic_int begun;
static atomic_int ended;
static atomic_bool failing;
static atomic_int delay_us;

/* RocksDB's, too: a program's own symbol comes before a library's. */
int fdatasync(int fd)
{
    struct timespec pause = { 0, 1000L * atomic_load(&delay_us) };

    atomic_fetch_add(&begun, 1);
    if (atomic_load(&failing)) {
        errno = EIO;
        return -1;
    }
    nanosleep(&pause, NULL);
    if (syscall(SYS_fdatasync, fd) != 0)
        return -1;
    atomic_fetch_add(&ended, 1);
    return 0;
}

static struct store_fixture f;

static void open_store(void)
{
    store_fixture_open(&f);
}

static void close_store(void)
{
    store_fixture_close(&f);
}

TestSuite(store_sync, .init = open_store, .fini = close_store, .timeout = 60);

static enum status_code write_text(const char *id, bool synced)
{
    struct store_write write = item(id, id);
    struct store_write_result result;
    struct status st = { 0 };

    return store_write(f.store, &write, 1, synced, &result, &st);
}

Test(store_sync, a_synced_write_waits_for_the_disk_and_a_buffered_one_does_not)
{
    int before = atomic_load(&ended);

    write_text("buffered", false);
    cr_assert_eq(atomic_load(&ended), before);
    write_text("synced", true);
    cr_assert_eq(atomic_load(&ended), before + 1);
}

Test(store_sync, what_is_synced_already_is_not_synced_again)
{
    struct status st = { 0 };
    struct concept_id id = id_of("nobody");
    struct store_condition none = { 0 };
    bool existed;
    int before;

    write_text("a", true);
    before = atomic_load(&ended);
    store_delete(f.store, &id, none, true, &existed, &st);
    cr_assert_eq(atomic_load(&ended), before);
}

/* The answer rests on the deletion before it. */
Test(store_sync, a_write_that_changes_nothing_waits_for_what_it_saw)
{
    struct concept_id id = id_of("a");
    struct store_condition none = { 0 };
    struct status st = { 0 };
    bool existed;
    int before;

    write_text("a", true);
    store_delete(f.store, &id, none, false, &existed, &st);
    before = atomic_load(&ended);
    store_delete(f.store, &id, none, true, &existed, &st);
    cr_assert_not(existed);
    cr_assert_eq(atomic_load(&ended), before + 1);
}

static bool owns_nothing(void *context, uint16_t slot)
{
    (void)context;
    (void)slot;
    return false;
}

Test(store_sync, an_association_is_synced_before_it_is_delivered)
{
    struct store_association to_elsewhere = edge("", "elsewhere", 1, "");
    struct store_write write = item("a", "a");
    struct store_write_result result;
    struct store_outbox_entry *entries;
    struct status st = { 0 };
    size_t count;
    int before;

    f.options.owns = owns_nothing;
    store_fixture_reopen(&f);
    write.associations = &to_elsewhere;
    write.association_count = 1;
    store_write(f.store, &write, 1, false, &result, &st);
    before = atomic_load(&ended);
    store_outbox_peek(f.store, 0, 10, &f.arena, &entries, &count, &st);
    cr_assert_eq(st.code, STATUS_OK);
    cr_assert_eq(count, 1);
    cr_assert_eq(atomic_load(&ended), before + 1);
}

/* ---- Many writers ------------------------------------------------------------------------- */

enum { WRITERS = 8, WRITES = 25 };

/* The sync that covers a write begins after the write does. */
static void *write_synced(void *context)
{
    char id[32];

    for (int i = 0; i < WRITES; i++) {
        int begun_before = atomic_load(&begun);
        snprintf(id, sizeof id, "%d/%d", *(const int *)context, i);
        if (write_text(id, true) != STATUS_OK || atomic_load(&ended) <= begun_before)
            return NULL;
    }
    return context;
}

Test(store_sync, writers_share_syncs_and_none_is_answered_before_its_own)
{
    pthread_t threads[WRITERS];
    int numbers[WRITERS];
    void *whole;
    int before = atomic_load(&ended);

    atomic_store(&delay_us, 500);
    for (int i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        pthread_create(&threads[i], NULL, write_synced, &numbers[i]);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], &whole);
        cr_assert_not_null(whole, "writer %d was answered too early", i);
    }
    cr_assert_leq(atomic_load(&ended) - before, WRITERS * WRITES / 2);
}

Test(store_sync, after_a_failed_sync_nothing_counts_as_synced)
{
    atomic_store(&failing, true);
    cr_assert_eq(write_text("lost", true), STATUS_UNAVAILABLE);
    atomic_store(&failing, false);
    cr_assert_neq(write_text("after", true), STATUS_OK);
    store_fixture_reopen(&f);
    cr_assert_eq(write_text("after", true), STATUS_OK);
}
