#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"
#include "src/vector/segment_impl.h"

/* Both about as long as a thread switch takes. */
enum { READER_TRIES = 2000, WRITER_WAITS = 4000 };

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- the lock ---- */

void segment_lock(struct segment *segment)
{
    for (int i = 0; i < WRITER_WAITS; i++) {
        if (atomic_load_explicit(&segment->waiting_readers, memory_order_relaxed) == 0)
            break;
        pause_briefly();
    }
    pthread_mutex_lock(&segment->lock);
}

/* Sleeping in the mutex would cost more than what the lock is held for. */
void segment_lock_as_reader(struct segment *segment)
{
    if (pthread_mutex_trylock(&segment->lock) == 0)
        return;
    atomic_fetch_add_explicit(&segment->waiting_readers, 1, memory_order_relaxed);
    for (int i = 0; i < READER_TRIES; i++) {
        if (pthread_mutex_trylock(&segment->lock) == 0)
            goto locked;
        pause_briefly();
    }
    pthread_mutex_lock(&segment->lock);
locked:
    atomic_fetch_sub_explicit(&segment->waiting_readers, 1, memory_order_relaxed);
}

/* What was retired before the oldest reader came. */
static void destroy_unknown(struct segment *segment)
{
    uint64_t known =
        segment->oldest_reader != NULL ? segment->oldest_reader->number : segment->retired_ever;

    while (segment->oldest_retired != NULL && segment->oldest_retired->number < known) {
        struct segment_block *block = segment->oldest_retired;
        segment->oldest_retired = block->next;
        block->destroy(segment, block);
    }
    if (segment->oldest_retired == NULL)
        segment->newest_retired = NULL;
}

void segment_unlock(struct segment *segment)
{
    destroy_unknown(segment);
    pthread_mutex_unlock(&segment->lock);
}

void segment_retire(struct segment *segment, struct segment_block *block)
{
    block->next = NULL;
    block->number = segment->retired_ever++;
    if (segment->newest_retired != NULL)
        segment->newest_retired->next = block;
    else
        segment->oldest_retired = block;
    segment->newest_retired = block;
}

/* ---- readers ---- */

void segment_enter(struct segment *segment, struct segment_reader *reader)
{
    *reader = (struct segment_reader){
        .previous = segment->newest_reader,
        .number = segment->retired_ever,
    };
    if (reader->previous != NULL)
        reader->previous->next = reader;
    else
        segment->oldest_reader = reader;
    segment->newest_reader = reader;
}

void segment_leave(struct segment *segment, struct segment_reader *reader)
{
    segment_lock_as_reader(segment);
    if (reader->previous != NULL)
        reader->previous->next = reader->next;
    else
        segment->oldest_reader = reader->next;
    if (reader->next != NULL)
        reader->next->previous = reader->previous;
    else
        segment->newest_reader = reader->previous;
    segment_unlock(segment);
}

/* ---- snapshots ---- */

static bool is_empty(const struct segment_entry *entry)
{
    return (entry->valid[0] | entry->valid[1] | entry->valid[2] | entry->valid[3]) == 0;
}

struct copying {
    const struct segment *segment;
    const struct segment_filter *filter;
    struct segment_snapshot *snapshot;
    size_t count; /* of entries; those beyond the capacity are only counted */
};

static void copy_entry(struct copying *copying, const struct segment_entry *entry)
{
    struct segment_entry filtered = *entry;

    if (copying->filter != NULL) {
        const uint64_t *members = segment_filter_words(copying->filter, entry->index);
        for (size_t word = 0; word < SEGMENT_WORDS; word++)
            filtered.valid[word] &= members[word];
    }
    if (is_empty(&filtered))
        return;
    if (copying->count < copying->snapshot->capacity) {
        copying->snapshot->entries[copying->count] = filtered;
        copying->snapshot->places += SEGMENT_WORD * filtered.words;
    }
    copying->count++;
}

static void copy_cell(struct copying *copying, uint32_t cell)
{
    const struct segment *segment = copying->segment;

    for (uint32_t i = segment->cells[cell].newest; i != SEGMENT_NONE;
         i = segment->directory[i].next)
        copy_entry(copying, &segment->directory[i]);
}

/* The cells' lists lie anywhere: to have them on the way all at once is faster than in turn. */
static void prefetch_cells(const struct segment *segment, const uint32_t *cells, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (segment->cells[cells[i]].newest != SEGMENT_NONE)
            __builtin_prefetch(&segment->directory[segment->cells[cells[i]].newest]);
}

/* How many entries there are to copy; all are copied if that is not beyond the capacity. */
static size_t copy_entries(struct copying *copying, const uint32_t *cells, size_t n,
                           struct segment_run *ret_runs)
{
    const struct segment *segment = copying->segment;

    if (cells == NULL) {
        uint32_t groups = atomic_load(&segment->groups);
        for (uint32_t i = 0; i < groups; i++)
            copy_entry(copying, &segment->directory[i]);
        ret_runs[0] = (struct segment_run){ 0, copying->count };
        return copying->count;
    }
    prefetch_cells(segment, cells, n);
    for (size_t i = 0; i < n; i++) {
        size_t first = copying->count;
        copy_cell(copying, cells[i]);
        ret_runs[i] = (struct segment_run){ first, copying->count - first };
    }
    return copying->count;
}

static bool make_room(struct segment_snapshot *snapshot, size_t entries)
{
    free(snapshot->entries);
    *snapshot = (struct segment_snapshot){
        .entries = aligned_alloc(64, entries * sizeof *snapshot->entries),
        .capacity = entries,
    };
    return snapshot->entries != NULL;
}

/* False: there is not enough room for *@ret_count entries. */
static bool try(struct segment *segment, const uint32_t *cells, size_t n,
                const struct segment_filter *filter, struct segment_snapshot *snapshot,
                struct segment_run *ret_runs, size_t *ret_count, struct status *st)
{
    struct copying copying = { .segment = segment, .filter = filter, .snapshot = snapshot };
    bool done = true;

    snapshot->places = 0;
    segment_lock_as_reader(segment);
    if (filter != NULL && !segment_filter_is_fresh(filter, segment)) {
        status_set(st, STATUS_ABORTED, "concepts moved after the filter was made");
    } else {
        *ret_count = copy_entries(&copying, cells, n, ret_runs);
        done = *ret_count <= snapshot->capacity;
        snapshot->count = *ret_count;
        if (done)
            segment_enter(segment, &snapshot->reader);
    }
    segment_unlock(segment);
    return done;
}

enum status_code segment_snapshot_take(struct segment *segment, const uint32_t *cells, size_t n,
                                       const struct segment_filter *filter,
                                       struct segment_snapshot *snapshot,
                                       struct segment_run *ret_runs, struct status *st)
{
    size_t count = cells != NULL ? 4 * n : atomic_load(&segment->groups);

    snapshot->entries = NULL;
    do {
        if (!make_room(snapshot, count + count / 8 + 1)) /* for those that come meanwhile */
            return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory for a snapshot");
    } while (!try(segment, cells, n, filter, snapshot, ret_runs, &count, st));
    if (st->code != STATUS_OK)
        free(snapshot->entries);
    return st->code;
}

void segment_snapshot_release(struct segment *segment, struct segment_snapshot *snapshot)
{
    segment_leave(segment, &snapshot->reader);
    free(snapshot->entries);
}
