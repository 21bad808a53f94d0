/*
 * Search and BatchSearch, in steps: texts become vectors (embedder), ids become vectors (their
 * owners), every shard gives its best R candidates with both scores, the best R of all by
 * approximate score are ordered by refined score, the best k of those are the answer, and their
 * concepts are fetched where asked for. Both orders are total (score, then id), so the answer does
 * not depend on how many shards there are.
 */

#include <stdlib.h>
#include <string.h>

#include "src/cluster/fetch.h"
#include "src/cluster/vectors.h"
#include "src/vector/topk.h"

struct search;

/* A candidate, from any shard. */
struct candidate {
    struct topk_entry order; /* score and id; the score in force */
    float approximate;
    float refined;
};

/* One query's candidates, then its hits. */
struct ranking {
    struct candidate *candidates;
    size_t count;
    size_t capacity;
};

typedef void search_answer_fn(struct search *search, const struct status *st);

struct search {
    struct verb verb;
    /* The request. */
    Sutra__V1__Query **queries; /* [n] */
    size_t n;
    bool batch; /* the field is called queries[i], not query */
    uint32_t k;
    uint32_t rerank;
    bool exact;
    bool include_concepts;
    struct scatter_missing missing;
    search_answer_fn *answer;

    float *rows; /* [n][dimension] */
    /* Queries by text. */
    size_t text_count;
    size_t *text_queries; /* [text_count] which query */
    struct embed_text *texts;
    float *text_rows;
    /* Queries by id. */
    size_t id_count;
    size_t *id_queries;
    struct concept_id *ids;
    struct vectors vectors;

    Sutra__Internal__V1__CandidatesRequest request;
    struct ranking *rankings; /* [n] */
    struct fetch fetch;
    struct concept_id *hit_ids; /* of all queries, in order */
};

static void finish(struct search *search, const struct status *st)
{
    search->answer(search, st);
}

/* ---- Answers ---- */

/* Quantised vectors of equal direction can come out a little above 1. */
static float clamp_cosine(float score)
{
    return score > 1 ? 1 : score < -1 ? -1 : score;
}

static Sutra__V1__Hit *make_hit(const struct search *search, const struct candidate *candidate,
                                size_t place, struct arena *arena, struct status *st)
{
    Sutra__V1__Hit *hit = arena_alloc(arena, sizeof *hit);
    const struct fetched_concept *concept;
    struct rpc_bytes *bytes;
    ProtobufCMessage *message;

    if (hit == NULL)
        return NULL;
    sutra__v1__hit__init(hit);
    hit->id = arena_strndup(arena, (const char *)candidate->order.id, candidate->order.id_length);
    hit->score = clamp_cosine(candidate->refined);
    hit->approximate_score = clamp_cosine(candidate->approximate);
    if (hit->id == NULL)
        return NULL;
    if (!search->include_concepts || search->fetch.concepts[place].data == NULL)
        return hit; /* a concept deleted since the scan stays without its record */
    concept = &search->fetch.concepts[place];
    bytes = rpc_bytes_copy(concept->data, concept->size);
    rpc_bytes_unpack(bytes, &sutra__v1__concept__descriptor, arena, &message, st);
    rpc_bytes_free(bytes);
    if (st->code != STATUS_OK)
        return NULL;
    hit->concept = (Sutra__V1__Concept *)message;
    return hit;
}

/* The hits of one query; *place runs over the hits of all queries. */
static Sutra__V1__Hit **make_hits(struct search *search, const struct ranking *ranking,
                                  size_t *place, struct status *st)
{
    struct arena *arena = verb_arena(&search->verb);
    Sutra__V1__Hit **hits = arena_calloc(arena, ranking->count, sizeof *hits);

    for (size_t i = 0; hits != NULL && i < ranking->count; i++) {
        hits[i] = make_hit(search, &ranking->candidates[i], (*place)++, arena, st);
        if (hits[i] == NULL)
            hits = NULL;
    }
    if (hits == NULL && st->code == STATUS_OK)
        limit_call_memory(st);
    return hits;
}

static void answer_search(struct search *search, const struct status *found)
{
    Sutra__V1__SearchResponse reply = SUTRA__V1__SEARCH_RESPONSE__INIT;
    struct status st = *found;
    size_t place = 0;

    if (st.code == STATUS_OK) {
        reply.hits = make_hits(search, &search->rankings[0], &place, &st);
        reply.n_hits = search->rankings[0].count;
        reply.shards_missing = search->missing.shards;
        reply.n_shards_missing = search->missing.count;
    }
    verb_finish(&search->verb, &reply.base, &st);
}

static Sutra__V1__BatchSearchResponse__Hits *make_result(struct search *search, size_t q,
                                                         size_t *place, struct status *st)
{
    Sutra__V1__BatchSearchResponse__Hits *result =
        arena_alloc(verb_arena(&search->verb), sizeof *result);

    if (result == NULL) {
        limit_call_memory(st);
        return NULL;
    }
    sutra__v1__batch_search_response__hits__init(result);
    result->n_hits = search->rankings[q].count;
    result->hits = make_hits(search, &search->rankings[q], place, st);
    return result;
}

static void answer_batch(struct search *search, const struct status *found)
{
    Sutra__V1__BatchSearchResponse reply = SUTRA__V1__BATCH_SEARCH_RESPONSE__INIT;
    struct status st = *found;
    size_t place = 0;

    reply.n_results = search->n;
    reply.results = arena_calloc(verb_arena(&search->verb), search->n, sizeof *reply.results);
    reply.shards_missing = search->missing.shards;
    reply.n_shards_missing = search->missing.count;
    if (reply.results == NULL && st.code == STATUS_OK)
        limit_call_memory(&st);
    for (size_t q = 0; q < search->n && st.code == STATUS_OK; q++)
        reply.results[q] = make_result(search, q, &place, &st);
    verb_finish(&search->verb, &reply.base, &st);
}

/* ---- Step 4: concepts ---- */

static void concepts_are_in(struct fetch *fetch, const struct status *st)
{
    finish((struct search *)fetch->verb, st);
}

static void fetch_concepts(struct search *search)
{
    struct arena *arena = verb_arena(&search->verb);
    struct status st = { 0 };
    size_t total = 0;
    size_t place = 0;

    for (size_t q = 0; q < search->n; q++)
        total += search->rankings[q].count;
    search->hit_ids = arena_calloc(arena, total, sizeof *search->hit_ids);
    if (search->hit_ids == NULL) {
        limit_call_memory(&st);
        finish(search, &st);
        return;
    }
    for (size_t q = 0; q < search->n; q++) {
        for (size_t i = 0; i < search->rankings[q].count; i++) {
            const struct topk_entry *order = &search->rankings[q].candidates[i].order;
            search->hit_ids[place++] =
                concept_id_trusted((const char *)order->id, order->id_length);
        }
    }
    search->fetch = (struct fetch){
        .verb = &search->verb,
        .ids = search->hit_ids,
        .n = total,
        .missing = &search->missing,
        .done = concepts_are_in,
    };
    fetch_run(&search->fetch);
}

/* ---- Step 3: candidates ---- */

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

/* Scores of two codebooks do not compare; while one is being replaced only the refined scores do.
 */
static void rank(struct search *search, bool one_codebook)
{
    for (size_t j = 0; j < search->id_count; j++)
        drop(&search->rankings[search->id_queries[j]], &search->ids[j]);
    for (size_t q = 0; q < search->n; q++) {
        struct ranking *ranking = &search->rankings[q];
        if (one_codebook) {
            sort_candidates(ranking, false);
            cut(ranking, search->rerank);
        }
        sort_candidates(ranking, true);
        cut(ranking, search->k);
    }
}

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

static enum status_code add_reply(struct search *search,
                                  const Sutra__Internal__V1__CandidatesResponse *reply,
                                  struct status *st)
{
    size_t at = 0;

    if (reply->n_counts != search->n || reply->n_approximate != reply->n_ids ||
        reply->n_refined != reply->n_ids)
        return status_set(st, STATUS_INTERNAL, "columns of unequal length");
    for (size_t q = 0; q < search->n; q++) {
        struct ranking *ranking = &search->rankings[q];
        uint32_t count = reply->counts[q];
        if (count > reply->n_ids - at)
            return status_set(st, STATUS_INTERNAL, "counts exceed the columns");
        if (grow(ranking, count, verb_arena(&search->verb), st) != STATUS_OK)
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

/* Adds one shard's answer; *version is that of the first. */
static enum status_code merge_part(struct search *search, const struct scatter_part *part,
                                   uint64_t *version, bool *one_codebook, struct status *st)
{
    const Sutra__Internal__V1__CandidatesResponse *reply;
    ProtobufCMessage *message;

    if (scatter_unpack(part, &sutra__internal__v1__candidates_response__descriptor,
                       verb_arena(&search->verb), &message, st) != STATUS_OK)
        return st->code;
    reply = (const Sutra__Internal__V1__CandidatesResponse *)message;
    if (*version == UINT64_MAX)
        *version = reply->codebook_version;
    *one_codebook &= *version == reply->codebook_version;
    if (add_reply(search, reply, st) != STATUS_OK)
        status_wrap(st, "shard %u", part->shard);
    return st->code;
}

static void candidates_are_in(struct scatter *scatter, void *ctx)
{
    struct search *search = ctx;
    uint64_t version = UINT64_MAX;
    bool one_codebook = true;
    struct status st = { 0 };

    scatter_check(scatter, verb_arena(&search->verb), &search->missing, &st);
    for (size_t i = 0; i < scatter->count && st.code == STATUS_OK; i++)
        if (scatter->parts[i].result.status.code == STATUS_OK)
            merge_part(search, &scatter->parts[i], &version, &one_codebook, &st);
    if (st.code != STATUS_OK) {
        finish(search, &st);
        return;
    }
    rank(search, one_codebook);
    if (search->include_concepts)
        fetch_concepts(search);
    else
        finish(search, &st);
}

static void ask_shards(struct search *search)
{
    Sutra__Internal__V1__CandidatesRequest *request = &search->request;
    struct scatter *scatter;
    struct status st = { 0 };

    sutra__internal__v1__candidates_request__init(request);
    request->queries.data = (uint8_t *)search->rows;
    request->queries.len = search->n * LIMIT_DIMENSION * sizeof(float);
    request->query_count = (uint32_t)search->n;
    /* A query by id finds itself, which is no answer: room for one more. */
    request->rerank = search->rerank + (search->id_count > 0);
    request->exact = search->exact;
    scatter =
        scatter_new_all(search->verb.placement, search->verb.call, "Candidates", &request->base);
    search->rankings = arena_calloc(verb_arena(&search->verb), search->n, sizeof *search->rankings);
    if (scatter != NULL && search->rankings != NULL) {
        scatter_run(scatter, candidates_are_in, search);
        return;
    }
    scatter_free(scatter);
    limit_call_memory(&st);
    finish(search, &st);
}

/* ---- Step 2: ids to vectors ---- */

static float *row_of(struct search *search, size_t q)
{
    return search->rows + q * LIMIT_DIMENSION;
}

static void ids_are_resolved(struct vectors *vectors, const struct status *resolved)
{
    struct search *search = vectors->ctx;
    struct status st = *resolved;

    for (size_t j = 0; j < search->id_count && st.code == STATUS_OK; j++) {
        if (vectors->rows[j] == NULL)
            status_set(&st, STATUS_NOT_FOUND, "concept '%.*s' does not exist or has no vector",
                       (int)search->ids[j].length, search->ids[j].data);
        else
            memcpy(row_of(search, search->id_queries[j]), vectors->rows[j],
                   LIMIT_DIMENSION * sizeof(float));
    }
    if (st.code != STATUS_OK)
        finish(search, &st);
    else
        ask_shards(search);
}

static void resolve_ids(struct search *search)
{
    if (search->id_count == 0) {
        ask_shards(search);
        return;
    }
    search->vectors = (struct vectors){
        .verb = &search->verb,
        .ids = search->ids,
        .n = search->id_count,
        .done = ids_are_resolved,
        .ctx = search,
    };
    vectors_run(&search->vectors);
}

/* ---- Step 1: texts to vectors ---- */

static void texts_are_embedded(void *ctx, const struct status *st)
{
    struct search *search = ctx;

    if (st->code != STATUS_OK) {
        finish(search, st);
        return;
    }
    for (size_t j = 0; j < search->text_count; j++)
        memcpy(row_of(search, search->text_queries[j]), search->text_rows + j * LIMIT_DIMENSION,
               LIMIT_DIMENSION * sizeof(float));
    resolve_ids(search);
}

static void embed_texts_of(struct search *search)
{
    if (search->text_count == 0)
        resolve_ids(search);
    else
        embedder_embed(search->verb.cluster->embedder, search->verb.call, search->texts,
                       search->text_count, search->text_rows, texts_are_embedded, search);
}

/* ---- Reading the request ---- */

static enum status_code take_text(struct search *search, size_t q, struct status *st)
{
    const char *text = search->queries[q]->text;
    size_t length = strlen(text);

    if (length == 0)
        return status_set_field(st, "text", "text is empty");
    if (length > LIMIT_CONTENT_BYTES)
        return status_set_field(st, "text", "text has %zu bytes, the limit is %d", length,
                                LIMIT_CONTENT_BYTES);
    search->text_queries[search->text_count] = q;
    search->texts[search->text_count++] = (struct embed_text){ .data = text, .length = length };
    return STATUS_OK;
}

static enum status_code take_query(struct search *search, size_t q, struct status *st)
{
    const Sutra__V1__Query *query = search->queries[q];
    float *unit;

    switch (query->by_case) {
    case SUTRA__V1__QUERY__BY_EMBEDDING:
        if (validate_embedding(query->embedding, verb_arena(&search->verb), &unit, st) == STATUS_OK)
            memcpy(row_of(search, q), unit, LIMIT_DIMENSION * sizeof *unit);
        return st->code;
    case SUTRA__V1__QUERY__BY_TEXT:
        return take_text(search, q, st);
    case SUTRA__V1__QUERY__BY_CONCEPT_ID:
        search->id_queries[search->id_count] = q;
        if (validate_id(query->concept_id, &search->ids[search->id_count++], st) != STATUS_OK)
            validate_name_field(st, "concept_id");
        return st->code;
    default:
        return status_set_field(st, "by", "one of embedding, text and concept_id must be given");
    }
}

static bool make_room(struct search *search)
{
    struct arena *arena = verb_arena(&search->verb);
    size_t n = search->n;
    size_t row_bytes = LIMIT_DIMENSION * sizeof(float);

    search->rows = arena_alloc(arena, n * row_bytes);
    search->text_rows = arena_alloc(arena, n * row_bytes);
    search->text_queries = arena_calloc(arena, n, sizeof *search->text_queries);
    search->texts = arena_calloc(arena, n, sizeof *search->texts);
    search->id_queries = arena_calloc(arena, n, sizeof *search->id_queries);
    search->ids = arena_calloc(arena, n, sizeof *search->ids);
    return search->rows != NULL && search->text_rows != NULL && search->text_queries != NULL &&
           search->texts != NULL && search->id_queries != NULL && search->ids != NULL;
}

static enum status_code read_queries(struct search *search, struct status *st)
{
    if (!make_room(search))
        return limit_call_memory(st);
    for (size_t q = 0; q < search->n && st->code == STATUS_OK; q++) {
        if (take_query(search, q, st) == STATUS_OK)
            continue;
        if (search->batch)
            status_prefix_field(st, "queries[%zu]", q);
        else
            status_prefix_field(st, "query");
    }
    return st->code;
}

static void start(struct search *search, struct status *st)
{
    if (st->code == STATUS_OK &&
        validate_search_size(search->k, search->rerank, &search->rerank, st) == STATUS_OK)
        read_queries(search, st);
    if (st->code != STATUS_OK)
        verb_finish(&search->verb, NULL, st);
    else
        embed_texts_of(search);
}

void serve_search(struct rpc_call *call, const ProtobufCMessage *message, void *cluster)
{
    const Sutra__V1__SearchRequest *request = (const Sutra__V1__SearchRequest *)message;
    struct search *search = verb_new(cluster, call, sizeof *search);
    struct status st = { 0 };

    if (search == NULL)
        return;
    if (request->query == NULL)
        status_set_field(&st, "query", "query is missing");
    search->queries = (Sutra__V1__Query **)&request->query;
    search->n = 1;
    search->k = request->k;
    search->rerank = request->rerank;
    search->exact = request->exact;
    search->include_concepts = request->include_concepts;
    search->missing.allowed = request->allow_partial;
    search->answer = answer_search;
    start(search, &st);
}

void serve_batch_search(struct rpc_call *call, const ProtobufCMessage *message, void *cluster)
{
    const Sutra__V1__BatchSearchRequest *request = (const Sutra__V1__BatchSearchRequest *)message;
    struct search *search = verb_new(cluster, call, sizeof *search);
    struct status st = { 0 };

    if (search == NULL)
        return;
    validate_count("queries", request->n_queries, LIMIT_BATCH_QUERIES, &st);
    search->queries = request->queries;
    search->n = request->n_queries;
    search->batch = true;
    search->k = request->k;
    search->rerank = request->rerank;
    search->exact = request->exact;
    search->include_concepts = request->include_concepts;
    search->missing.allowed = request->allow_partial;
    search->answer = answer_batch;
    start(search, &st);
}
