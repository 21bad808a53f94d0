#include "src/store/id_locks.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 1024, FREE = 0 };

/* The hashes that are locked, in an open-addressing table with linear probing. */
struct id_locks {
    pthread_mutex_t mutex;
    pthread_cond_t released;
    unsigned waiting;
    pthread_cond_t holders_gone;
    unsigned holders[2]; /* sets that are held, or about to be: of an even, of an odd epoch */
    unsigned epoch;
    uint64_t *held;  /* [capacity], FREE where there is none */
    size_t count;    /* at most half of the capacity */
    size_t capacity; /* a power of two */
};

/* ---- Sets --------------------------------------------------------------------------------- */

void id_set_deinit(struct id_set *set)
{
    buf_deinit(&set->hashes);
}

void id_set_add(struct id_set *set, const struct concept_id *id)
{
    const uint64_t hash = id->hash == FREE ? FREE + 1 : id->hash;

    buf_append(&set->hashes, &hash, sizeof hash);
}

static const uint64_t *hashes_of(const struct id_set *set, size_t *ret_count)
{
    *ret_count = set->hashes.size / sizeof(uint64_t);
    return (const uint64_t *)(const void *)set->hashes.data;
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Sorts, and drops what is there twice. */
static void put_in_order(struct id_set *set)
{
    uint64_t *hashes = (uint64_t *)(void *)set->hashes.data;
    size_t n = set->hashes.size / sizeof *hashes;
    size_t kept = 0;

    if (n < 2)
        return;
    qsort(hashes, n, sizeof *hashes, compare);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || hashes[i] != hashes[kept - 1])
            hashes[kept++] = hashes[i];
    set->hashes.size = kept * sizeof *hashes;
}

bool id_set_contains(const struct id_set *set, const struct id_set *subset)
{
    size_t all, n;
    const uint64_t *in = hashes_of(set, &all);
    const uint64_t *of = hashes_of(subset, &n);

    for (size_t i = 0; i < n; i++)
        if (all == 0 || bsearch(&of[i], in, all, sizeof *in, compare) == NULL)
            return false;
    return true;
}

/* ---- Table -------------------------------------------------------------------------------- */

struct id_locks *id_locks_new(void)
{
    struct id_locks *locks = calloc(1, sizeof *locks);
    uint64_t *held = calloc(FIRST_CAPACITY, sizeof *held);

    if (locks == NULL || held == NULL) {
        free(locks);
        free(held);
        return NULL;
    }
    pthread_mutex_init(&locks->mutex, NULL);
    pthread_cond_init(&locks->released, NULL);
    pthread_cond_init(&locks->holders_gone, NULL);
    locks->held = held;
    locks->capacity = FIRST_CAPACITY;
    return locks;
}

void id_locks_free(struct id_locks *locks)
{
    if (locks == NULL)
        return;
    pthread_mutex_destroy(&locks->mutex);
    pthread_cond_destroy(&locks->released);
    pthread_cond_destroy(&locks->holders_gone);
    free(locks->held);
    free(locks);
}

/* A shard sees only some of the low bits, which choose the slot. */
static size_t home_of(const struct id_locks *locks, uint64_t hash)
{
    return (hash >> 20) & (locks->capacity - 1);
}

/* Where @hash is, or the free place that it would take. */
static uint64_t *place_of(const struct id_locks *locks, uint64_t hash)
{
    size_t at = home_of(locks, hash);

    while (locks->held[at] != FREE && locks->held[at] != hash)
        at = (at + 1) & (locks->capacity - 1);
    return &locks->held[at];
}

static bool make_room(struct id_locks *locks)
{
    uint64_t *old = locks->held;
    size_t capacity = locks->capacity;
    uint64_t *held;

    if (2 * (locks->count + 1) <= capacity)
        return true;
    held = calloc(2 * capacity, sizeof *held);
    if (held == NULL)
        return false;
    locks->held = held;
    locks->capacity = 2 * capacity;
    for (size_t i = 0; i < capacity; i++)
        if (old[i] != FREE)
            *place_of(locks, old[i]) = old[i];
    free(old);
    return true;
}

/* Those behind it move up where they would no longer be found. */
static void take_out(struct id_locks *locks, uint64_t hash)
{
    const size_t mask = locks->capacity - 1;
    size_t gap = (size_t)(place_of(locks, hash) - locks->held);

    for (size_t at = (gap + 1) & mask; locks->held[at] != FREE; at = (at + 1) & mask) {
        size_t home = home_of(locks, locks->held[at]);
        if (((at - home) & mask) < ((at - gap) & mask))
            continue;
        locks->held[gap] = locks->held[at];
        gap = at;
    }
    locks->held[gap] = FREE;
    locks->count--;
}

/* ---- Locking ------------------------------------------------------------------------------ */

static bool take_one(struct id_locks *locks, uint64_t hash)
{
    while (*place_of(locks, hash) == hash) {
        locks->waiting++;
        pthread_cond_wait(&locks->released, &locks->mutex);
        locks->waiting--;
    }
    if (!make_room(locks))
        return false;
    *place_of(locks, hash) = hash;
    locks->count++;
    return true;
}

static void release_first(struct id_locks *locks, const uint64_t *hashes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        take_out(locks, hashes[i]);
    if (locks->waiting > 0)
        pthread_cond_broadcast(&locks->released);
}

static void enter(struct id_locks *locks, struct id_set *set)
{
    set->epoch = locks->epoch;
    locks->holders[set->epoch % 2]++;
}

static void leave(struct id_locks *locks, const struct id_set *set)
{
    if (--locks->holders[set->epoch % 2] == 0)
        pthread_cond_broadcast(&locks->holders_gone);
}

enum status_code id_locks_take(struct id_locks *locks, struct id_set *set, struct status *st)
{
    const uint64_t *hashes;
    size_t taken = 0;
    size_t n;

    put_in_order(set);
    hashes = hashes_of(set, &n);
    pthread_mutex_lock(&locks->mutex);
    enter(locks, set);
    while (taken < n && !set->hashes.failed && take_one(locks, hashes[taken]))
        taken++;
    if (taken < n || set->hashes.failed) {
        release_first(locks, hashes, taken);
        leave(locks, set);
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    pthread_mutex_unlock(&locks->mutex);
    return st->code;
}

void id_locks_release(struct id_locks *locks, const struct id_set *set)
{
    size_t n;
    const uint64_t *hashes = hashes_of(set, &n);

    pthread_mutex_lock(&locks->mutex);
    release_first(locks, hashes, n);
    leave(locks, set);
    pthread_mutex_unlock(&locks->mutex);
}

static void wait_until_none(struct id_locks *locks, unsigned epoch)
{
    while (locks->holders[epoch % 2] > 0)
        pthread_cond_wait(&locks->holders_gone, &locks->mutex);
}

/* Those who come now are counted elsewhere, so that the wait ends however busy the store is. */
void id_locks_wait(struct id_locks *locks)
{
    unsigned before;

    pthread_mutex_lock(&locks->mutex);
    wait_until_none(locks, locks->epoch + 1); /* someone else's wait */
    before = locks->epoch++;
    wait_until_none(locks, before);
    pthread_mutex_unlock(&locks->mutex);
}
