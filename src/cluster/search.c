/*
 * Search and BatchSearch, in steps: texts become vectors (embedder), ids become vectors (their
 * owners), the shards give candidates (candidates.h), and the concepts of those found are fetched
 * where asked for.
 */

#include <string.h>

#include "src/cluster/candidates.h"
#include "src/cluster/fetch.h"
#include "src/cluster/vectors.h"

struct search;

typedef void search_answer_fn(struct search *search, const struct status *st);

struct search {
    struct verb verb;
    /* The request. */
    Sutra__V1__Query **queries; /* [n] */
    size_t n;
    bool batch; /* the field is called queries[i], not query */
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

    struct concept_id *own; /* [n]: the concept of a query by id */
    struct candidates candidates;
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
    const struct concept_record *concept;
    struct rpc_bytes *bytes;
    ProtobufCMessage *message;

    if (hit == NULL)
        return NULL;
    sutra__v1__hit__init(hit);
    hit->id = arena_strndup(arena, (const char *)candidate->id, candidate->id_length);
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
        reply.hits = make_hits(search, &search->candidates.rankings[0], &place, &st);
        reply.n_hits = search->candidates.rankings[0].count;
        reply.shards_missing = search->missing.shards;
        reply.n_shards_missing = search->missing.count;
        reply.settings = &search->candidates.settings;
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
    result->n_hits = search->candidates.rankings[q].count;
    result->hits = make_hits(search, &search->candidates.rankings[q], place, st);
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
    reply.settings = &search->candidates.settings;
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
        total += search->candidates.rankings[q].count;
    search->hit_ids = arena_calloc(arena, total, sizeof *search->hit_ids);
    if (search->hit_ids == NULL) {
        limit_call_memory(&st);
        finish(search, &st);
        return;
    }
    for (size_t q = 0; q < search->n; q++) {
        for (size_t i = 0; i < search->candidates.rankings[q].count; i++) {
            const struct candidate *hit = &search->candidates.rankings[q].candidates[i];
            search->hit_ids[place++] = concept_id_trusted((const char *)hit->id, hit->id_length);
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

static void candidates_are_in(struct candidates *candidates, const struct status *st)
{
    struct search *search = candidates->ctx;

    if (st->code == STATUS_OK && search->include_concepts)
        fetch_concepts(search);
    else
        finish(search, st);
}

static void ask_shards(struct search *search)
{
    struct candidates *candidates = &search->candidates;

    candidates->verb = &search->verb;
    candidates->rows = search->rows;
    candidates->n = search->n;
    candidates->own = search->own;
    candidates->missing = &search->missing;
    candidates->done = candidates_are_in;
    candidates->ctx = search;
    candidates_run(candidates);
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
            vectors_decode(vectors, j, row_of(search, search->id_queries[j]));
        search->own[search->id_queries[j]] = search->ids[j];
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
    search->own = arena_calloc(arena, n, sizeof *search->own);
    return search->rows != NULL && search->text_rows != NULL && search->text_queries != NULL &&
           search->texts != NULL && search->id_queries != NULL && search->ids != NULL &&
           search->own != NULL;
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
    if (st->code == STATUS_OK && validate_search_size(&search->candidates.size, st) == STATUS_OK)
        read_queries(search, st);
    if (st->code != STATUS_OK)
        verb_finish(&search->verb, NULL, st);
    else
        embed_texts_of(search);
}

/* What the requests for one query and for many have in common, under the same names. */
#define TAKE_OPTIONS(search, request)                                                              \
    do {                                                                                           \
        (search)->candidates.size = (struct search_size){                                          \
            .k = (request)->k,                                                                     \
            .rerank = (request)->rerank,                                                           \
            .nprobe = (request)->nprobe,                                                           \
            .recall_target = (request)->recall_target,                                             \
            .exact = (request)->exact,                                                             \
        };                                                                                         \
        (search)->include_concepts = (request)->include_concepts;                                  \
        (search)->missing.allowed = (request)->allow_partial;                                      \
    } while (0)

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
    TAKE_OPTIONS(search, request);
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
    TAKE_OPTIONS(search, request);
    search->answer = answer_batch;
    start(search, &st);
}
