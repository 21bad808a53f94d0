/*
 * Writers and readers on one store with a record cache that is too small for its concepts, for the
 * thread sanitizer. A read that begins after a write was acknowledged, or after somebody read what
 * it wrote, never gets anything older: whether it comes from the cache or from RocksDB.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/store_fixture.h"

enum {
    CONCEPTS = 400, /* of about 250 bytes: twice what fits */
    HOT = 8,        /* half of all reads and writes are theirs */
    BATCH = 20,
    WRITES = 6000,
    LEAST_READS = 2000,
};

struct stress {
    struct store_fixture fixture;
    char ids[CONCEPTS][16];
    /* The least version that a read beginning now may get; 0: it may be absent. */
    atomic_uint_fast64_t known[CONCEPTS];
    atomic_int writers;
    atomic_int failures;
};

struct worker {
    struct stress *stress;
    uint64_t random;
    unsigned number; /* of a writer: it writes every other concept */
};

static uint64_t random_below(struct worker *worker, uint64_t n)
{
    worker->random ^= worker->random << 13;
    worker->random ^= worker->random >> 7;
    worker->random ^= worker->random << 17;
    return (worker->random >> 11) % n;
}

static size_t random_concept(struct worker *worker)
{
    return random_below(worker, random_below(worker, 2) == 0 ? HOT : CONCEPTS);
}

static void require(struct stress *stress, bool holds, const char *what, size_t i)
{
    if (!holds && atomic_fetch_add(&stress->failures, 1) < 10)
        fprintf(stderr, "not so: %s (concept %zu)\n", what, i);
}

/* ---- Writing ------------------------------------------------------------------------------ */

static void raise(atomic_uint_fast64_t *known, uint64_t version)
{
    uint_fast64_t before = atomic_load(known);

    while (before < version && !atomic_compare_exchange_weak(known, &before, version))
        ;
}

static void *write_much(void *context)
{
    struct worker *worker = context;
    struct stress *stress = worker->stress;
    static const char content[201] = { [0 ... 199] = 'x' };

    for (size_t n = 0; n < WRITES; n++) {
        size_t i = random_concept(worker) / 2 * 2 + worker->number;
        struct store_write write = item(stress->ids[i], content);
        struct store_write_result result;
        struct status st = { 0 };
        store_write(stress->fixture.store, &write, 1, false, &result, &st);
        require(stress, st.code == STATUS_OK && result.status.code == STATUS_OK, "a write succeeds",
                i);
        raise(&stress->known[i], result.version);
    }
    atomic_fetch_sub(&stress->writers, 1);
    return NULL;
}

/* ---- Reading ------------------------------------------------------------------------------ */

static uint64_t version_of(struct stress *stress, size_t i, const void *data, size_t size)
{
    struct concept concept = { 0 };
    struct status st = { 0 };
    struct arena arena;
    bool right;

    arena_init(&arena, SIZE_MAX);
    right = concept_wire_decode(data, size, &arena, &concept, &st) == STATUS_OK &&
            text_is(concept.id, stress->ids[i]);
    require(stress, right, "a read gets the concept it asked for", i);
    arena_deinit(&arena);
    return concept.version;
}

static void check(struct stress *stress, size_t i, uint64_t least, const void *data, size_t size)
{
    uint64_t version = data != NULL ? version_of(stress, i, data, size) : 0;

    require(stress, version >= least, "a read gets nothing older than what was known", i);
    raise(&stress->known[i], version);
}

static void get_one(struct worker *worker)
{
    struct stress *stress = worker->stress;
    size_t i = random_concept(worker);
    struct concept_id id = id_of(stress->ids[i]);
    uint64_t least = atomic_load(&stress->known[i]);
    struct store_value value = { 0 };
    struct status st = { 0 };

    store_get(stress->fixture.store, &id, &value, &st);
    check(stress, i, least, value.data, value.size);
    store_value_release(&value);
}

struct batch {
    struct stress *stress;
    size_t concepts[BATCH];
    struct concept_id ids[BATCH];
    uint64_t least[BATCH];
    size_t visited;
};

static void check_one(void *context, size_t i, const void *data, size_t size)
{
    struct batch *batch = context;

    require(batch->stress, i == batch->visited++, "concepts come in order", batch->concepts[i]);
    check(batch->stress, batch->concepts[i], batch->least[i], data, size);
}

static void get_many(struct worker *worker)
{
    struct batch batch = { .stress = worker->stress };
    struct status st = { 0 };

    for (size_t i = 0; i < BATCH; i++) {
        batch.concepts[i] = random_concept(worker);
        batch.ids[i] = id_of(worker->stress->ids[batch.concepts[i]]);
        batch.least[i] = atomic_load(&worker->stress->known[batch.concepts[i]]);
    }
    store_get_many(worker->stress->fixture.store, batch.ids, BATCH, check_one, &batch, &st);
    require(worker->stress, st.code == STATUS_OK && batch.visited == BATCH, "all are visited", 0);
}

static void *read_much(void *context)
{
    struct worker *worker = context;

    for (size_t n = 0; n < LEAST_READS || atomic_load(&worker->stress->writers) > 0; n++)
        if (n % 2 == 0)
            get_one(worker);
        else
            get_many(worker);
    return NULL;
}

int main(void)
{
    static void *(*const work[])(void *) = { write_much, write_much, read_much, read_much };
    enum { THREADS = sizeof work / sizeof work[0], WRITERS = 2 };
    static struct stress stress;
    struct worker workers[THREADS];
    pthread_t threads[THREADS];

    store_fixture_open(&stress.fixture);
    atomic_store(&stress.writers, WRITERS);
    for (size_t i = 0; i < CONCEPTS; i++)
        snprintf(stress.ids[i], sizeof stress.ids[i], "concept-%zu", i);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){ &stress, i + 1, i };
        pthread_create(&threads[i], NULL, work[i], &workers[i]);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    store_fixture_close(&stress.fixture);
    return atomic_load(&stress.failures) > 0;
}
