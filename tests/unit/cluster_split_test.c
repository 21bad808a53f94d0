#include "src/cluster/split.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t SEED = 0x5EED;

enum { MAX_SHARDS = 9, MAX_IDS = 400, TEXT_BYTES = 256 };

static uint64_t state;

static uint64_t random_u64(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Slots belong to anyone, and some shards may own none. */
static struct topology *random_topology(uint32_t shard_count)
{
    char addresses[2 * MAX_SHARDS] = "";
    struct topology *topology = NULL;
    struct status st = { 0 };
    uint32_t owners = 1 + (uint32_t)(random_u64() % shard_count);

    for (uint32_t s = 0; s < shard_count; s++)
        memcpy(addresses + 2 * s, (char[]){ (char)('a' + s), ',' }, 2);
    addresses[2 * shard_count - 1] = '\0';
    cr_assert_eq(topology_even(addresses, 1, &topology, &st), STATUS_OK, "%s", st.message);
    for (int slot = 0; slot < SLOT_COUNT; slot++)
        topology->owner[slot] = (uint16_t)(random_u64() % owners);
    return topology;
}

/* Ids from 1 byte to the longest; a refused one here and there, as its length 0 says. */
static struct concept_id *random_ids(size_t n, struct arena *arena)
{
    struct concept_id *ids = arena_calloc(arena, n, sizeof *ids);

    for (size_t i = 0; i < n; i++) {
        char text[TEXT_BYTES];
        int length = snprintf(text, sizeof text, "%llx", (unsigned long long)random_u64());
        if (random_u64() % 5 == 0)
            continue;
        if (random_u64() % 8 == 0)
            memset(text, 'x', (size_t)(length = CONCEPT_ID_MAX_BYTES));
        ids[i] = concept_id_trusted(arena_copy(arena, text, (size_t)length), (size_t)length);
    }
    return ids;
}

/* The model: all ids in their order, asked one by one whether they are @shard's. */
static void expect_shard(const struct split_shard *got, uint32_t shard,
                         const struct topology *topology, const struct concept_id *ids, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        if (ids[i].length == 0 || topology->owner[ids[i].hash % SLOT_COUNT] != shard)
            continue;
        cr_assert_lt(count, got->count, "seed %#lx", SEED);
        cr_assert_eq(got->indexes[count], i, "seed %#lx", SEED);
        count++;
    }
    cr_assert_eq(got->count, count, "seed %#lx", SEED);
}

static void expect_texts(const struct split_shard *shard, const struct concept_id *ids,
                         struct arena *arena)
{
    char **texts = split_texts(shard, ids, arena);

    cr_assert_not_null(texts);
    for (size_t j = 0; j < shard->count; j++) {
        const struct concept_id *id = &ids[shard->indexes[j]];
        cr_assert_eq(strlen(texts[j]), id->length, "seed %#lx", SEED);
        cr_assert_eq(memcmp(texts[j], id->data, id->length), 0, "seed %#lx", SEED);
    }
}

static void expect_split(uint32_t shard_count, size_t n)
{
    struct topology *topology = random_topology(shard_count);
    struct placement placement = { .topology = topology };
    struct arena arena;
    struct split split;
    size_t used = 0;

    arena_init(&arena, 1 << 20);
    struct concept_id *ids = random_ids(n, &arena);
    cr_assert(split_ids(&placement, ids, n, &arena, &split));
    for (uint32_t s = 0; s < shard_count; s++) {
        expect_shard(&split.shards[s], s, topology, ids, n);
        expect_texts(&split.shards[s], ids, &arena);
        used += split.shards[s].count > 0;
    }
    cr_assert_eq(split.used, used, "seed %#lx", SEED);
    arena_deinit(&arena);
    topology_unref(topology);
}

Test(split, every_id_goes_to_its_owner_in_order)
{
    state = SEED;
    for (int i = 0; i < 500; i++)
        expect_split(1 + (uint32_t)(random_u64() % MAX_SHARDS), random_u64() % MAX_IDS);
}

Test(split, no_ids_use_no_shard)
{
    state = SEED;
    expect_split(4, 0);
}

static bool split_all(const struct placement *placement, const struct concept_id *ids, size_t n,
                      struct arena *arena)
{
    struct split split;

    if (!split_ids(placement, ids, n, arena, &split))
        return false;
    for (uint32_t s = 0; s < placement->topology->shard_count; s++) {
        char **texts = split_texts(&split.shards[s], ids, arena);
        if (texts == NULL)
            return false;
        for (size_t j = 0; j < split.shards[s].count; j++)
            cr_assert_not_null(texts[j]);
    }
    return true;
}

Test(split, a_full_arena_is_told_wherever_it_happens)
{
    struct topology *topology;
    struct placement placement;
    struct arena for_ids;
    struct concept_id *ids;
    bool ok = false;
    int refusals = 0;

    state = SEED;
    topology = random_topology(3);
    placement = (struct placement){ .topology = topology };
    arena_init(&for_ids, 1 << 20);
    ids = random_ids(20, &for_ids);
    for (size_t limit = 0; !ok; limit += 16) {
        struct arena arena;
        arena_init(&arena, limit);
        ok = split_all(&placement, ids, 20, &arena);
        refusals += !ok;
        arena_deinit(&arena);
    }
    cr_expect_gt(refusals, 10);
    arena_deinit(&for_ids);
    topology_unref(topology);
}
