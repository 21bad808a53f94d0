#include <math.h>
#include <string.h>

#include "src/cluster/validate.h"
#include "src/rpc/bytes.h"
#include "src/serve/limits.h"
#include "sutra/internal/v1/shard_service.pb-c.h"
#include "sutra/v1/concept_service.pb-c.h"
#include "tests/fuzz/fuzz.h"

enum { ARENA_BYTES = 4 << 20 };

static const ProtobufCMessageDescriptor *const types[] = {
    &sutra__v1__learn_request__descriptor,
    &sutra__v1__learn_batch_request__descriptor,
    &sutra__v1__import_request__descriptor,
    &sutra__v1__put_request__descriptor,
    &sutra__v1__get_request__descriptor,
    &sutra__v1__batch_get_request__descriptor,
    &sutra__v1__delete_request__descriptor,
    &sutra__v1__list_request__descriptor,
    &sutra__v1__associate_request__descriptor,
    &sutra__v1__dissociate_request__descriptor,
    &sutra__v1__neighbors_request__descriptor,
    &sutra__v1__search_request__descriptor,
    &sutra__v1__batch_search_request__descriptor,
    &sutra__v1__distance_request__descriptor,
    &sutra__v1__reinforce_request__descriptor,
    &sutra__internal__v1__write_request__descriptor,
    &sutra__internal__v1__candidates_request__descriptor,
    &sutra__internal__v1__apply_edges_request__descriptor,
};

enum { TYPES = sizeof types / sizeof types[0] };

static void check_id(const struct concept_id *id)
{
    fuzz_require(id->length >= 1 && id->length <= CONCEPT_ID_MAX_BYTES, "an id has its length");
    fuzz_require(id->slot < SLOT_COUNT, "an id has a slot");
}

static void check_unit(const uint8_t *bytes, size_t size)
{
    float unit[LIMIT_DIMENSION];
    double length = 0;

    fuzz_require(size == sizeof unit, "an accepted embedding has the dimension");
    memcpy(unit, bytes, sizeof unit);
    for (size_t i = 0; i < LIMIT_DIMENSION; i++)
        length += (double)unit[i] * (double)unit[i];
    fuzz_require(fabs(length - 1) < 1e-3, "an accepted embedding has length 1");
}

static void check_input(Sutra__V1__ConceptInput *input, struct arena *arena)
{
    struct status st = { 0 };
    struct concept_id id;

    if (input == NULL || validate_input(input, arena, &id, &st) != STATUS_OK)
        return;
    check_id(&id);
    if (input->embedding != NULL)
        check_unit(input->embedding->f32le.data, input->embedding->f32le.len);
}

static void check_inputs(Sutra__V1__ConceptInput **items, size_t n, struct arena *arena)
{
    for (size_t i = 0; i < n; i++)
        check_input(items[i], arena);
}

static void check_query(const Sutra__V1__Query *query, struct arena *arena)
{
    struct status st = { 0 };
    float *unit;

    if (query != NULL && query->by_case == SUTRA__V1__QUERY__BY_EMBEDDING &&
        validate_embedding(query->embedding, arena, &unit, &st) == STATUS_OK)
        check_unit((const uint8_t *)unit, LIMIT_DIMENSION * sizeof *unit);
}

/* What a handler does first. */
static void check_message(ProtobufCMessage *message, struct arena *arena)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;

    if (type == &sutra__v1__learn_request__descriptor) {
        check_input(((Sutra__V1__LearnRequest *)message)->concept, arena);
    } else if (type == &sutra__v1__put_request__descriptor) {
        check_input(((Sutra__V1__PutRequest *)message)->concept, arena);
    } else if (type == &sutra__v1__learn_batch_request__descriptor) {
        Sutra__V1__LearnBatchRequest *batch = (Sutra__V1__LearnBatchRequest *)message;
        check_inputs(batch->items, batch->n_items, arena);
    } else if (type == &sutra__v1__import_request__descriptor) {
        Sutra__V1__ImportRequest *batch = (Sutra__V1__ImportRequest *)message;
        check_inputs(batch->items, batch->n_items, arena);
    } else if (type == &sutra__v1__search_request__descriptor) {
        check_query(((Sutra__V1__SearchRequest *)message)->query, arena);
    }
}

/* A decoded message can be encoded, and is then accepted again. */
static void check_round_trip(const ProtobufCMessage *message)
{
    struct rpc_bytes *packed = rpc_bytes_pack(message);
    ProtobufCMessage *again;
    struct status st = { 0 };
    struct arena arena;

    arena_init(&arena, 4 * ARENA_BYTES);
    fuzz_require(rpc_bytes_unpack(packed, message->descriptor, &arena, &again, &st) == STATUS_OK,
                 "a decoded message can be encoded and decoded again");
    arena_deinit(&arena);
    rpc_bytes_free(packed);
}

int fuzz_request(const uint8_t *data, size_t size)
{
    struct rpc_bytes *bytes;
    ProtobufCMessage *message;
    struct status st = { 0 };
    struct arena arena;

    if (size == 0)
        return 0;
    bytes = rpc_bytes_copy(data + 1, size - 1);
    arena_init(&arena, ARENA_BYTES);
    if (rpc_bytes_unpack(bytes, types[data[0] % TYPES], &arena, &message, &st) == STATUS_OK) {
        check_round_trip(message);
        check_message(message, &arena);
    } else {
        fuzz_require(st.message[0] != '\0', "a refusal says why");
    }
    arena_deinit(&arena);
    rpc_bytes_free(bytes);
    return 0;
}

/* ---- Seeds: a message of each kind that has something in it ---- */

static void append(struct buf *to, size_t type, const ProtobufCMessage *message)
{
    buf_append_u8(to, (uint8_t)type);
    protobuf_c_message_pack(message, buf_extend(to, protobuf_c_message_get_packed_size(message)));
}

static Sutra__V1__ConceptInput *some_input(void)
{
    static uint8_t vector[LIMIT_DIMENSION * sizeof(float)];
    static Sutra__V1__Embedding embedding = SUTRA__V1__EMBEDDING__INIT;
    static Sutra__V1__Association edge = SUTRA__V1__ASSOCIATION__INIT;
    static Sutra__V1__Association *edges[] = { &edge, &edge };
    static Sutra__V1__ConceptInput__AttributesEntry pair =
        SUTRA__V1__CONCEPT_INPUT__ATTRIBUTES_ENTRY__INIT;
    static Sutra__V1__ConceptInput__AttributesEntry *pairs[] = { &pair, &pair };
    static Sutra__V1__ConceptInput input = SUTRA__V1__CONCEPT_INPUT__INIT;

    for (size_t i = 3; i < sizeof vector; i += sizeof(float))
        vector[i] = 0x3D; /* small positive numbers */
    embedding.f32le.data = vector;
    embedding.f32le.len = sizeof vector;
    edge.target = "h\u00F6he";
    edge.type = SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_CAUSAL;
    edge.optional_weight_case = SUTRA__V1__ASSOCIATION__OPTIONAL_WEIGHT_WEIGHT;
    edge.weight = 2;
    pair.key = "unit";
    pair.value = "m";
    input.id = "tides";
    input.content = "Tides are caused by the moon.";
    input.embedding = &embedding;
    input.optional_strength_case = SUTRA__V1__CONCEPT_INPUT__OPTIONAL_STRENGTH_STRENGTH;
    input.strength = 3;
    input.associations = edges;
    input.n_associations = 2;
    input.attributes = pairs;
    input.n_attributes = 2;
    return &input;
}

static void append_inputs(struct buf *to, size_t type)
{
    Sutra__V1__ConceptInput *items[] = { some_input(), some_input() };
    Sutra__V1__LearnBatchRequest request = SUTRA__V1__LEARN_BATCH_REQUEST__INIT;

    request.items = items;
    request.n_items = 2;
    append(to, type, &request.base);
}

static void append_input(struct buf *to, size_t type)
{
    Sutra__V1__LearnRequest request = SUTRA__V1__LEARN_REQUEST__INIT;

    request.concept = some_input();
    append(to, type, &request.base);
}

static void append_values(struct buf *to)
{
    Sutra__V1__SearchRequest request = SUTRA__V1__SEARCH_REQUEST__INIT;
    Sutra__V1__Query query = SUTRA__V1__QUERY__INIT;
    Sutra__V1__Embedding embedding = SUTRA__V1__EMBEDDING__INIT;
    float values[LIMIT_DIMENSION] = { 1, 2, 3 };

    embedding.values = values;
    embedding.n_values = LIMIT_DIMENSION;
    query.by_case = SUTRA__V1__QUERY__BY_EMBEDDING;
    query.embedding = &embedding;
    request.query = &query;
    request.k = 10;
    append(to, 11, &request.base);
}

/* Field numbers overlap between types: these bytes mean something to most of them. */
static void append_ids(struct buf *to, size_t type)
{
    char *ids[] = { "tides", "moon", "" };
    Sutra__V1__BatchGetRequest request = SUTRA__V1__BATCH_GET_REQUEST__INIT;

    request.ids = ids;
    request.n_ids = 3;
    request.include_embedding = true;
    append(to, type, &request.base);
}

bool fuzz_request_seed(size_t n, struct buf *ret)
{
    static const size_t of_one_input[] = { 0, 3 };
    static const size_t of_inputs[] = { 1, 2, 15 };

    if (n < TYPES)
        append_ids(ret, n);
    else if (n < TYPES + 2)
        append_input(ret, of_one_input[n - TYPES]);
    else if (n < TYPES + 5)
        append_inputs(ret, of_inputs[n - TYPES - 2]);
    else if (n == TYPES + 5)
        append_values(ret);
    return n <= TYPES + 5;
}
