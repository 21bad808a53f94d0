/**
 * Bad input gets the right status with a message that names field and limit, the process stays up,
 * and nothing is half applied. Over a router with two shards, and over a shard alone.
 */

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/rpc/details.h"
#include "src/rpc/loop.h"
#include "src/rpc/sync_client.h"
#include "tests/support/fixture.h"

static const int64_t CALL_US = 60 * 1000000LL;

static struct test_fixture f;

static void start_router(void)
{
    test_fixture_start(&f, &(struct test_cluster_options){ .shards = 2, .router = true });
}

static void start_alone(void)
{
    test_fixture_start(&f, &(struct test_cluster_options){ .shards = 1 });
}

static void stop(void)
{
    test_fixture_stop(&f);
}

static void expect_empty_and_alive(void)
{
    Sutra__V1__StatsResponse *stats = test_fixture_stats(&f);

    cr_expect_eq(stats->total->concepts, 0, "nothing was written");
    cr_expect_eq(stats->total->associations_out, 0);
    cr_expect_eq(stats->total->associations_in, 0);
    cr_expect_eq(stats->n_shards_missing, 0);
}

/* Writes ------------------------------------------------------------------------------------- */

static void expect_put_refused(Sutra__V1__ConceptInput *input, const char *field, const char *part)
{
    Sutra__V1__PutRequest put = SUTRA__V1__PUT_REQUEST__INIT;
    Sutra__V1__LearnRequest learn = SUTRA__V1__LEARN_REQUEST__INIT;
    Sutra__V1__PutResponse *put_reply;
    Sutra__V1__LearnResponse *learn_reply;
    struct status st = { 0 };

    put.concept = learn.concept = input;
    client_put(f.client, &put, &f.arena, &put_reply, &st);
    test_expect_status(&st, STATUS_INVALID_ARGUMENT, field, part);
    client_learn(f.client, &learn, &f.arena, &learn_reply, &st);
    test_expect_status(&st, STATUS_INVALID_ARGUMENT, field, part);
}

static char *letters(size_t count)
{
    char *text = arena_alloc(&f.arena, count + 1);

    memset(text, 'x', count);
    text[count] = '\0';
    return text;
}

static void refuses_bad_ids(void)
{
    Sutra__V1__ConceptInput *input = test_concept(1, 0, &f.arena);

    input->id = letters(256);
    expect_put_refused(input, "concept.id", "256 bytes, the limit is 255");
    input->id = "\xC3(";
    expect_put_refused(input, "concept.id", "UTF-8");
    input->id = "";
    input->content = "";
    expect_put_refused(input, "concept.id", "empty");
}

static void refuses_bad_embeddings(void)
{
    Sutra__V1__ConceptInput *input = test_concept(1, 0, &f.arena);
    float *vector = (float *)input->embedding->f32le.data;
    float values[TEST_DIMENSION];

    vector[17] = NAN;
    expect_put_refused(input, "concept.embedding", "embedding[17]");
    vector[17] = -INFINITY;
    expect_put_refused(input, "concept.embedding", "embedding[17]");
    memset(vector, 0, sizeof values);
    expect_put_refused(input, "concept.embedding", "zero");
    input->embedding->f32le.len = 383 * sizeof(float);
    expect_put_refused(input, "concept.embedding", "383 dimensions, this cluster has 384");
    input->embedding->f32le.len = 1537;
    expect_put_refused(input, "concept.embedding", "1537 bytes");
    input->embedding->f32le.len = 1536;
    test_vector(1, values);
    input->embedding->values = values;
    input->embedding->n_values = TEST_DIMENSION;
    expect_put_refused(input, "concept.embedding", "both");
    input->embedding->f32le.len = 0;
    input->embedding->n_values = 3;
    expect_put_refused(input, "concept.embedding", "3 dimensions, this cluster has 384");
}

static void refuses_bad_content(void)
{
    Sutra__V1__ConceptInput *input = test_concept(1, 0, &f.arena);

    input->content = letters((1 << 20) + 1);
    expect_put_refused(input, "concept.content", "1048577 bytes, the limit is 1048576");
    input->content = "not \xFF text";
    expect_put_refused(input, "concept.content", "UTF-8");
}

static void refuses_bad_numbers(void)
{
    Sutra__V1__ConceptInput *input = test_concept(1, 0, &f.arena);

    input->optional_strength_case = SUTRA__V1__CONCEPT_INPUT__OPTIONAL_STRENGTH_STRENGTH;
    input->strength = 10.5f;
    expect_put_refused(input, "concept.strength", "0 to 10");
    input->strength = NAN;
    expect_put_refused(input, "concept.strength", "0 to 10");
    input->strength = 10;
    input->optional_confidence_case = SUTRA__V1__CONCEPT_INPUT__OPTIONAL_CONFIDENCE_CONFIDENCE;
    input->confidence = -0.5f;
    expect_put_refused(input, "concept.confidence", "0 to 1");
}

static void refuses_bad_associations(void)
{
    Sutra__V1__ConceptInput *input = test_concept(1, 0, &f.arena);
    Sutra__V1__Association *second;

    test_concept_associate(input, 2, &f.arena);
    test_concept_associate(input, 3, &f.arena);
    second = input->associations[1];
    second->target = letters(256);
    expect_put_refused(input, "concept.associations[1].target", "256 bytes, the limit is 255");
    second->target = "c3";
    second->label = letters(65);
    expect_put_refused(input, "concept.associations[1].label", "65 bytes, the limit is 64");
    second->label = "l";
    second->type = (Sutra__V1__AssociationType)77;
    expect_put_refused(input, "concept.associations[1].type", "77");
    second->type = SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_CAUSAL;
    second->optional_weight_case = SUTRA__V1__ASSOCIATION__OPTIONAL_WEIGHT_WEIGHT;
    second->weight = 5.5f;
    expect_put_refused(input, "concept.associations[1].weight", "0 to 5");
    second->weight = 1;
    second->source = "c9";
    expect_put_refused(input, "concept.associations[1].source", "source");
}

static void write_checks(void)
{
    refuses_bad_ids();
    refuses_bad_embeddings();
    refuses_bad_content();
    refuses_bad_numbers();
    refuses_bad_associations();
    expect_empty_and_alive();
}

Test(bad_input, of_a_write_names_field_and_limit, .init = start_router, .fini = stop,
     .timeout = 120)
{
    write_checks();
}

Test(bad_input, of_a_write_names_field_and_limit_on_a_shard_alone, .init = start_alone,
     .fini = stop, .timeout = 120)
{
    write_checks();
}

/* Reads -------------------------------------------------------------------------------------- */

static void expect_search_refused(uint32_t k, uint32_t rerank, Sutra__V1__Query *query,
                                  const char *field, const char *part)
{
    Sutra__V1__SearchRequest request = SUTRA__V1__SEARCH_REQUEST__INIT;
    Sutra__V1__SearchResponse *reply;
    struct status st = { 0 };

    request.k = k;
    request.rerank = rerank;
    request.query = query;
    client_search(f.client, &request, &f.arena, &reply, &st);
    test_expect_status(&st, STATUS_INVALID_ARGUMENT, field, part);
}

static void search_checks(void)
{
    Sutra__V1__Query query = SUTRA__V1__QUERY__INIT;
    Sutra__V1__Query nothing = SUTRA__V1__QUERY__INIT;

    query.by_case = SUTRA__V1__QUERY__BY_EMBEDDING;
    query.embedding = test_embedding(1, &f.arena);
    expect_search_refused(0, 0, &query, "k", "k is 0, it takes 1 to 1000");
    expect_search_refused(1001, 0, &query, "k", "k is 1001, it takes 1 to 1000");
    expect_search_refused(1, 10001, &query, "rerank", "the limit is 10000");
    expect_search_refused(1, 0, NULL, "query", "query");
    expect_search_refused(1, 0, &nothing, "query.by", "must be given");
    ((float *)query.embedding->f32le.data)[0] = NAN;
    expect_search_refused(1, 0, &query, "query.embedding", "embedding[0]");
    query.embedding->f32le.len = 4;
    expect_search_refused(1, 0, &query, "query.embedding", "1 dimensions");
    query.by_case = SUTRA__V1__QUERY__BY_CONCEPT_ID;
    query.concept_id = letters(300);
    expect_search_refused(1, 0, &query, "query.concept_id", "300 bytes, the limit is 255");
}

Test(bad_input, of_a_search_names_field_and_limit, .init = start_router, .fini = stop,
     .timeout = 120)
{
    search_checks();
}

Test(bad_input, of_a_search_names_field_and_limit_on_a_shard_alone, .init = start_alone,
     .fini = stop, .timeout = 120)
{
    search_checks();
}

Test(bad_input, of_an_id_names_it, .init = start_router, .fini = stop, .timeout = 120)
{
    static char *const ids[] = { "", "\xFF\xFE" };

    for (size_t i = 0; i < 2; i++) {
        Sutra__V1__GetRequest get = SUTRA__V1__GET_REQUEST__INIT;
        Sutra__V1__DeleteRequest delete = SUTRA__V1__DELETE_REQUEST__INIT;
        Sutra__V1__NeighborsRequest neighbors = SUTRA__V1__NEIGHBORS_REQUEST__INIT;
        Sutra__V1__GetResponse *got;
        Sutra__V1__DeleteResponse *deleted;
        Sutra__V1__NeighborsResponse *found;
        struct status st = { 0 };
        get.id = delete.id = neighbors.id = ids[i];
        client_get(f.client, &get, &f.arena, &got, &st);
        test_expect_status(&st, STATUS_INVALID_ARGUMENT, "id", i == 0 ? "empty" : "UTF-8");
        client_delete(f.client, &delete, &f.arena, &deleted, &st);
        test_expect_status(&st, STATUS_INVALID_ARGUMENT, "id", i == 0 ? "empty" : "UTF-8");
        client_neighbors(f.client, &neighbors, &f.arena, &found, &st);
        test_expect_status(&st, STATUS_INVALID_ARGUMENT, "id", i == 0 ? "empty" : "UTF-8");
    }
}

/* Sizes -------------------------------------------------------------------------------------- */

Test(bad_input, of_a_hundred_thousand_and_one_items_is_refused_whole, .init = start_router,
     .fini = stop, .timeout = 120)
{
    enum { ITEMS = 100001 };
    Sutra__V1__LearnBatchRequest request = SUTRA__V1__LEARN_BATCH_REQUEST__INIT;
    Sutra__V1__LearnBatchResponse *reply;
    Sutra__V1__BatchGetRequest get = SUTRA__V1__BATCH_GET_REQUEST__INIT;
    Sutra__V1__BatchGetResponse *got;
    struct status st = { 0 };
    Sutra__V1__ConceptInput item = SUTRA__V1__CONCEPT_INPUT__INIT;

    item.content = "one";
    request.n_items = ITEMS;
    request.items = arena_calloc(&f.arena, ITEMS, sizeof *request.items);
    get.n_ids = ITEMS;
    get.ids = arena_calloc(&f.arena, ITEMS, sizeof *get.ids);
    for (size_t i = 0; i < ITEMS; i++) {
        request.items[i] = &item;
        get.ids[i] = "x";
    }
    client_learn_batch(f.client, &request, &f.arena, &reply, &st);
    test_expect_status(&st, STATUS_INVALID_ARGUMENT, "items", "100001 entries, the limit is 10000");
    client_batch_get(f.client, &get, &f.arena, &got, &st);
    test_expect_status(&st, STATUS_INVALID_ARGUMENT, "ids", "100001 entries, the limit is 10000");
    expect_empty_and_alive();
}

Test(bad_input, of_65_megabytes_is_refused, .init = start_router, .fini = stop, .timeout = 120)
{
    enum { BIG = 65 << 20 };
    Sutra__V1__LearnRequest request = SUTRA__V1__LEARN_REQUEST__INIT;
    Sutra__V1__LearnResponse *reply;
    struct status st = { 0 };

    request.concept = test_concept(1, 0, &f.arena);
    request.concept->content = letters(BIG);
    client_learn(f.client, &request, &f.arena, &reply, &st);
    cr_expect_eq(st.code, STATUS_RESOURCE_EXHAUSTED, "%s", st.message);
    cr_expect_not_null(strstr(st.message, "67108864"), "names the limit: %s", st.message);
    expect_empty_and_alive();
}

Test(bad_input, of_one_item_leaves_the_others_of_its_batch_alone, .init = start_router,
     .fini = stop, .timeout = 120)
{
    const Sutra__V1__LearnBatchResponse *reply;
    Sutra__V1__ConceptInput *items[3];

    for (unsigned i = 0; i < 3; i++)
        items[i] = test_concept(i, 0, &f.arena);
    test_concept_associate(items[1], 0, &f.arena);
    items[1]->id = letters(256);
    reply = test_fixture_learn(&f, items, 3);
    cr_expect_null(reply->results[0]->status);
    cr_expect_null(reply->results[2]->status);
    cr_assert_not_null(reply->results[1]->status);
    cr_expect_eq(reply->results[1]->status->code, STATUS_INVALID_ARGUMENT);
    cr_expect_not_null(strstr(reply->results[1]->status->message, "255"));
    cr_expect_eq(test_fixture_stats(&f)->total->concepts, 2);
    cr_expect_eq(test_fixture_stats(&f)->total->associations_out, 0);
}

/* Found by the shard, which does not know what place the item has in the caller's request. */
Test(bad_input, of_an_item_is_named_by_its_place_in_the_batch, .init = start_router, .fini = stop,
     .timeout = 120)
{
    enum { ITEMS = 9, BAD = 5 };
    const Sutra__V1__LearnBatchResponse *reply;
    Sutra__V1__ConceptInput *items[ITEMS];
    struct status st = { 0 };

    for (unsigned i = 0; i < ITEMS; i++)
        items[i] = test_concept(i, 0, &f.arena);
    items[BAD]->optional_strength_case = SUTRA__V1__CONCEPT_INPUT__OPTIONAL_STRENGTH_STRENGTH;
    items[BAD]->strength = 11;
    reply = test_fixture_learn(&f, items, ITEMS);
    for (size_t i = 0; i < ITEMS; i++) {
        cr_expect_str_eq(reply->results[i]->id, items[i]->id);
        cr_expect_eq(reply->results[i]->status != NULL, i == BAD);
    }
    rpc_status_from_message(reply->results[BAD]->status, &st);
    test_expect_status(&st, STATUS_INVALID_ARGUMENT, "items[5].strength", "11");
}

/* Bytes -------------------------------------------------------------------------------------- */

static enum status_code call_with_bytes(const char *path, const void *data, size_t size,
                                        struct status *st)
{
    struct rpc_loop *loop;
    struct rpc_channel *channel;
    struct rpc_result result;
    struct rpc_request request = {
        .path = path,
        .deadline_us = clock_monotonic_us() + CALL_US,
    };

    cr_assert_eq(rpc_loop_start(&loop, st), STATUS_OK);
    cr_assert_eq(rpc_channel_open(loop, test_cluster_address(&f.cluster), NULL, &channel, st),
                 STATUS_OK);
    request.bytes = rpc_bytes_copy(data, size);
    rpc_sync_call_result(channel, &request, &result);
    *st = result.status;
    rpc_result_deinit(&result);
    rpc_channel_close(channel);
    rpc_loop_stop(loop);
    return st->code;
}

Test(bad_input, of_bytes_that_are_no_message_is_refused, .init = start_router, .fini = stop,
     .timeout = 120)
{
    static const char *const paths[] = {
        "/sutra.v1.ConceptService/Learn",  "/sutra.v1.ConceptService/Get",
        "/sutra.v1.ConceptService/Search", "/sutra.v1.ConceptService/Delete",
        "/sutra.v1.AdminService/Stats",    "/sutra.v1.ConceptService/LearnBatch",
    };
    static const unsigned char garbage[] = { 0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0x01 };

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct status st = { 0 };
        call_with_bytes(paths[i], garbage, sizeof garbage, &st);
        cr_expect_eq(st.code, STATUS_INVALID_ARGUMENT, "%s: %s", paths[i], st.message);
    }
    expect_empty_and_alive();
}

Test(bad_input, of_an_unknown_method_is_unimplemented, .init = start_router, .fini = stop,
     .timeout = 120)
{
    struct status st = { 0 };

    call_with_bytes("/sutra.v1.ConceptService/Forget", "", 0, &st);
    cr_expect_eq(st.code, STATUS_UNIMPLEMENTED, "%s", st.message);
    call_with_bytes("/no.such.Service/Get", "", 0, &st);
    cr_expect_eq(st.code, STATUS_UNIMPLEMENTED, "%s", st.message);
}

static int connect_to_port(const char *address)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1)) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* Sends and reads until the server closes or has nothing to say for a second. */
static void send_garbage(const char *address, const void *data, size_t size)
{
    static const struct timeval second = { .tv_sec = 1 };
    char answer[4096];
    int fd = connect_to_port(address);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
    if (send(fd, data, size, MSG_NOSIGNAL) > 0)
        while (recv(fd, answer, sizeof answer, 0) > 0)
            ;
    close(fd);
}

static void expect_survives_garbage(struct test_process *process)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x04\x01\xFF";
    unsigned char noise[8192];
    struct client *client;
    bool serving = false;
    struct status st = { 0 };

    for (uint64_t i = 0; i < sizeof noise; i++)
        noise[i] = (unsigned char)test_draw(7, i, 256);
    for (size_t size = 1; size <= sizeof noise; size *= 8)
        send_garbage(process->address, noise, size);
    send_garbage(process->address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
    send_garbage(process->address, preface, sizeof preface);
    client = test_client_open(process->address);
    cr_assert_eq(client_health(client, "", &serving, &st), STATUS_OK, "%s", st.message);
    cr_expect(serving);
    client_close(client);
    cr_expect_eq(test_process_stop(process), 0);
}

Test(bad_input, of_garbage_on_the_port_does_not_hurt, .init = start_alone, .fini = stop,
     .timeout = 120)
{
    struct test_process router = { 0 };
    struct test_process shard = { 0 };
    char data[96];

    snprintf(data, sizeof data, "%s/other", f.cluster.folder);
    test_process_start(&shard, (const char *const[]){ "shard/sutra-shard", "--listen",
                                                      "127.0.0.1:0", "--data", data, NULL });
    test_process_start(&router,
                       (const char *const[]){ "router/sutra-router", "--listen", "127.0.0.1:0",
                                              "--shards", f.cluster.shards[0].address, NULL });
    expect_survives_garbage(&router);
    expect_survives_garbage(&shard);
}
