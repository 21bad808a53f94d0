#include "src/cluster/candidates.h"

#include <stdlib.h>
#include <string.h>

/* ---- Ranking ---- */

static int compare_candidates(const void *a, const void *b)
{
    return topk_compare(&((const struct candidate *)a)->order,
                        &((const struct candidate *)b)->order);
}

static void sort_candidates(struct ranking *ranking, bool by_refined)
{
    for (size_t i = 0; i < ranking->count; i++) {
        struct candidate *candidate = &ranking->candidates[i];
        candidate->order.score = by_refined ? candidate->refined : candidate->approximate;
    }
    if (ranking->count > 1)
        qsort(ranking->candidates, ranking->count, sizeof *ranking->candidates, compare_candidates);
}

static void drop(struct ranking *ranking, const struct concept_id *id)
{
    size_t kept = 0;

    for (size_t i = 0; i < ranking->count; i++) {
        const struct topk_entry *order = &ranking->candidates[i].order;
        if (concept_id_compare((const char *)order->id, order->id_length, id->data, id->length) !=
            0)
            ranking->candidates[kept++] = ranking->candidates[i];
    }
    ranking->count = kept;
}

static void cut(struct ranking *ranking, size_t count)
{
    if (ranking->count > count)
        ranking->count = count;
}

/* Scores of two codebooks do not compare: of two only the refined scores do. */
static void rank(struct candidates *c, bool one_codebook)
{
    for (size_t q = 0; q < c->n; q++) {
        struct ranking *ranking = &c->rankings[q];
        if (c->own[q].data != NULL)
            drop(ranking, &c->own[q]);
        if (one_codebook) {
            sort_candidates(ranking, false);
            cut(ranking, c->settings.rerank);
        }
        sort_candidates(ranking, true);
        cut(ranking, c->size.k);
    }
}

/* ---- Gathering ---- */

static enum status_code grow(struct ranking *ranking, size_t more, struct arena *arena,
                             struct status *st)
{
    size_t capacity = ranking->count + more;
    struct candidate *candidates;

    if (capacity <= ranking->capacity)
        return STATUS_OK;
    candidates = arena_calloc(arena, capacity, sizeof *candidates);
    if (candidates == NULL)
        return limit_call_memory(st);
    if (ranking->count > 0)
        memcpy(candidates, ranking->candidates, ranking->count * sizeof *candidates);
    ranking->candidates = candidates;
    ranking->capacity = capacity;
    return STATUS_OK;
}

static enum status_code add_reply(struct candidates *c,
                                  const Sutra__Internal__V1__CandidatesResponse *reply,
                                  struct status *st)
{
    size_t at = 0;

    if (reply->n_counts != c->n || reply->n_approximate != reply->n_ids ||
        reply->n_refined != reply->n_ids)
        return status_set(st, STATUS_INTERNAL, "columns of unequal length");
    for (size_t q = 0; q < c->n; q++) {
        struct ranking *ranking = &c->rankings[q];
        uint32_t count = reply->counts[q];
        if (count > reply->n_ids - at)
            return status_set(st, STATUS_INTERNAL, "counts exceed the columns");
        if (grow(ranking, count, verb_arena(c->verb), st) != STATUS_OK)
            return st->code;
        for (size_t end = at + count; at < end; at++) {
            ranking->candidates[ranking->count++] = (struct candidate){
                .order = { .id = (const uint8_t *)reply->ids[at],
                           .id_length = (uint32_t)strlen(reply->ids[at]) },
                .approximate = reply->approximate[at],
                .refined = reply->refined[at],
            };
        }
    }
    return STATUS_OK;
}

/* The replies of the shards that answered. */
struct replies {
    const Sutra__Internal__V1__CandidatesResponse **items;
    const uint32_t *shards;
    size_t count;
};

static enum status_code unpack(struct candidates *c, const struct scatter *scatter,
                               struct replies *ret, struct status *st)
{
    struct arena *arena = verb_arena(c->verb);
    uint32_t *shards = arena_calloc(arena, scatter->count, sizeof *shards);

    ret->items = arena_calloc(arena, scatter->count,
                              sizeof(const Sutra__Internal__V1__CandidatesResponse *));
    if (shards == NULL || ret->items == NULL)
        return limit_call_memory(st);
    ret->shards = shards;
    for (size_t i = 0; i < scatter->count && st->code == STATUS_OK; i++) {
        const struct scatter_part *part = &scatter->parts[i];
        ProtobufCMessage *message;
        if (part->result.status.code != STATUS_OK ||
            scatter_unpack(part, &sutra__internal__v1__candidates_response__descriptor, arena,
                           &message, st) != STATUS_OK)
            continue;
        shards[ret->count] = part->shard;
        ret->items[ret->count] = (const Sutra__Internal__V1__CandidatesResponse *)message;
        if (ret->items[ret->count++]->settings == NULL)
            status_set(st, STATUS_INTERNAL, "shard %u does not say what it searched with",
                       part->shard);
    }
    return st->code;
}

/* What the newest codebook was searched with. */
static void choose_settings(struct candidates *c, const struct replies *replies)
{
    sutra__v1__search_settings__init(&c->settings);
    for (size_t i = 0; i < replies->count; i++)
        if (i == 0 || replies->items[i]->settings->codebook_version > c->settings.codebook_version)
            c->settings = *replies->items[i]->settings;
}

static bool same_codebook(const struct candidates *c, const struct replies *replies)
{
    for (size_t i = 0; i < replies->count; i++)
        if (replies->items[i]->settings->codebook_version != c->settings.codebook_version)
            return false;
    return true;
}

static bool same_settings(const struct candidates *c, const struct replies *replies)
{
    for (size_t i = 0; i < replies->count; i++)
        if (replies->items[i]->settings->rerank != c->settings.rerank ||
            replies->items[i]->settings->cell_reach != c->settings.cell_reach ||
            replies->items[i]->settings->nprobe != c->settings.nprobe)
            return false;
    return same_codebook(c, replies);
}

static void ask(struct candidates *candidates);

static void ask_again(struct candidates *c)
{
    c->asked_again = true;
    c->expected_recall = c->settings.expected_recall;
    c->request.codebook_version = c->settings.codebook_version;
    c->request.rerank = c->settings.rerank;
    c->request.cell_reach = c->settings.cell_reach;
    c->request.nprobe = c->settings.nprobe;
    c->missing->count = 0;
    ask(c);
}

static enum status_code merge(struct candidates *c, const struct replies *replies,
                              struct status *st)
{
    for (size_t i = 0; i < replies->count; i++)
        if (add_reply(c, replies->items[i], st) != STATUS_OK)
            return status_wrap(st, "shard %u", replies->shards[i]);
    return STATUS_OK;
}

static void are_in(struct scatter *scatter, void *ctx)
{
    struct candidates *c = ctx;
    struct replies replies = { 0 };
    struct status st = { 0 };

    if (scatter_check(scatter, verb_arena(c->verb), c->missing, &st) == STATUS_OK &&
        unpack(c, scatter, &replies, &st) == STATUS_OK) {
        choose_settings(c, &replies);
        if (!c->asked_again && !same_settings(c, &replies)) {
            ask_again(c);
            return;
        }
        if (c->asked_again)
            c->settings.expected_recall = c->expected_recall;
        merge(c, &replies, &st);
    }
    if (st.code == STATUS_OK)
        rank(c, same_codebook(c, &replies));
    c->done(c, &st);
}

static void ask(struct candidates *c)
{
    struct scatter *scatter =
        scatter_new_all(c->verb->placement, c->verb->call, "Candidates", &c->request.base);
    struct status st = { 0 };

    c->rankings = arena_calloc(verb_arena(c->verb), c->n, sizeof *c->rankings);
    if (scatter != NULL && c->rankings != NULL) {
        scatter_run(scatter, are_in, c);
        return;
    }
    scatter_free(scatter);
    limit_call_memory(&st);
    c->done(c, &st);
}

static bool anyone_asks(const struct candidates *c)
{
    for (size_t q = 0; q < c->n; q++)
        if (c->own[q].data != NULL)
            return true;
    return false;
}

void candidates_run(struct candidates *c)
{
    Sutra__Internal__V1__CandidatesRequest *request = &c->request;
    sutra__internal__v1__candidates_request__init(request);
    request->queries.data = (uint8_t *)c->rows;
    request->queries.len = c->n * LIMIT_DIMENSION * sizeof *c->rows;
    request->query_count = (uint32_t)c->n;
    request->k = c->size.k;
    request->rerank = c->size.rerank;
    request->extra = anyone_asks(c);
    request->nprobe = c->size.nprobe;
    request->recall_target = c->size.recall_target;
    request->exact = c->size.exact;
    ask(c);
}
