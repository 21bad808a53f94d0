#include "src/vector/refine.h"
#include "src/vector/segment_search.h"

/* ---- codes ---- */

/* For the rare data where ties alone fill the shortlist: keeps exactly the best. */
static void make_room(struct segment_searching *searching, size_t query)
{
    struct shortlist *list = &searching->lists[query];

    shortlist_prune(list);
    if (shortlist_is_full(list))
        segment_settle(searching, list, searching->best[query].entries);
}

static void push_passing(struct shortlist *list, const struct segment_entry *entry, size_t place,
                         const uint16_t *sums, const uint64_t *pass)
{
    for (size_t word = 0; word < entry->words; word++)
        for (uint64_t bits = pass[word] & entry->valid[word]; bits != 0; bits &= bits - 1) {
            size_t i = SEGMENT_WORD * word + (size_t)__builtin_ctzll(bits);
            shortlist_push(list, (uint32_t)(place + i), sums[i]);
        }
}

static void scan_codes(struct segment_searching *searching, size_t query, size_t first,
                       size_t count, bool again)
{
    const struct vector_kernel *kernel = vector_kernel();
    const uint8_t *table = searching->codes[query].table[0];
    struct shortlist *list = &searching->lists[query];
    uint16_t sums[SEGMENT_GROUP] __attribute__((aligned(64)));
    uint64_t pass[SEGMENT_WORDS];

    for (size_t i = first; i < first + count; i++) {
        const struct segment_entry *entry = &searching->snapshot.entries[i];
        if (!again && i + 1 < searching->snapshot.count)
            segment_prefetch_codes(entry[1].codes);
        kernel->scan(table, entry->codes, CODEBOOK_PARTS, entry->words, list->least_sum, sums,
                     pass);
        push_passing(list, entry, i * SEGMENT_GROUP, sums, pass);
        searching->scanned_codes[query] += (size_t)SEGMENT_WORD * entry->words;
        if (shortlist_is_full(list))
            make_room(searching, query);
    }
}

/* ---- codes, for many queries ---- */

/* What codes must reach for each query; nothing does for those that are not asked. */
static void set_thresholds(const struct segment_searching *searching, uint64_t queries,
                           uint16_t *ret)
{
    for (size_t q = 0; q < SEGMENT_BATCH; q++)
        ret[q] = queries >> q & 1 ? searching->lists[q].least_sum : UINT16_MAX;
}

static void push_passing_queries(struct segment_searching *searching,
                                 const struct segment_entry *entry, size_t place,
                                 const uint16_t *sums, const uint64_t *pass)
{
    for (size_t word = 0; word < entry->words; word++)
        for (uint64_t codes = entry->valid[word]; codes != 0; codes &= codes - 1) {
            size_t i = SEGMENT_WORD * word + (size_t)__builtin_ctzll(codes);
            for (uint64_t bits = pass[i]; bits != 0; bits &= bits - 1) {
                size_t query = (size_t)__builtin_ctzll(bits);
                shortlist_push(&searching->lists[query], (uint32_t)(place + i),
                               sums[SEGMENT_BATCH * i + query]);
            }
        }
}

void segment_scan_batch(struct segment_searching *searching, uint64_t queries, size_t first,
                        size_t count)
{
    uint16_t sums[SEGMENT_GROUP * SEGMENT_BATCH] __attribute__((aligned(64)));
    uint16_t thresholds[SEGMENT_BATCH] __attribute__((aligned(64)));
    uint64_t pass[SEGMENT_GROUP];

    for (size_t i = first; i < first + count; i++) {
        const struct segment_entry *entry = &searching->snapshot.entries[i];
        if (i + 1 < searching->snapshot.count)
            segment_prefetch_codes(entry[1].codes);
        set_thresholds(searching, queries, thresholds);
        vector_kernel()->scan_batch(searching->batch_tables, entry->codes, CODEBOOK_PARTS,
                                    entry->words, thresholds, sums, pass);
        push_passing_queries(searching, entry, i * SEGMENT_GROUP, sums, pass);
        for (uint64_t bits = queries; bits != 0; bits &= bits - 1) {
            size_t query = (size_t)__builtin_ctzll(bits);
            searching->scanned_codes[query] += (size_t)SEGMENT_WORD * entry->words;
            if (shortlist_is_full(&searching->lists[query]))
                make_room(searching, query);
        }
    }
}

/* ---- rows ---- */

static void offer_row(struct topk *best, const struct segment_group *group, size_t place,
                      float score)
{
    struct topk_entry entry = { .score = score };
    struct segment_id id;

    if (!topk_wants(best, score))
        return;
    id = segment_group_id(group, place);
    entry.id = id.data;
    entry.id_length = (uint32_t)id.length;
    topk_offer(best, &entry);
}

static void scan_rows(struct segment_searching *searching, size_t query, size_t first, size_t count)
{
    const struct refine_query *row_query = &searching->rows[query];

    for (size_t i = first; i < first + count; i++) {
        const struct segment_entry *entry = &searching->snapshot.entries[i];
        for (size_t word = 0; word < entry->words; word++)
            for (uint64_t bits = entry->valid[word]; bits != 0; bits &= bits - 1) {
                size_t place = SEGMENT_WORD * word + (size_t)__builtin_ctzll(bits);
                const uint8_t *row = segment_group_row(searching->segment, entry->group, place);
                offer_row(&searching->best[query], entry->group, place,
                          refine_score(row_query, row));
            }
    }
}

void segment_scan(struct segment_searching *searching, size_t query, size_t first, size_t count,
                  bool again)
{
    if (searching->codes != NULL)
        scan_codes(searching, query, first, count, again);
    else
        scan_rows(searching, query, first, count);
}
