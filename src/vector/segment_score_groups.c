#include <math.h>
#include <stdlib.h>

#include "src/base/size.h"
#include "src/vector/segment_bulk.h"

/*
 * One query and so many concepts that groups have several of them each: to scan a group takes less
 * time than to gather two codes out of it. So what groups are asked for is found out first.
 */

/* A group as it was when the first of its concepts was found. */
struct seen {
    const uint8_t *codes; /* NULL: none was */
    size_t words;
};

struct grouping {
    struct segment *segment;
    const struct codebook_query *query;
    struct bulk_block block;
    struct segment_reader reader;
    size_t groups;
    struct seen *seen;               /* [groups] */
    uint16_t (*sums)[SEGMENT_GROUP]; /* [groups] */
    uint32_t *positions;             /* [n]; ID_MAP_NONE: its score is known */
    float *scores;                   /* [n] */
};

static float score_one(const struct grouping *g, const struct segment_entry *entry, size_t place)
{
    uint8_t code[CODEBOOK_CODE_BYTES];

    segment_entry_code(entry, place, code);
    return codebook_query_score(g->query, code);
}

/* Whether the group is still what it was when it was first seen, which is now if never before. */
static bool is_seen(struct grouping *g, size_t group, const struct segment_entry *entry)
{
    struct seen *seen = &g->seen[group];

    if (group >= g->groups)
        return false;
    if (seen->codes == NULL)
        *seen = (struct seen){ entry->codes, entry->words };
    return seen->codes == entry->codes;
}

/* Under the lock. That a group has grown meanwhile, or came later, is rare. */
static void note(struct grouping *g, size_t number, uint32_t position)
{
    const struct segment_entry *entry;

    g->positions[number] = position;
    if (position == ID_MAP_NONE) {
        g->scores[number] = NAN;
        return;
    }
    entry = segment_entry_at(g->segment, position);
    if (is_seen(g, position / SEGMENT_GROUP, entry))
        return;
    g->scores[number] = score_one(g, entry, position % SEGMENT_GROUP);
    g->positions[number] = ID_MAP_NONE;
}

static void find_all(struct grouping *g, const struct segment_id *ids, size_t n)
{
    for (size_t i = 0; i < n; i += BULK_BLOCK) {
        bulk_hash(&g->block, ids + i, size_min(n - i, BULK_BLOCK));
        segment_lock_as_reader(g->segment);
        if (i == 0)
            segment_enter(g->segment, &g->reader);
        bulk_find(&g->block);
        for (size_t j = 0; j < g->block.n; j++)
            note(g, i + j, g->block.positions[j]);
        segment_unlock(g->segment);
    }
}

static void scan_all(const struct grouping *g)
{
    uint64_t pass[SEGMENT_WORDS];

    for (size_t i = 0; i < g->groups; i++) {
        const struct seen *seen = &g->seen[i];
        if (i + 1 < g->groups && seen[1].codes != NULL)
            segment_prefetch_codes(seen[1].codes);
        if (seen->codes != NULL)
            vector_kernel()->scan(g->query->table[0], seen->codes, CODEBOOK_PARTS, seen->words,
                                  UINT16_MAX, g->sums[i], pass);
    }
}

static void pick(const struct grouping *g, size_t n)
{
    const uint16_t *sums = g->sums[0];

    for (size_t i = 0; i < n; i++)
        if (g->positions[i] != ID_MAP_NONE)
            g->scores[i] = codebook_query_approximate(g->query, sums[g->positions[i]]);
}

static bool allocate(struct grouping *g, size_t n)
{
    g->seen = calloc(g->groups, sizeof *g->seen);
    g->sums = aligned_alloc(64, g->groups * sizeof *g->sums);
    g->positions = malloc(n * sizeof *g->positions);
    return g->seen != NULL && g->sums != NULL && g->positions != NULL;
}

enum status_code bulk_score_groups(struct segment *segment, const struct codebook_query *query,
                                   const struct segment_id *ids, size_t n, float *ret_scores,
                                   struct status *st)
{
    struct grouping g = { .segment = segment,
                          .query = query,
                          .block = { .segment = segment },
                          .groups = atomic_load(&segment->groups),
                          .scores = ret_scores };

    if (allocate(&g, n)) {
        find_all(&g, ids, n);
        scan_all(&g);
        segment_leave(segment, &g.reader);
        pick(&g, n);
    } else {
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory to compare %zu concepts", n);
    }
    free(g.seen);
    free(g.sums);
    free(g.positions);
    return st->code;
}
