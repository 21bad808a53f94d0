/*
 * One writer and two searchers on one segment, for the thread sanitizer. A search may never miss or
 * repeat a concept that is only ever replaced, whatever the writer is doing.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "src/vector/segment.h"
#include "tests/property/vector_data.h"

enum { D = 48, LASTING = 300, PASSING = 600, STEPS = 20000, LEAST_SEARCHES = 30 };

struct stress {
    struct segment *segment;
    struct codebook *codebook;
    float *units; /* [LASTING + PASSING][D] */
    atomic_bool done;
    atomic_int failures;
};

static void put(struct stress *stress, uint32_t id)
{
    struct status st = { 0 };
    uint8_t row[4 + D];
    uint8_t code[48];

    refine_encode(stress->units + id * D, D, row);
    if (stress->codebook != NULL)
        codebook_encode(stress->codebook, stress->units + id * D, 1, code);
    if (segment_put(stress->segment, &id, sizeof id, row, code, &st) != STATUS_OK)
        atomic_fetch_add(&stress->failures, 1);
}

static void *write_much(void *argument)
{
    struct stress *stress = argument;
    struct vector_random random = { 1 };

    for (int i = 0; i < STEPS; i++) {
        uint32_t passing = (uint32_t)(LASTING + vector_random_below(&random, PASSING));
        switch (vector_random_below(&random, 4)) {
        case 0:
            put(stress, passing);
            break;
        case 1:
            segment_remove(stress->segment, &passing, sizeof passing);
            break;
        default:
            put(stress, (uint32_t)vector_random_below(&random, LASTING));
        }
    }
    atomic_store(&stress->done, true);
    return NULL;
}

static bool each_lasting_once(const struct segment_hits *hits)
{
    uint8_t seen[LASTING + PASSING] = { 0 };
    size_t lasting = 0;

    for (size_t i = 0; i < hits->count; i++) {
        uint32_t id;
        memcpy(&id, hits->hits[i].id, sizeof id);
        if (seen[id]++ > 0)
            return false;
        lasting += id < LASTING;
    }
    return lasting == LASTING;
}

static void *search_much(void *argument)
{
    struct stress *stress = argument;

    for (int i = 0; i < LEAST_SEARCHES || !atomic_load(&stress->done); i++) {
        struct segment_hits hits[2];
        struct status st = { 0 };
        struct arena arena;
        arena_init(&arena, 1 << 20);
        if (segment_search(stress->segment, stress->units, 2, LASTING + PASSING, NULL, NULL, &arena,
                           hits, &st) != STATUS_OK ||
            !each_lasting_once(&hits[0]) || !each_lasting_once(&hits[1]))
            atomic_fetch_add(&stress->failures, 1);
        if (segment_count(stress->segment) < LASTING || segment_memory_bytes(stress->segment) == 0)
            atomic_fetch_add(&stress->failures, 1);
        arena_deinit(&arena);
    }
    return NULL;
}

static int run(struct codebook *codebook)
{
    struct vector_random random = { 2 };
    struct stress stress = {
        .segment = segment_new(D, codebook),
        .codebook = codebook,
        .units = vector_random_units(&random, LASTING + PASSING, D, 20),
    };
    pthread_t threads[3];

    for (uint32_t id = 0; id < LASTING; id++)
        put(&stress, id);
    pthread_create(&threads[0], NULL, write_much, &stress);
    pthread_create(&threads[1], NULL, search_much, &stress);
    pthread_create(&threads[2], NULL, search_much, &stress);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    segment_unref(stress.segment);
    free(stress.units);
    return atomic_load(&stress.failures);
}

int main(void)
{
    struct codebook *codebook = vector_random_codebook(1, D, 1);
    int failures = run(NULL) + run(codebook);

    codebook_unref(codebook);
    if (failures > 0)
        fprintf(stderr, "%d failures\n", failures);
    return failures > 0;
}
