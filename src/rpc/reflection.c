#include "src/rpc/reflection.h"

#include "grpc/reflection/v1/reflection.pb-c.h"
#include "grpc/reflection/v1alpha/reflection.pb-c.h"
#include "src/rpc/descriptors.h"
#include "src/rpc/server_impl.h"

/* v1alpha has the same messages under another package: both are served raw and decoded as v1. */

typedef Grpc__Reflection__V1__ServerReflectionRequest Request;
typedef Grpc__Reflection__V1__ServerReflectionResponse Response;

/* Of each version; most servers let everybody ask, and a stream stays open as long as its client
 * likes. */
enum { STREAMS_MAX = 16 };

/* What one answer is made of; pointed to by the response, all in the message's arena. */
struct answer {
    const struct rpc_server *server;
    struct arena *arena;
    Response response;
    Grpc__Reflection__V1__FileDescriptorResponse files;
    Grpc__Reflection__V1__ListServiceResponse services;
    Grpc__Reflection__V1__ExtensionNumberResponse numbers;
    Grpc__Reflection__V1__ErrorResponse error;
};

static void fail(struct answer *answer, enum status_code code, const char *what)
{
    answer->error.error_code = (int32_t)code;
    answer->error.error_message = (char *)(uintptr_t)what;
    answer->response.error_response = &answer->error;
    answer->response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
}

/* Files. -------------------------------------------------------------------------------------- */

/* @file and all that it imports, each once. */
static void collect(const struct descriptors *descriptors, int file, bool *seen,
                    ProtobufCBinaryData *list, size_t *count)
{
    const uint8_t *data;
    size_t size;
    int import;

    if (seen[file])
        return;
    seen[file] = true;
    descriptors_file(descriptors, file, &data, &size);
    list[(*count)++] = (ProtobufCBinaryData){ .len = size, .data = (uint8_t *)(uintptr_t)data };
    for (size_t i = 0; (import = descriptors_import(descriptors, file, i)) >= 0; i++)
        collect(descriptors, import, seen, list, count);
}

static void answer_file(struct answer *answer, int file)
{
    const struct descriptors *descriptors = answer->server->descriptors;
    size_t most = descriptors_count(descriptors);
    bool *seen = arena_calloc(answer->arena, most, sizeof *seen);
    ProtobufCBinaryData *list = arena_calloc(answer->arena, most, sizeof *list);

    if (file < 0 || seen == NULL || list == NULL) {
        fail(answer, STATUS_NOT_FOUND, "not found");
        return;
    }
    answer->files.file_descriptor_proto = list;
    collect(descriptors, file, seen, list, &answer->files.n_file_descriptor_proto);
    answer->response.file_descriptor_response = &answer->files;
    answer->response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
}

/* Services. ----------------------------------------------------------------------------------- */

static size_t count_services(const struct rpc_server *server)
{
    size_t count = 0;

    while (rpc_server_service_name(server, count) != NULL)
        count++;
    return count;
}

/* A service without a public description (one between the processes of a cluster) is not shown. */
static bool is_public(const struct rpc_server *server, const char *service)
{
    return descriptors_file_by_symbol(server->descriptors, service) >= 0;
}

static void answer_services(struct answer *answer)
{
    size_t count = count_services(answer->server);
    size_t shown = 0;
    Grpc__Reflection__V1__ServiceResponse *service =
        arena_calloc(answer->arena, count, sizeof *service);
    Grpc__Reflection__V1__ServiceResponse **list = arena_calloc(answer->arena, count, sizeof *list);

    if (service == NULL || list == NULL) {
        fail(answer, STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const char *name = rpc_server_service_name(answer->server, i);
        if (!is_public(answer->server, name))
            continue;
        grpc__reflection__v1__service_response__init(&service[shown]);
        service[shown].name = (char *)(uintptr_t)name;
        list[shown] = &service[shown];
        shown++;
    }
    answer->services.service = list;
    answer->services.n_service = shown;
    answer->response.list_services_response = &answer->services;
    answer->response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
}

/* Extensions, of which proto3 has none. ------------------------------------------------------- */

static void answer_extensions(struct answer *answer, char *type)
{
    if (descriptors_file_by_symbol(answer->server->descriptors, type) < 0) {
        fail(answer, STATUS_NOT_FOUND, "not found");
        return;
    }
    answer->numbers.base_type_name = type;
    answer->response.all_extension_numbers_response = &answer->numbers;
    answer->response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE;
}

/* The stream. --------------------------------------------------------------------------------- */

static void answer_init(struct answer *answer, Request *request)
{
    grpc__reflection__v1__server_reflection_response__init(&answer->response);
    grpc__reflection__v1__file_descriptor_response__init(&answer->files);
    grpc__reflection__v1__list_service_response__init(&answer->services);
    grpc__reflection__v1__extension_number_response__init(&answer->numbers);
    grpc__reflection__v1__error_response__init(&answer->error);
    answer->response.valid_host = request->host;
    answer->response.original_request = request;
}

static void answer_request(struct answer *answer, Request *request)
{
    const struct descriptors *descriptors = answer->server->descriptors;

    switch (request->message_request_case) {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        answer_file(answer, descriptors_file_by_name(descriptors, request->file_by_filename));
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        answer_file(answer,
                    descriptors_file_by_symbol(descriptors, request->file_containing_symbol));
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
        fail(answer, STATUS_NOT_FOUND, "not found");
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
        answer_extensions(answer, request->all_extension_numbers_of_type);
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        answer_services(answer);
        return;
    default:
        fail(answer, STATUS_INVALID_ARGUMENT, "the request asks for nothing");
    }
}

static void on_sent(struct rpc_call *call, bool ok, void *ctx)
{
    (void)ctx;
    (void)ok; /* if the stream is broken, the next message is its end */
    rpc_stream_pull(call);
}

static enum status_code reply(struct rpc_call *call, struct rpc_message *message,
                              const struct rpc_server *server, struct status *st)
{
    struct answer answer = { .server = server, .arena = &message->arena };
    ProtobufCMessage *request;

    if (rpc_bytes_unpack(message->bytes,
                         &grpc__reflection__v1__server_reflection_request__descriptor,
                         &message->arena, &request, st) != STATUS_OK)
        return st->code;
    answer_init(&answer, (Request *)request);
    answer_request(&answer, (Request *)request);
    rpc_stream_send(call, &answer.response.base, on_sent, NULL);
    return STATUS_OK;
}

static void on_message(struct rpc_call *call, struct rpc_message *message, const struct status *end,
                       void *ctx)
{
    struct status st = { 0 };

    if (message == NULL) {
        rpc_finish(call, NULL, end);
        return;
    }
    if (reply(call, message, ctx, &st) != STATUS_OK)
        rpc_finish(call, NULL, &st);
    rpc_message_free(message);
}

static void reflect(struct rpc_call *call, const ProtobufCMessage *request, void *service)
{
    (void)request;
    rpc_stream_on_message(call, on_message, service);
    rpc_stream_pull(call);
}

void rpc_reflection_register(struct rpc_server *server, enum role role)
{
    const struct rpc_method method = { .name = "ServerReflectionInfo",
                                       .kind = RPC_BIDI,
                                       .run = RPC_ON_LOOP,
                                       .handler = reflect,
                                       .role = role,
                                       .raw = true,
                                       .endless = true,
                                       .most = STREAMS_MAX };

    rpc_server_add_service(server, &grpc__reflection__v1__server_reflection__descriptor, &method, 1,
                           server);
    rpc_server_add_service(server, &grpc__reflection__v1alpha__server_reflection__descriptor,
                           &method, 1, server);
}
