#include "src/cluster/candidates.h"

#include "src/base/size.h"
#include "src/cluster/candidate_columns.h"

/* ---- Replies ---- */

/* The replies of the shards that answered. */
struct replies {
    const Sutra__Internal__V1__CandidatesResponse **items;
    struct candidate_columns *columns;
    size_t count;
};

static enum status_code add_reply(struct candidates *c, const struct scatter_part *part,
                                  struct replies *replies, struct status *st)
{
    const Sutra__Internal__V1__CandidatesResponse *reply;
    ProtobufCMessage *message;

    if (scatter_unpack(part, &sutra__internal__v1__candidates_response__descriptor,
                       verb_arena(c->verb), &message, st) != STATUS_OK)
        return st->code;
    reply = (const Sutra__Internal__V1__CandidatesResponse *)message;
    if (candidate_columns_open(reply, c->n, &replies->columns[replies->count], st) != STATUS_OK)
        return status_wrap(st, "shard %u", part->shard);
    replies->items[replies->count++] = reply;
    return STATUS_OK;
}

static enum status_code unpack(struct candidates *c, const struct scatter *scatter,
                               struct replies *ret, struct status *st)
{
    struct arena *arena = verb_arena(c->verb);

    ret->items = arena_calloc(arena, scatter->count,
                              sizeof(const Sutra__Internal__V1__CandidatesResponse *));
    ret->columns = arena_calloc(arena, scatter->count, sizeof *ret->columns);
    if (ret->items == NULL || ret->columns == NULL)
        return limit_call_memory(st);
    for (size_t i = 0; i < scatter->count && st->code == STATUS_OK; i++)
        if (scatter->parts[i].result.status.code == STATUS_OK)
            add_reply(c, &scatter->parts[i], ret, st);
    return st->code;
}

/* ---- With what ---- */

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

/* ---- Ranking ---- */

/* What the candidates of one query after the other are ranked in. */
struct room {
    struct candidate *candidates; /* of all shards */
    struct ranking_list *lists;   /* [replies] */
    struct topk_entry *entries;   /* [k] */
};

static size_t count_candidates(const struct replies *replies, size_t q)
{
    size_t count = 0;

    for (size_t i = 0; i < replies->count; i++)
        count += replies->items[i]->counts[q];
    return count;
}

static enum status_code make_room(struct candidates *c, const struct replies *replies,
                                  struct room *ret, struct status *st)
{
    struct arena *arena = verb_arena(c->verb);
    size_t most = 0;

    for (size_t q = 0; q < c->n; q++)
        most = size_max(most, count_candidates(replies, q));
    ret->candidates = arena_alloc(arena, most * sizeof *ret->candidates);
    ret->lists = arena_alloc(arena, replies->count * sizeof *ret->lists);
    ret->entries = arena_alloc(arena, c->size.k * sizeof *ret->entries);
    if (ret->candidates == NULL || ret->lists == NULL || ret->entries == NULL)
        return limit_call_memory(st);
    return STATUS_OK;
}

static void read_lists(const struct replies *replies, size_t q, const struct room *room)
{
    struct candidate *to = room->candidates;

    for (size_t i = 0; i < replies->count; i++) {
        const Sutra__Internal__V1__CandidatesResponse *reply = replies->items[i];
        room->lists[i] = (struct ranking_list){ .candidates = to,
                                                .count = reply->counts[q],
                                                .cut = reply->n_cut > 0 && reply->cut[q] };
        for (size_t j = 0; j < reply->counts[q]; j++)
            *to++ = candidate_columns_next(&replies->columns[i]);
    }
}

/* Scores of two codebooks do not compare: of two only the refined scores do. */
static struct ranking_rule rule_of(const struct candidates *c, const struct replies *replies)
{
    return (struct ranking_rule){
        .rerank = same_codebook(c, replies) ? c->settings.rerank : SIZE_MAX,
        .k = c->size.k,
    };
}

/* *ret_complete: whether the shards gave enough to tell. */
static enum status_code rank(struct candidates *c, const struct replies *replies,
                             bool *ret_complete, struct status *st)
{
    struct ranking_rule rule = rule_of(c, replies);
    struct room room;

    *ret_complete = true;
    if (make_room(c, replies, &room, st) != STATUS_OK)
        return st->code;
    for (size_t q = 0; q < c->n && *ret_complete; q++) {
        size_t most = size_min(c->size.k, count_candidates(replies, q));
        struct ranking *ranking = &c->rankings[q];
        ranking->candidates = arena_alloc(verb_arena(c->verb), most * sizeof *ranking->candidates);
        if (ranking->candidates == NULL)
            return limit_call_memory(st);
        read_lists(replies, q, &room);
        rule.own = &c->own[q];
        *ret_complete = ranking_merge(&rule, room.lists, replies->count, room.entries, ranking);
    }
    return STATUS_OK;
}

/* ---- Asking ---- */

static void ask(struct candidates *candidates);

static void ask_again(struct candidates *c)
{
    c->missing->count = 0;
    ask(c);
}

/* For what the newest codebook was searched with. */
static void settle(struct candidates *c)
{
    c->settled = true;
    c->expected_recall = c->settings.expected_recall;
    c->request.codebook_version = c->settings.codebook_version;
    c->request.rerank = c->settings.rerank;
    c->request.cell_reach = c->settings.cell_reach;
    c->request.nprobe = c->settings.nprobe;
}

/* Whether the answer is there, which needs all replies to be of one kind, and complete; otherwise
 * the request has become one that will bring it. */
static bool conclude(struct candidates *c, const struct replies *replies, struct status *st)
{
    bool complete;

    choose_settings(c, replies);
    if (!c->settled && !same_settings(c, replies)) {
        settle(c);
        return false;
    }
    if (c->settled)
        c->settings.expected_recall = c->expected_recall;
    if (rank(c, replies, &complete, st) != STATUS_OK || complete || c->request.slots == 0)
        return true;
    c->request.slots = 0;
    return false;
}

static void are_in(struct scatter *scatter, void *ctx)
{
    struct candidates *c = ctx;
    struct replies replies = { 0 };
    struct status st = { 0 };

    if (scatter_check(scatter, verb_arena(c->verb), c->missing, &st) == STATUS_OK &&
        unpack(c, scatter, &replies, &st) == STATUS_OK && !conclude(c, &replies, &st))
        ask_again(c);
    else
        c->done(c, &st);
}

static void ask(struct candidates *c)
{
    struct scatter *scatter =
        scatter_new_all(c->verb->placement, c->verb->call, "Candidates", &c->request.base);
    struct status st = { 0 };

    c->rankings = arena_calloc(verb_arena(c->verb), c->n, sizeof *c->rankings);
    if (scatter != NULL && c->rankings != NULL) {
        scatter->impatient = c->missing->allowed;
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
    request->slots = c->verb->placement->most_slots;
    ask(c);
}
