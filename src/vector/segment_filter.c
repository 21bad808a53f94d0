#include <stdlib.h>

#include "src/vector/segment_impl.h"

struct segment_filter {
    struct segment *segment;
    uint64_t generation; /* of the segment when it was made */
    uint32_t groups;
    uint64_t members[][SEGMENT_WORDS]; /* [groups] */
};

struct segment_filter *segment_filter_new(struct segment *segment)
{
    struct segment_filter *filter;
    uint64_t generation;
    uint32_t groups;

    segment_lock_as_reader(segment);
    generation = segment->generation;
    groups = atomic_load(&segment->groups);
    segment_unlock(segment);
    filter = calloc(1, sizeof *filter + groups * sizeof filter->members[0]);
    if (filter == NULL)
        return NULL;
    filter->segment = segment;
    filter->generation = generation;
    filter->groups = groups;
    return filter;
}

void segment_filter_free(struct segment_filter *filter)
{
    free(filter);
}

bool segment_filter_add(struct segment_filter *filter, const void *id, size_t id_length)
{
    struct segment_id wanted = { id, id_length };
    uint64_t hash = id_map_hash(id, id_length);
    uint32_t position;

    segment_lock_as_reader(filter->segment);
    position = segment_position(filter->segment, hash, wanted);
    segment_unlock(filter->segment);
    if (position == ID_MAP_NONE)
        return false;
    if (position / SEGMENT_GROUP <
        filter->groups) /* else the filter is stale, which a search says */
        filter->members[position / SEGMENT_GROUP][position % SEGMENT_GROUP / SEGMENT_WORD] |=
            (uint64_t)1 << (position % SEGMENT_WORD);
    return true;
}

bool segment_filter_is_fresh(const struct segment_filter *filter, const struct segment *segment)
{
    return filter->segment == segment && filter->generation == segment->generation;
}

const uint64_t *segment_filter_words(const struct segment_filter *filter, uint32_t group)
{
    return filter->members[group];
}
