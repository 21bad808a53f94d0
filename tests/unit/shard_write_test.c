#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard/shard.h"
#include "src/rpc/details.h"
#include "src/serve/limits.h"
#include "src/vector/refine.h"
#include "sutra/internal/v1/shard_service.pb-c.h"
#include "tests/property/vector_data.h"
#include "tests/support/store_fixture.h"

enum { D = LIMIT_DIMENSION, N = 30 };

static const uint64_t SEED = 0x5EED;

/* A shard without a server: asked as the cluster in its process asks it. */
static struct fixture {
    char folder[64];
    char data[80];
    struct topology *topology;
    struct rpc_loop *loop;
    struct cluster *cluster;
    struct shard *shard;
    struct arena arena;
    float *units; /* [N][D] */
} f;

static void set_up(void)
{
    struct status st = { 0 };
    struct vector_random random = { SEED };

    temp_folder_make(f.folder);
    snprintf(f.data, sizeof f.data, "%s/data", f.folder);
    arena_init(&f.arena, SIZE_MAX);
    f.units = vector_random_units(&random, N, D, 4);
    topology_even("here", 1, &f.topology, &st);
    cr_assert_eq(rpc_loop_start(&f.loop, &st), STATUS_OK, "%s", st.message);
    shard_open(&(struct shard_options){ .data = f.data, .topology = f.topology, .threads = 1 },
               &f.shard, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cluster_new(&(struct cluster_options){ .loop = f.loop,
                                           .topology = f.topology,
                                           .local = shard_local(f.shard) },
                &f.cluster, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_eq(shard_start(f.shard, f.cluster, &st), STATUS_OK, "%s", st.message);
}

static void tear_down(void)
{
    char store[96];

    shard_stop(f.shard);
    cluster_free(f.cluster);
    shard_close(f.shard);
    rpc_loop_stop(f.loop);
    topology_unref(f.topology);
    arena_deinit(&f.arena);
    free(f.units);
    snprintf(store, sizeof store, "%s/store", f.data);
    temp_folder_remove(store);
    temp_folder_remove(f.data);
    temp_folder_remove(f.folder);
}

TestSuite(shard_write, .init = set_up, .fini = tear_down);

/* ---- Asking ---- */

struct answer {
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    bool done;
    struct rpc_result result;
};

static void take_answer(void *ctx, struct rpc_result *result)
{
    struct answer *answer = ctx;

    pthread_mutex_lock(&answer->lock);
    answer->result = rpc_result_move(result);
    answer->done = true;
    pthread_cond_signal(&answer->arrived);
    pthread_mutex_unlock(&answer->lock);
}

static struct rpc_result ask(const char *method, const ProtobufCMessage *message)
{
    struct answer answer = { .lock = PTHREAD_MUTEX_INITIALIZER,
                             .arrived = PTHREAD_COND_INITIALIZER };
    struct local_shard local = shard_local(f.shard);

    local.call(local.shard, &(struct shard_request){ .method = method, .message = message },
               take_answer, &answer);
    pthread_mutex_lock(&answer.lock);
    while (!answer.done)
        pthread_cond_wait(&answer.arrived, &answer.lock);
    pthread_mutex_unlock(&answer.lock);
    return answer.result;
}

/* What became of the one item of a Write. */
static struct status item_status(struct rpc_result *result)
{
    struct status st = result->status;
    ProtobufCMessage *message;

    if (st.code == STATUS_OK &&
        rpc_bytes_unpack(result->bytes, &sutra__internal__v1__write_response__descriptor, &f.arena,
                         &message, &st) == STATUS_OK) {
        const Sutra__Internal__V1__WriteResponse *reply =
            (const Sutra__Internal__V1__WriteResponse *)message;
        cr_assert_eq(reply->n_results, 1);
        if (reply->results[0]->status != NULL)
            rpc_status_from_message(reply->results[0]->status, &st);
    }
    rpc_result_deinit(result);
    return st;
}

/* Writes "@id" with @size bytes of @unit as its embedding. */
static struct status write_one_input(char *id, const float *unit, size_t size)
{
    Sutra__Internal__V1__WriteRequest request = SUTRA__INTERNAL__V1__WRITE_REQUEST__INIT;
    Sutra__V1__ConceptInput input = SUTRA__V1__CONCEPT_INPUT__INIT;
    Sutra__V1__Embedding embedding = SUTRA__V1__EMBEDDING__INIT;
    Sutra__V1__ConceptInput *items[] = { &input };

    embedding.f32le.data = (uint8_t *)unit;
    embedding.f32le.len = size;
    input.id = id;
    input.embedding = &embedding;
    request.items = items;
    request.n_items = 1;
    struct rpc_result result = ask("Write", &request.base);
    return item_status(&result);
}

static void write_all(char prefix)
{
    for (size_t i = 0; i < N; i++) {
        char id[16];
        snprintf(id, sizeof id, "%c%zu", prefix, i);
        struct status st = write_one_input(id, f.units + i * D, D * sizeof(float));
        cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    }
}

static void install_codebook(void)
{
    struct codebook *codebook = vector_random_codebook(SEED, D, 1);
    struct buf bytes = { 0 };
    struct index_install install = { 0 };
    struct status st = { 0 };

    codebook_serialize(codebook, &bytes);
    install.bytes = bytes.data;
    install.size = bytes.size;
    cr_assert_eq(index_install(f.shard->index, &install, &st), STATUS_OK, "%s", st.message);
    buf_deinit(&bytes);
    codebook_unref(codebook);
}

static struct store_vector stored(char prefix, size_t number)
{
    char text[16];
    struct store_vector vector = { 0 };
    struct status st = { 0 };

    snprintf(text, sizeof text, "%c%zu", prefix, number);
    struct concept_id id = id_of(text);
    store_get_vectors(f.shard->store, &id, 1, &f.arena, &vector, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_not_null(vector.refinement);
    return vector;
}

/* ---- Facts ---- */

/* Or a search would depend on the moment of a training, and so on the number of shards. */
Test(shard_write, a_code_is_the_same_before_and_after_the_codebook_came)
{
    write_all('a');
    install_codebook();
    write_all('b');
    for (size_t i = 0; i < N; i++) {
        struct store_vector before = stored('a', i);
        struct store_vector after = stored('b', i);
        cr_assert_eq(before.codebook_version, 1);
        cr_assert_eq(after.codebook_version, 1);
        cr_assert_eq(memcmp(before.code, after.code, STORE_CODE_BYTES), 0, "vector %zu", i);
        cr_assert_eq(before.refinement_size, after.refinement_size);
        cr_assert_eq(memcmp(before.refinement, after.refinement, after.refinement_size), 0);
    }
}

Test(shard_write, an_embedding_of_another_size_is_refused)
{
    struct status st = write_one_input("a", f.units, D * sizeof(float) - 4);

    cr_expect_eq(st.code, STATUS_INVALID_ARGUMENT);
    cr_expect_str_eq(st.field, "embedding");
    cr_expect_str_eq(st.message, "embedding has 383 dimensions, this cluster has 384");
}

/* Past the store's checks, as a damaged record would be. */
static void write_short_row(const char *id)
{
    static const uint8_t row[10] = { 0 };
    const struct store_vector vector = { .refinement = row, .refinement_size = sizeof row };
    const struct store_write write = { .id = id_of(id), .mode = STORE_PUT, .vector = &vector };
    struct store_write_result result;
    struct status st = { 0 };

    store_write(f.shard->store, &write, 1, false, &result, &st);
    cr_assert(st.code == STATUS_OK && result.status.code == STATUS_OK, "%s", st.message);
}

static void expect_damaged(const char *method, const ProtobufCMessage *request)
{
    struct rpc_result result = ask(method, request);

    cr_expect_eq(result.status.code, STATUS_DATA_LOSS, "%s: %s", method, result.status.message);
    cr_expect_not_null(strstr(result.status.message, "'bad' is damaged"), "%s",
                       result.status.message);
    rpc_result_deinit(&result);
}

Test(shard_write, a_row_of_another_size_is_damage_to_every_reader)
{
    Sutra__V1__GetRequest get = SUTRA__V1__GET_REQUEST__INIT;
    Sutra__V1__BatchGetRequest batch = SUTRA__V1__BATCH_GET_REQUEST__INIT;
    Sutra__Internal__V1__VectorsRequest vectors = SUTRA__INTERNAL__V1__VECTORS_REQUEST__INIT;
    Sutra__Internal__V1__ListPageRequest page = SUTRA__INTERNAL__V1__LIST_PAGE_REQUEST__INIT;
    char *ids[] = { "bad" };

    write_short_row("bad");
    get.id = ids[0];
    get.include_embedding = true;
    batch.ids = vectors.ids = ids;
    batch.n_ids = vectors.n_ids = 1;
    batch.include_embedding = true;
    page.last_slot = SLOT_COUNT - 1;
    page.limit = 10;
    page.include_embedding = true;
    expect_damaged("Get", &get.base);
    expect_damaged("BatchGet", &batch.base);
    expect_damaged("Vectors", &vectors.base);
    expect_damaged("ListPage", &page.base);
}
