/**
 * What each verb of the contract promises, called over a router with three shards and over a shard
 * alone: a client cannot tell them apart.
 */

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <string.h>

#include "src/ids/concept_id.h"
#include "tests/support/columns.h"
#include "tests/support/fixture.h"

static struct test_fixture f;

/* Parameter: how many shards; 1 means no router. */
static const unsigned layouts[] = { 1, 3 };

static void start(unsigned shards)
{
    test_fixture_start(&f,
                       &(struct test_cluster_options){ .shards = shards, .router = shards > 1 });
}

static void stop(void)
{
    test_fixture_stop(&f);
}

/* A parameterised test over both layouts. */
#define VERB(name)                                                                                 \
    ParameterizedTestParameters(verbs, name)                                                       \
    {                                                                                              \
        return cr_make_param_array(unsigned, (unsigned *)layouts, 2);                              \
    }                                                                                              \
    ParameterizedTest(unsigned *shards, verbs, name, .fini = stop, .timeout = 120)

static Sutra__V1__PutResponse *put(Sutra__V1__ConceptInput *input)
{
    Sutra__V1__PutRequest request = SUTRA__V1__PUT_REQUEST__INIT;
    Sutra__V1__PutResponse *reply = NULL;
    struct status st = { 0 };

    request.concept = input;
    client_put(f.client, &request, &f.arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    return reply;
}

static Sutra__V1__Concept *get(const char *id)
{
    Sutra__V1__GetRequest request = SUTRA__V1__GET_REQUEST__INIT;
    Sutra__V1__GetResponse *reply = NULL;
    struct status st = { 0 };

    request.id = (char *)id;
    client_get(f.client, &request, &f.arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    return reply->concept;
}

static void expect_not_found(const char *id)
{
    Sutra__V1__GetRequest request = SUTRA__V1__GET_REQUEST__INIT;
    Sutra__V1__GetResponse *reply;
    struct status st = { 0 };

    request.id = (char *)id;
    client_get(f.client, &request, &f.arena, &reply, &st);
    cr_expect_eq(st.code, STATUS_NOT_FOUND, "%s: %s", id, st.message);
}

static Sutra__V1__NeighborsResponse *neighbors(uint64_t number, Sutra__V1__Direction direction)
{
    Sutra__V1__NeighborsRequest request = SUTRA__V1__NEIGHBORS_REQUEST__INIT;
    Sutra__V1__NeighborsResponse *reply = NULL;
    struct status st = { 0 };

    request.id = test_concept_id(number, &f.arena);
    request.direction = direction;
    client_neighbors(f.client, &request, &f.arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    return reply;
}

static void delete (uint64_t number)
{
    Sutra__V1__DeleteRequest request = SUTRA__V1__DELETE_REQUEST__INIT;
    Sutra__V1__DeleteResponse *reply;
    struct status st = { 0 };

    request.id = test_concept_id(number, &f.arena);
    client_delete(f.client, &request, &f.arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
}

VERB(put_and_get_return_what_was_written)
{
    Sutra__V1__ConceptInput__AttributesEntry entry =
        SUTRA__V1__CONCEPT_INPUT__ATTRIBUTES_ENTRY__INIT;
    Sutra__V1__ConceptInput__AttributesEntry *entries[] = { &entry };
    Sutra__V1__ConceptInput *input;
    Sutra__V1__PutResponse *reply;
    Sutra__V1__Concept *stored;

    start(*shards);
    input = test_concept(1, 0, &f.arena);
    entry.key = "lang";
    entry.value = "日本語";
    input->attributes = entries;
    input->n_attributes = 1;
    input->source = "a test";
    input->category = "noun";
    input->optional_strength_case = SUTRA__V1__CONCEPT_INPUT__OPTIONAL_STRENGTH_STRENGTH;
    input->strength = 2.5f;
    reply = put(input);
    cr_expect_str_eq(reply->id, "c1");
    cr_expect(reply->created);
    cr_expect_eq(reply->version, 1);
    stored = get("c1");
    cr_expect_str_eq(stored->content, input->content);
    cr_expect_eq(stored->strength, 2.5f);
    cr_expect_eq(stored->confidence, 1, "1 when not given");
    cr_expect_eq(stored->created_us, input->created_us);
    cr_expect_eq(stored->last_accessed_us, 0);
    cr_expect_str_eq(stored->source, "a test");
    cr_expect_str_eq(stored->category, "noun");
    cr_assert_eq(stored->n_attributes, 1);
    cr_expect_str_eq(stored->attributes[0]->value, "日本語");
    cr_expect_null(stored->embedding, "not asked for");
    reply = put(input);
    cr_expect_not(reply->created);
    cr_expect_eq(reply->version, 2);
    expect_not_found("c2");
}

VERB(learning_one_text_twice_is_one_concept)
{
    Sutra__V1__LearnRequest request = SUTRA__V1__LEARN_REQUEST__INIT;
    Sutra__V1__LearnResponse *reply = NULL;
    char id[CONCEPT_ID_CONTENT_HEX + 1];
    struct status st = { 0 };

    start(*shards);
    request.concept = test_concept(1, 0, &f.arena);
    request.concept->id = "";
    concept_id_of_content(request.concept->content, strlen(request.concept->content), id);
    for (uint64_t version = 1; version <= 2; version++) {
        cr_assert_eq(client_learn(f.client, &request, &f.arena, &reply, &st), STATUS_OK, "%s",
                     st.message);
        cr_expect_str_eq(reply->id, id);
        cr_expect_eq(reply->version, version);
        cr_expect_eq(reply->created, version == 1);
    }
    cr_expect_eq(test_fixture_stats(&f)->total->concepts, 1);
}

VERB(learn_keeps_what_it_is_not_given)
{
    Sutra__V1__LearnRequest request = SUTRA__V1__LEARN_REQUEST__INIT;
    Sutra__V1__LearnResponse *reply;
    Sutra__V1__ConceptInput *input;
    Sutra__V1__Concept *stored;
    struct status st = { 0 };

    start(*shards);
    input = test_concept(1, 0, &f.arena);
    input->optional_strength_case = SUTRA__V1__CONCEPT_INPUT__OPTIONAL_STRENGTH_STRENGTH;
    input->strength = 7;
    put(input);
    request.concept = test_concept(1, 1, &f.arena);
    request.concept->created_us = 0;
    cr_assert_eq(client_learn(f.client, &request, &f.arena, &reply, &st), STATUS_OK, "%s",
                 st.message);
    stored = get("c1");
    cr_expect_str_eq(stored->content, request.concept->content);
    cr_expect_eq(stored->strength, 7);
    cr_expect_eq(stored->created_us, input->created_us);
}

VERB(a_write_happens_only_if_its_condition_holds)
{
    Sutra__V1__PutRequest request = SUTRA__V1__PUT_REQUEST__INIT;
    Sutra__V1__PutResponse *reply;
    struct status st = { 0 };

    start(*shards);
    request.concept = test_concept(1, 0, &f.arena);
    request.concept->condition_case = SUTRA__V1__CONCEPT_INPUT__CONDITION_IF_VERSION;
    request.concept->if_version = 5;
    client_put(f.client, &request, &f.arena, &reply, &st);
    cr_expect_str_eq(st.reason, "VERSION_MISMATCH");
    test_expect_status(&st, STATUS_ABORTED, "", "not 5");
    expect_not_found("c1");
    request.concept->if_version = 0;
    cr_expect_eq(client_put(f.client, &request, &f.arena, &reply, &st), STATUS_OK);
    client_put(f.client, &request, &f.arena, &reply, &st);
    test_expect_status(&st, STATUS_ABORTED, "", "1, not 0");
    request.concept->if_version = 1;
    cr_expect_eq(client_put(f.client, &request, &f.arena, &reply, &st), STATUS_OK);
    cr_expect_eq(get("c1")->version, 2);
}

VERB(batch_get_answers_in_the_order_of_the_request)
{
    static char *ids[] = { "c9", "nothing", "c3", "c9", "also nothing", "c0" };
    static const char *const found[] = { "c9", "c3", "c9", "c0" };
    Sutra__V1__BatchGetRequest request = SUTRA__V1__BATCH_GET_REQUEST__INIT;
    Sutra__V1__BatchGetResponse *reply = NULL;
    struct status st = { 0 };

    start(*shards);
    test_fixture_write(&f, 0, 10, 0);
    request.ids = ids;
    request.n_ids = sizeof ids / sizeof ids[0];
    cr_assert_eq(client_batch_get(f.client, &request, &f.arena, &reply, &st), STATUS_OK, "%s",
                 st.message);
    cr_assert_eq(reply->n_concepts, 4);
    for (size_t i = 0; i < 4; i++)
        cr_expect_str_eq(reply->concepts[i]->id, found[i]);
    cr_assert_eq(reply->n_missing, 2);
    cr_expect_eq(reply->missing[0], 1);
    cr_expect_eq(reply->missing[1], 4);
}

/* One with everything, and one with nothing but a text. */
static void put_unlike_others(void)
{
    Sutra__V1__ConceptInput__AttributesEntry entries[] = {
        SUTRA__V1__CONCEPT_INPUT__ATTRIBUTES_ENTRY__INIT,
        SUTRA__V1__CONCEPT_INPUT__ATTRIBUTES_ENTRY__INIT,
    };
    Sutra__V1__ConceptInput__AttributesEntry *attributes[] = { &entries[0], &entries[1] };
    Sutra__V1__ConceptInput *rich = test_concept(10, 0, &f.arena);
    Sutra__V1__ConceptInput bare = SUTRA__V1__CONCEPT_INPUT__INIT;

    entries[0].key = "lang";
    entries[0].value = "日本語";
    entries[1].key = "empty";
    rich->attributes = attributes;
    rich->n_attributes = 2;
    rich->source = "a test";
    rich->category = "noun";
    put(rich);
    bare.id = "bare";
    bare.content = "no vector";
    put(&bare);
}

static Sutra__V1__BatchGetResponse *batch_get(Sutra__V1__BatchGetRequest *request, bool columns)
{
    Sutra__V1__BatchGetResponse *reply = NULL;
    struct status st = { 0 };

    request->columns = columns;
    client_batch_get(f.client, request, &f.arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    return reply;
}

static void expect_same_in_columns(Sutra__V1__BatchGetRequest *request)
{
    Sutra__V1__BatchGetResponse *rows = batch_get(request, false);
    Sutra__V1__BatchGetResponse *columns = batch_get(request, true);
    const char *field;

    cr_expect_null(rows->columns);
    cr_assert_not_null(columns->columns);
    cr_expect_eq(columns->n_concepts, 0);
    field = test_columns_differ(columns->columns, rows->concepts, rows->n_concepts,
                                request->include_embedding ? TEST_DIMENSION : 0);
    cr_expect_null(field, "%s", field);
    cr_assert_eq(columns->n_missing, rows->n_missing);
    cr_expect_arr_eq(columns->missing, rows->missing, rows->n_missing * sizeof *rows->missing);
}

VERB(batch_get_in_columns_is_batch_get_in_rows)
{
    static char *ids[] = { "c9", "nothing", "c10", "c9", "bare", "c0", "c1", "also nothing", "c2" };
    Sutra__V1__BatchGetRequest request = SUTRA__V1__BATCH_GET_REQUEST__INIT;

    start(*shards);
    test_fixture_write(&f, 0, 10, 0);
    put_unlike_others();
    request.ids = ids;
    for (unsigned i = 0; i < 16; i++) {
        static const size_t counts[] = { 0, 1, 2, sizeof ids / sizeof ids[0] };
        request.n_ids = counts[i / 4];
        request.include_embedding = i & 1;
        request.allow_partial = i & 2;
        expect_same_in_columns(&request);
    }
    request.n_ids = 5;
    request.include_embedding = true;
    cr_expect_eq(batch_get(&request, true)->columns->n_without_embedding, 1, "'bare'");
}

/* Reads pages until @stop_after concepts; returns how many, and the last cursor. */
static size_t list_from(ProtobufCBinaryData cursor, uint64_t limit, char ids[][32],
                        ProtobufCBinaryData *ret_cursor)
{
    Sutra__V1__ListRequest request = SUTRA__V1__LIST_REQUEST__INIT;
    Sutra__V1__ListResponse *page = NULL;
    struct client_list *list = NULL;
    struct status st = { 0 };
    size_t count = 0;

    request.page_size = 7;
    request.limit = limit;
    request.cursor = cursor;
    cr_assert_eq(client_list_open(f.client, &request, &list, &st), STATUS_OK, "%s", st.message);
    while (client_list_next(list, &f.arena, &page, &st) == STATUS_OK && page != NULL) {
        cr_expect_leq(page->n_concepts, 7);
        for (size_t i = 0; i < page->n_concepts; i++)
            snprintf(ids[count++], 32, "%s", page->concepts[i]->id);
        *ret_cursor = page->cursor;
    }
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    client_list_close(list);
    return count;
}

static bool in_order(const char *a, const char *b)
{
    uint16_t slot_a = concept_id_trusted(a, strlen(a)).slot;
    uint16_t slot_b = concept_id_trusted(b, strlen(b)).slot;

    return slot_a < slot_b || (slot_a == slot_b && strcmp(a, b) < 0);
}

VERB(list_gives_every_concept_once_by_slot_and_id_and_continues_at_a_cursor)
{
    enum { COUNT = 100 };
    static char ids[COUNT + 1][32];
    ProtobufCBinaryData cursor = { 0 };
    size_t first;
    size_t rest;

    start(*shards);
    test_fixture_write(&f, 0, COUNT, 0);
    first = list_from(cursor, 40, ids, &cursor);
    cr_assert_eq(first, 40, "%zu: as many as asked for", first);
    rest = list_from(cursor, 0, ids + first, &cursor);
    cr_assert_eq(first + rest, COUNT);
    for (size_t i = 1; i < COUNT; i++)
        cr_expect(in_order(ids[i - 1], ids[i]), "%s before %s", ids[i - 1], ids[i]);
}

VERB(associations_are_seen_from_both_ends_and_go_with_a_concept)
{
    Sutra__V1__ConceptInput *input;

    start(*shards);
    test_fixture_write(&f, 0, 6, 0);
    for (uint64_t n = 0; n < 5; n++) {
        input = test_concept(n, 0, &f.arena);
        test_concept_associate(input, 5, &f.arena);
        test_concept_associate(input, (n + 1) % 5, &f.arena);
        put(input);
    }
    test_fixture_settle(&f);
    cr_expect_eq(neighbors(5, SUTRA__V1__DIRECTION__DIRECTION_IN)->n_associations, 5);
    cr_expect_eq(neighbors(5, SUTRA__V1__DIRECTION__DIRECTION_OUT)->n_associations, 0);
    cr_expect_eq(neighbors(2, SUTRA__V1__DIRECTION__DIRECTION_OUT)->n_associations, 2);
    cr_expect_eq(neighbors(2, SUTRA__V1__DIRECTION__DIRECTION_UNSPECIFIED)->n_associations, 3);
    delete (2);
    test_fixture_settle(&f);
    expect_not_found("c2");
    cr_expect_eq(neighbors(5, SUTRA__V1__DIRECTION__DIRECTION_IN)->n_associations, 4);
    cr_expect_eq(neighbors(1, SUTRA__V1__DIRECTION__DIRECTION_OUT)->n_associations, 1);
    cr_expect_eq(neighbors(3, SUTRA__V1__DIRECTION__DIRECTION_IN)->n_associations, 0);
    cr_expect_eq(test_fixture_stats(&f)->total->associations_out, 7);
    cr_expect_eq(test_fixture_stats(&f)->total->associations_in, 7);
}

VERB(associate_replaces_and_dissociate_removes)
{
    Sutra__V1__AssociateRequest request = SUTRA__V1__ASSOCIATE_REQUEST__INIT;
    Sutra__V1__DissociateRequest removal = SUTRA__V1__DISSOCIATE_REQUEST__INIT;
    Sutra__V1__Association association = SUTRA__V1__ASSOCIATION__INIT;
    Sutra__V1__AssociationKey key = SUTRA__V1__ASSOCIATION_KEY__INIT;
    Sutra__V1__AssociateResponse *reply = NULL;
    Sutra__V1__DissociateResponse *removed = NULL;
    struct status st = { 0 };

    start(*shards);
    test_fixture_write(&f, 0, 2, 0);
    request.association = &association;
    association.source = key.source = "c0";
    association.target = key.target = "c1";
    association.type = key.type = SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_CAUSAL;
    association.optional_weight_case = SUTRA__V1__ASSOCIATION__OPTIONAL_WEIGHT_WEIGHT;
    for (int i = 0; i < 2; i++) {
        association.weight = (float)(2 + i);
        cr_assert_eq(client_associate(f.client, &request, &f.arena, &reply, &st), STATUS_OK, "%s",
                     st.message);
        cr_expect_eq(reply->created, i == 0);
        cr_expect_gt(reply->association->created_us, 0);
    }
    test_fixture_settle(&f);
    cr_assert_eq(neighbors(1, SUTRA__V1__DIRECTION__DIRECTION_IN)->n_associations, 1);
    cr_expect_eq(neighbors(1, SUTRA__V1__DIRECTION__DIRECTION_IN)->associations[0]->weight, 3);
    removal.key = &key;
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(client_dissociate(f.client, &removal, &f.arena, &removed, &st), STATUS_OK,
                     "%s", st.message);
        cr_expect_eq(removed->existed, i == 0);
    }
    test_fixture_settle(&f);
    cr_expect_eq(neighbors(1, SUTRA__V1__DIRECTION__DIRECTION_IN)->n_associations, 0);
    association.source = "nobody";
    client_associate(f.client, &request, &f.arena, &reply, &st);
    test_expect_status(&st, STATUS_NOT_FOUND, "", "nobody");
}

VERB(neighbors_come_in_pages)
{
    enum { COUNT = 25 };
    Sutra__V1__NeighborsRequest request = SUTRA__V1__NEIGHBORS_REQUEST__INIT;
    Sutra__V1__NeighborsResponse *reply = NULL;
    Sutra__V1__ConceptInput *hub;
    struct status st = { 0 };
    size_t seen = 0;

    start(*shards);
    hub = test_concept(0, 0, &f.arena);
    for (uint64_t n = 1; n <= COUNT; n++)
        test_concept_associate(hub, n, &f.arena);
    put(hub);
    request.id = "c0";
    request.limit = 10;
    do {
        cr_assert_eq(client_neighbors(f.client, &request, &f.arena, &reply, &st), STATUS_OK, "%s",
                     st.message);
        cr_assert_leq(reply->n_associations, 10);
        seen += reply->n_associations;
        request.cursor = reply->cursor;
    } while (reply->cursor.len > 0 && seen <= COUNT);
    cr_expect_eq(seen, COUNT);
}

VERB(reinforce_strengthens_and_a_read_does_not)
{
    Sutra__V1__ReinforceRequest request = SUTRA__V1__REINFORCE_REQUEST__INIT;
    Sutra__V1__ReinforceResponse *reply = NULL;
    struct status st = { 0 };

    start(*shards);
    test_fixture_write(&f, 1, 1, 0);
    cr_expect_eq(get("c1")->access_count, 0);
    request.target_case = SUTRA__V1__REINFORCE_REQUEST__TARGET_ID;
    request.id = "c1";
    cr_assert_eq(client_reinforce(f.client, &request, &f.arena, &reply, &st), STATUS_OK, "%s",
                 st.message);
    cr_assert_eq(reply->result_case, SUTRA__V1__REINFORCE_RESPONSE__RESULT_CONCEPT);
    cr_expect_float_eq(reply->concept->strength, 1.02f, 1e-6);
    cr_expect_eq(get("c1")->access_count, 1);
    cr_expect_eq(get("c1")->version, 2);
    cr_expect_gt(get("c1")->last_accessed_us, 0);
    request.id = "c2";
    client_reinforce(f.client, &request, &f.arena, &reply, &st);
    test_expect_status(&st, STATUS_NOT_FOUND, "", "c2");
}

VERB(distance_is_one_minus_cosine)
{
    Sutra__V1__DistanceRequest request = SUTRA__V1__DISTANCE_REQUEST__INIT;
    Sutra__V1__DistanceRequest__Pair pairs[3];
    Sutra__V1__DistanceRequest__Pair *list[3] = { &pairs[0], &pairs[1], &pairs[2] };
    Sutra__V1__DistanceResponse *reply = NULL;
    struct status st = { 0 };
    float a[TEST_DIMENSION];
    float b[TEST_DIMENSION];
    double dot = 0;

    start(*shards);
    test_fixture_write(&f, 0, 2, 0);
    test_vector(0, a);
    test_vector(1, b);
    for (size_t i = 0; i < TEST_DIMENSION; i++)
        dot += (double)a[i] * (double)b[i];
    for (size_t i = 0; i < 3; i++)
        sutra__v1__distance_request__pair__init(&pairs[i]);
    pairs[0].a = pairs[0].b = pairs[1].a = pairs[2].a = "c0";
    pairs[1].b = "c1";
    pairs[2].b = "c2";
    request.pairs = list;
    request.n_pairs = 3;
    cr_assert_eq(client_distance(f.client, &request, &f.arena, &reply, &st), STATUS_OK, "%s",
                 st.message);
    cr_assert_eq(reply->n_distances, 3);
    cr_expect_float_eq(reply->distances[0], 0, 1e-5);
    cr_expect_float_eq(reply->distances[1], 1 - dot, 0.01);
    cr_assert_eq(reply->n_missing, 1);
    cr_expect_eq(reply->missing[0], 2);
    request.approximate = true;
    client_distance(f.client, &request, &f.arena, &reply, &st);
    test_expect_status(&st, STATUS_FAILED_PRECONDITION, "", "codebook");
}

VERB(search_finds_a_concept_by_its_own_vector_and_not_once_it_is_deleted)
{
    Sutra__V1__SearchRequest request = SUTRA__V1__SEARCH_REQUEST__INIT;
    Sutra__V1__Query query = SUTRA__V1__QUERY__INIT;
    Sutra__V1__SearchResponse *reply = NULL;
    struct status st = { 0 };

    start(*shards);
    test_fixture_write(&f, 0, 300, 0);
    request.query = &query;
    request.k = 3;
    request.include_concepts = true;
    query.by_case = SUTRA__V1__QUERY__BY_EMBEDDING;
    query.embedding = test_embedding(123, &f.arena);
    cr_assert_eq(client_search(f.client, &request, &f.arena, &reply, &st), STATUS_OK, "%s",
                 st.message);
    cr_assert_eq(reply->n_hits, 3);
    cr_expect_str_eq(reply->hits[0]->id, "c123");
    cr_expect_float_eq(reply->hits[0]->score, 1, 0.01);
    cr_expect_str_eq(reply->hits[0]->concept->content, "concept 123 in version 0");
    cr_expect_geq(reply->hits[0]->score, reply->hits[1]->score);
    cr_expect_geq(reply->hits[1]->score, reply->hits[2]->score);
    query.by_case = SUTRA__V1__QUERY__BY_CONCEPT_ID;
    query.concept_id = "c123";
    cr_assert_eq(client_search(f.client, &request, &f.arena, &reply, &st), STATUS_OK, "%s",
                 st.message);
    cr_expect_str_neq(reply->hits[0]->id, "c123", "a concept is no answer to itself");
    delete (123);
    query.by_case = SUTRA__V1__QUERY__BY_EMBEDDING;
    query.embedding = test_embedding(123, &f.arena);
    cr_assert_eq(client_search(f.client, &request, &f.arena, &reply, &st), STATUS_OK, "%s",
                 st.message);
    cr_expect_str_neq(reply->hits[0]->id, "c123");
}

VERB(batch_search_answers_as_search_does)
{
    enum { QUERIES = 20 };
    Sutra__V1__BatchSearchRequest batch = SUTRA__V1__BATCH_SEARCH_REQUEST__INIT;
    Sutra__V1__SearchRequest single = SUTRA__V1__SEARCH_REQUEST__INIT;
    Sutra__V1__Query queries[QUERIES];
    Sutra__V1__Query *list[QUERIES];
    Sutra__V1__BatchSearchResponse *together = NULL;
    Sutra__V1__SearchResponse *alone = NULL;
    struct status st = { 0 };

    start(*shards);
    test_fixture_write(&f, 0, 300, 0);
    for (uint64_t i = 0; i < QUERIES; i++) {
        sutra__v1__query__init(&queries[i]);
        queries[i].by_case = SUTRA__V1__QUERY__BY_EMBEDDING;
        queries[i].embedding = test_embedding(5000 + i, &f.arena);
        list[i] = &queries[i];
    }
    batch.queries = list;
    batch.n_queries = QUERIES;
    batch.k = single.k = 10;
    cr_assert_eq(client_batch_search(f.client, &batch, &f.arena, &together, &st), STATUS_OK, "%s",
                 st.message);
    cr_assert_eq(together->n_results, QUERIES);
    for (size_t q = 0; q < QUERIES; q++) {
        single.query = list[q];
        cr_assert_eq(client_search(f.client, &single, &f.arena, &alone, &st), STATUS_OK);
        cr_assert_eq(together->results[q]->n_hits, alone->n_hits);
        for (size_t i = 0; i < alone->n_hits; i++) {
            cr_expect_str_eq(together->results[q]->hits[i]->id, alone->hits[i]->id);
            cr_expect_eq(together->results[q]->hits[i]->score, alone->hits[i]->score);
        }
    }
}

VERB(the_topology_says_who_answers)
{
    Sutra__V1__GetTopologyRequest request = SUTRA__V1__GET_TOPOLOGY_REQUEST__INIT;
    Sutra__V1__GetTopologyResponse *reply = NULL;
    struct status st = { 0 };

    start(*shards);
    cr_assert_eq(client_get_topology(f.client, &request, &f.arena, &reply, &st), STATUS_OK, "%s",
                 st.message);
    cr_expect_eq(reply->epoch, 1);
    cr_expect_eq(reply->slot_count, SLOT_COUNT);
    cr_expect_eq(reply->n_shards, *shards);
    cr_expect_str_eq(reply->role, *shards > 1 ? "router" : "shard");
    cr_assert_geq(reply->shards[0]->n_slots, 1);
    cr_expect_eq(reply->shards[0]->slots[0]->first, 0);
    cr_expect_str_eq(reply->shards[0]->address, f.cluster.shards[0].address);
}

VERB(limits_are_told)
{
    Sutra__V1__GetLimitsRequest request = SUTRA__V1__GET_LIMITS_REQUEST__INIT;
    Sutra__V1__GetLimitsResponse *reply = NULL;
    struct status st = { 0 };

    start(*shards);
    cr_assert_eq(client_get_limits(f.client, &request, &f.arena, &reply, &st), STATUS_OK, "%s",
                 st.message);
    cr_expect_eq(reply->dimension, TEST_DIMENSION);
    cr_expect_eq(reply->max_id_bytes, CONCEPT_ID_MAX_BYTES);
    cr_expect_eq(reply->max_batch_items, 10000);
    cr_expect_eq(reply->max_k, 1000);
    cr_expect_eq(reply->max_message_bytes, 64 << 20);
}

VERB(every_service_says_whether_it_serves)
{
    static const char *const services[] = { "", "sutra.v1.ConceptService", "sutra.v1.AdminService",
                                            "sutra.v1.EmbeddingService" };

    start(*shards);
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
        bool serving = false;
        struct status st = { 0 };
        cr_expect_eq(client_health(f.client, services[i], &serving, &st), STATUS_OK, "%s: %s",
                     services[i], st.message);
        /* The clusters of this test have no model. */
        cr_expect_eq(serving, strcmp(services[i], "sutra.v1.EmbeddingService") != 0, "%s",
                     services[i]);
    }
}

VERB(import_settles_items_in_order)
{
    Sutra__V1__ImportRequest request = SUTRA__V1__IMPORT_REQUEST__INIT;
    Sutra__V1__ImportResponse *reply = NULL;
    Sutra__V1__ConceptInput *items[10];
    struct client_import *import = NULL;
    struct status st = { 0 };

    start(*shards);
    cr_assert_eq(client_import_open(f.client, &import, &st), STATUS_OK, "%s", st.message);
    request.items = items;
    request.n_items = 10;
    for (uint64_t r = 0; r < 5; r++) {
        for (uint64_t i = 0; i < 10; i++)
            items[i] = test_concept(10 * r + i, 0, &f.arena);
        cr_assert(client_import_send(import, &request));
    }
    client_import_send_done(import);
    for (uint64_t r = 0; r < 5; r++) {
        cr_assert_eq(client_import_receive(import, &f.arena, &reply, &st), STATUS_OK, "%s",
                     st.message);
        cr_assert_not_null(reply);
        cr_expect_eq(reply->settled_items, 10 * (r + 1));
        cr_expect_eq(reply->n_results, 10);
    }
    cr_expect_eq(client_import_receive(import, &f.arena, &reply, &st), STATUS_OK, "%s", st.message);
    cr_expect_null(reply, "the end");
    client_import_close(import);
    cr_expect_eq(test_fixture_stats(&f)->total->concepts, 50);
}

/* ---- Import ---- */

enum { IMPORT_REQUESTS = 60, IMPORT_ITEMS = 40, IMPORT_AHEAD = 6 };

/* One item with the same id as in every request, among others. */
static void send_request(struct client_import *import, uint64_t number)
{
    Sutra__V1__ImportRequest request = SUTRA__V1__IMPORT_REQUEST__INIT;
    Sutra__V1__ConceptInput *items[IMPORT_ITEMS];

    for (uint64_t i = 0; i < IMPORT_ITEMS; i++)
        items[i] = test_concept(1 + number * IMPORT_ITEMS + i, 0, &f.arena);
    items[number % IMPORT_ITEMS] = test_concept(0, 0, &f.arena);
    items[number % IMPORT_ITEMS]->content = arena_printf(&f.arena, "%lu", (unsigned long)number);
    request.items = items;
    request.n_items = IMPORT_ITEMS;
    request.skip_embedding = true;
    cr_assert(client_import_send(import, &request));
}

static void receive_response(struct client_import *import, uint64_t number)
{
    Sutra__V1__ImportResponse *response = NULL;
    struct status st = { 0 };

    client_import_receive(import, &f.arena, &response, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_eq(response->settled_items, (number + 1) * IMPORT_ITEMS);
    cr_assert_eq(response->n_results, IMPORT_ITEMS);
    for (uint64_t i = 0; i < IMPORT_ITEMS; i++) {
        uint64_t expected = i == number % IMPORT_ITEMS ? number + 1 : 1;
        cr_assert_null(response->results[i]->status);
        cr_assert_eq(response->results[i]->version, expected, "%s: version %lu, not %lu",
                     response->results[i]->id, (unsigned long)response->results[i]->version,
                     (unsigned long)expected);
    }
}

/* Though several requests are on their way to the shards at once. */
VERB(an_import_writes_items_with_one_id_in_their_order)
{
    struct client_import *import = NULL;
    struct status st = { 0 };

    start(*shards);
    cr_assert_eq(client_import_open(f.client, &import, &st), STATUS_OK, "%s", st.message);
    for (uint64_t i = 0; i < IMPORT_REQUESTS + IMPORT_AHEAD; i++) {
        if (i < IMPORT_REQUESTS)
            send_request(import, i);
        if (i >= IMPORT_AHEAD)
            receive_response(import, i - IMPORT_AHEAD);
    }
    client_import_close(import);
    cr_expect_str_eq(get("c0")->content, "59");
    cr_expect_eq(get("c0")->version, IMPORT_REQUESTS);
}
