/*
 * Threads that lock random sets of few ids at once, large sets and small ones, for the thread
 * sanitizer: nobody holds what another holds, and nobody waits for ever.
 */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "src/store/id_locks.h"

enum { THREADS = 4, ROUNDS = 2000, IDS = 400, LARGE = 300, SMALL = 4, TIMEOUT_S = 120 };

static struct id_locks *locks;
static struct concept_id ids[IDS];
static char names[IDS][16];
static int held_by[IDS]; /* not atomic: the locks must do */
static uint64_t taken[IDS];
static atomic_int failures;

static uint64_t random_below(uint64_t *state, uint64_t n)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state % n;
}

static void require(bool holds, const char *what, size_t id)
{
    if (!holds && atomic_fetch_add(&failures, 1) < 10)
        fprintf(stderr, "id %zu: %s\n", id, what);
}

/* The same id may be chosen twice. */
static void lock_some(uint64_t *state, int thread, size_t n)
{
    static const struct id_set none;
    struct id_set set = none;
    struct status st = { 0 };
    size_t chosen[LARGE];

    for (size_t i = 0; i < n; i++) {
        chosen[i] = random_below(state, IDS);
        id_set_add(&set, &ids[chosen[i]]);
    }
    id_locks_take(locks, &set, &st);
    for (size_t i = 0; i < n; i++) {
        require(held_by[chosen[i]] == 0 || held_by[chosen[i]] == thread, "held twice", chosen[i]);
        held_by[chosen[i]] = thread;
        taken[chosen[i]]++;
    }
    sched_yield();
    for (size_t i = 0; i < n; i++)
        held_by[chosen[i]] = 0;
    id_locks_release(locks, &set);
    id_set_deinit(&set);
    require(st.code == STATUS_OK, st.message, 0);
}

static void *lock_much(void *context)
{
    int thread = *(int *)context;
    uint64_t state = (uint64_t)thread * UINT64_C(0x9e3779b97f4a7c15);

    for (int i = 0; i < ROUNDS; i++)
        lock_some(&state, thread, i % 2 == 0 ? LARGE : SMALL);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];
    uint64_t all = 0;

    alarm(TIMEOUT_S);
    locks = id_locks_new();
    for (size_t i = 0; i < IDS; i++)
        ids[i] =
            concept_id_trusted(names[i], (size_t)snprintf(names[i], sizeof names[i], "%zu", i));
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i + 1;
        pthread_create(&threads[i], NULL, lock_much, &numbers[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < IDS; i++)
        all += taken[i];
    require(all == (uint64_t)THREADS * ROUNDS / 2 * (LARGE + SMALL), "a count was lost", 0);
    id_locks_free(locks);
    return atomic_load(&failures) > 0;
}
