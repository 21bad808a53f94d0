#include "src/cluster/split.h"

bool split_one_owner(const struct placement *placement, const struct concept_id *ids, size_t n,
                     uint32_t *ret_owner)
{
    if (n == 0)
        return false;
    *ret_owner = placement_owner(placement, ids[0].slot);
    for (size_t i = 1; i < n; i++)
        if (placement_owner(placement, ids[i].slot) != *ret_owner)
            return false;
    return true;
}

bool split_ids(const struct placement *placement, const struct concept_id *ids, size_t n,
               struct arena *arena, struct split *ret)
{
    uint32_t shard_count = placement->topology->shard_count;
    struct split split = { .shards = arena_calloc(arena, shard_count, sizeof *split.shards) };

    if (split.shards == NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        if (ids[i].length > 0)
            split.shards[placement_owner(placement, ids[i].slot)].count++;
    for (uint32_t s = 0; s < shard_count; s++) {
        split.shards[s].indexes = arena_calloc(arena, split.shards[s].count, sizeof(uint32_t));
        if (split.shards[s].indexes == NULL)
            return false;
        split.used += split.shards[s].count > 0;
        split.shards[s].count = 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (ids[i].length == 0)
            continue;
        struct split_shard *shard = &split.shards[placement_owner(placement, ids[i].slot)];
        shard->indexes[shard->count++] = (uint32_t)i;
    }
    *ret = split;
    return true;
}

char **split_texts(const struct split_shard *shard, const struct concept_id *ids,
                   struct arena *arena)
{
    char **texts = arena_calloc(arena, shard->count, sizeof *texts);

    for (size_t j = 0; texts != NULL && j < shard->count; j++) {
        const struct concept_id *id = &ids[shard->indexes[j]];
        texts[j] = arena_strndup(arena, id->data, id->length);
        if (texts[j] == NULL)
            return NULL;
    }
    return texts;
}

struct scatter *split_scatter(const struct split *split, struct placement *placement,
                              struct rpc_call *parent, const char *method, split_request_fn *make,
                              void *ctx)
{
    struct scatter *scatter = scatter_new(placement, parent, method, split->used);

    for (uint32_t s = 0; scatter != NULL && s < placement->topology->shard_count; s++) {
        if (split->shards[s].count == 0)
            continue;
        scatter_add(scatter, s, NULL);
        if (!make(ctx, &split->shards[s], &scatter->parts[scatter->count - 1])) {
            scatter_free(scatter);
            return NULL;
        }
    }
    return scatter;
}
