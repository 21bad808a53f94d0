#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "grpc/reflection/v1/reflection.pb-c.h"
#include "src/rpc/reflection.h"
#include "tests/unit/rpc_fixture.h"

#define V1 "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
#define V1ALPHA "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
#define ASK(what) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##what
#define ANSWER(what) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##what

typedef Grpc__Reflection__V1__ServerReflectionRequest Request;
typedef Grpc__Reflection__V1__ServerReflectionResponse Response;

TestSuite(rpc_reflection, .timeout = 60);

static struct arena arena;
static struct status st;
static struct rpc_fixture f;
static struct rpc_sync_stream *stream;

static void add_reflection(struct rpc_server *server, void *service)
{
    (void)service;
    rpc_reflection_register(server, ROLE_ANYONE);
}

static void start(const char *path)
{
    arena_init(&arena, 4 << 20);
    rpc_fixture_start(&f, &(struct rpc_fixture_setup){ .more = add_reflection });
    stream = rpc_sync_stream_open(f.channel, &(struct rpc_request){ .path = path });
}

static void stop(void)
{
    rpc_sync_stream_close(stream);
    rpc_fixture_stop(&f);
    arena_deinit(&arena);
}

static const Response *ask(Request *request)
{
    ProtobufCMessage *reply;

    cr_assert(rpc_sync_stream_send(stream, &request->base));
    rpc_sync_stream_recv(stream, &grpc__reflection__v1__server_reflection_response__descriptor,
                         &arena, &reply, &st);
    cr_assert(eq(int, st.code, STATUS_OK), "%s", st.message);
    return (const Response *)reply;
}

static const Response *ask_symbol(const char *symbol)
{
    Request request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;

    request.message_request_case = ASK(FILE_CONTAINING_SYMBOL);
    request.file_containing_symbol = (char *)symbol;
    return ask(&request);
}

static const Response *ask_file(const char *name)
{
    Request request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;

    request.message_request_case = ASK(FILE_BY_FILENAME);
    request.file_by_filename = (char *)name;
    return ask(&request);
}

/* The first file of an answer begins with its name: field 1, length, text. */
static bool first_file_is(const Response *response, const char *name)
{
    const ProtobufCBinaryData *file;

    if (response->message_response_case != ANSWER(FILE_DESCRIPTOR_RESPONSE))
        return false;
    file = &response->file_descriptor_response->file_descriptor_proto[0];
    return file->len > strlen(name) + 2 && file->data[0] == 0x0a && file->data[1] == strlen(name) &&
           memcmp(file->data + 2, name, strlen(name)) == 0;
}

static void lists_services(const char *path)
{
    Request request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    const Response *response;

    start(path);
    request.host = (char *)"here";
    request.message_request_case = ASK(LIST_SERVICES);
    request.list_services = (char *)"*";
    response = ask(&request);
    cr_assert(eq(int, response->message_response_case, ANSWER(LIST_SERVICES_RESPONSE)));
    cr_assert(eq(sz, response->list_services_response->n_service, 4));
    cr_assert(
        eq(str, response->list_services_response->service[0]->name, "sutra.v1.ConceptService"));
    cr_assert(eq(str, response->list_services_response->service[2]->name,
                 "grpc.reflection.v1.ServerReflection"));
    cr_assert(eq(str, response->valid_host, "here"));
    cr_assert(eq(str, response->original_request->list_services, "*"));
    stop();
}

Test(rpc_reflection, lists_what_is_served)
{
    lists_services(V1);
}

Test(rpc_reflection, lists_what_is_served_in_v1alpha)
{
    lists_services(V1ALPHA);
}

Test(rpc_reflection, finds_the_file_of_a_symbol)
{
    start(V1);
    cr_assert(
        first_file_is(ask_symbol("sutra.v1.ConceptService"), "sutra/v1/concept_service.proto"));
    cr_assert(
        first_file_is(ask_symbol("sutra.v1.ConceptService.Get"), "sutra/v1/concept_service.proto"));
    cr_assert(first_file_is(ask_symbol("sutra.v1.Concept"), "sutra/v1/types.proto"));
    cr_assert(first_file_is(ask_symbol("sutra.v1.BatchSearchResponse.Hits"),
                            "sutra/v1/concept_service.proto"));
    cr_assert(first_file_is(ask_symbol("sutra.v1.Direction"), "sutra/v1/concept_service.proto"));
    cr_assert(first_file_is(ask_symbol("google.rpc.Status"), "google/rpc/status.proto"));
    cr_assert(first_file_is(ask_symbol("grpc.health.v1.HealthCheckResponse.ServingStatus"),
                            "grpc/health/v1/health.proto"));
    stop();
}

Test(rpc_reflection, a_file_comes_with_its_imports)
{
    const Response *response;

    start(V1);
    response = ask_file("sutra/v1/concept_service.proto");
    cr_assert(first_file_is(response, "sutra/v1/concept_service.proto"));
    /* google/rpc/status, google/protobuf/any, sutra/v1/types */
    cr_assert(eq(sz, response->file_descriptor_response->n_file_descriptor_proto, 4));
    stop();
}

Test(rpc_reflection, what_is_not_there_is_not_found)
{
    const char *symbols[] = { "",
                              "sutra",
                              "sutra.v1",
                              "sutra.v1.",
                              "sutra.v1.Nope",
                              "sutra.v1.ConceptService.Nope",
                              "sutra.v1.Concept.Nope",
                              "sutra.internal.v1.ShardService",
                              "xsutra.v1.Concept",
                              "sutra.v1xConcept" };

    start(V1);
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        const Response *response = ask_symbol(symbols[i]);
        cr_assert(eq(int, response->message_response_case, ANSWER(ERROR_RESPONSE)), "%s",
                  symbols[i]);
        cr_assert(eq(int, response->error_response->error_code, STATUS_NOT_FOUND));
    }
    cr_assert(eq(int, ask_file("nope.proto")->message_response_case, ANSWER(ERROR_RESPONSE)));
    stop();
}

Test(rpc_reflection, there_are_no_extensions)
{
    Request request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    Grpc__Reflection__V1__ExtensionRequest extension =
        GRPC__REFLECTION__V1__EXTENSION_REQUEST__INIT;
    const Response *response;

    start(V1);
    request.message_request_case = ASK(ALL_EXTENSION_NUMBERS_OF_TYPE);
    request.all_extension_numbers_of_type = (char *)"sutra.v1.Concept";
    response = ask(&request);
    cr_assert(eq(int, response->message_response_case, ANSWER(ALL_EXTENSION_NUMBERS_RESPONSE)));
    cr_assert(
        eq(str, response->all_extension_numbers_response->base_type_name, "sutra.v1.Concept"));
    cr_assert(eq(sz, response->all_extension_numbers_response->n_extension_number, 0));
    request.message_request_case = ASK(FILE_CONTAINING_EXTENSION);
    request.file_containing_extension = &extension;
    response = ask(&request);
    cr_assert(eq(int, response->message_response_case, ANSWER(ERROR_RESPONSE)));
    cr_assert(eq(int, response->error_response->error_code, STATUS_NOT_FOUND));
    request.message_request_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST__NOT_SET;
    cr_assert(eq(int, ask(&request)->error_response->error_code, STATUS_INVALID_ARGUMENT));
    stop();
}

/* They need no token as a rule, and would take all calls that the server has. */
Test(rpc_reflection, streams_that_stay_open_leave_calls_to_others)
{
    enum { STREAMS = 16, CALLS = 40 };
    struct rpc_sync_stream *streams[CALLS];

    arena_init(&arena, 4 << 20);
    rpc_fixture_start(&f, &(struct rpc_fixture_setup){ .options = { .max_calls = CALLS },
                                                       .more = add_reflection });
    for (int i = 0; i < CALLS; i++) {
        stream = streams[i] = rpc_sync_stream_open(f.channel, &(struct rpc_request){ .path = V1 });
        if (i < STREAMS)
            ask_symbol("sutra.v1.Concept");
    }
    for (int i = STREAMS; i < CALLS; i++) {
        ProtobufCMessage *reply;
        struct status refused = { 0 };
        rpc_sync_stream_recv(streams[i],
                             &grpc__reflection__v1__server_reflection_response__descriptor, &arena,
                             &reply, &refused);
        cr_assert(eq(int, refused.code, STATUS_RESOURCE_EXHAUSTED), "%s", refused.message);
    }
    get_id(f.channel, "00000000000000000000000000000000", &arena, &st);
    cr_assert(eq(int, st.code, STATUS_UNIMPLEMENTED), "%s", st.message);
    status_clear(&st);
    for (int i = 1; i < CALLS; i++)
        rpc_sync_stream_close(streams[i]);
    stream = streams[0];
    ask_symbol("sutra.v1.Concept");
    stop();
}

Test(rpc_reflection, ends_when_the_client_half_closes)
{
    ProtobufCMessage *reply;

    start(V1);
    rpc_sync_stream_half_close(stream);
    rpc_sync_stream_recv(stream, &grpc__reflection__v1__server_reflection_response__descriptor,
                         &arena, &reply, &st);
    cr_assert(eq(int, st.code, STATUS_OK));
    cr_assert(eq(ptr, (void *)reply, NULL));
    stop();
}
