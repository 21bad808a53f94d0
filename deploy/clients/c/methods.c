#include "deploy/clients/c/methods.h"

#include <string.h>

#include "deploy/clients/c/proto3_json.h"

enum { ARENA_BYTES = 512 << 20 };

typedef enum status_code (*call_function)(struct client *client, const ProtobufCMessage *request,
                                          struct arena *arena, ProtobufCMessage **ret_reply,
                                          struct status *st);

/* client_get() and the others, without their types. */
#define WITHOUT_TYPES(service, function, Method)                                                   \
    static enum status_code call_##function(struct client *client,                                 \
                                            const ProtobufCMessage *request, struct arena *arena,  \
                                            ProtobufCMessage **ret_reply, struct status *st)       \
    {                                                                                              \
        Sutra__V1__##Method##Response *reply = NULL;                                               \
                                                                                                   \
        if (client_##function(client, (const void *)request, arena, &reply, st) == STATUS_OK)      \
            *ret_reply = &reply->base;                                                             \
        return st->code;                                                                           \
    }
CLIENT_METHODS(WITHOUT_TYPES)

struct method {
    const ProtobufCServiceDescriptor *service;
    const char *name;
    const ProtobufCMessageDescriptor *request;
    call_function call;
};

#define ENTRY(service, function, Method)                                                           \
    { &sutra__v1__##service##_service__descriptor, #Method,                                        \
      &sutra__v1__##function##_request__descriptor, call_##function },
static const struct method methods[] = { CLIENT_METHODS(ENTRY) };

static const struct method *find(const char *path)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        size_t length = strlen(methods[i].service->name);
        if (strncmp(path, methods[i].service->name, length) == 0 && path[length] == '/' &&
            strcmp(path + length + 1, methods[i].name) == 0)
            return &methods[i];
    }
    return NULL;
}

enum status_code method_call(struct client *client, const char *path, const json_t *request,
                             json_t **ret_answer, struct status *st)
{
    const struct method *method = find(path);
    ProtobufCMessage *message;
    ProtobufCMessage *reply;
    struct arena arena;

    if (method == NULL)
        return status_set(st, STATUS_INVALID_ARGUMENT, "no method '%.100s'", path);
    arena_init(&arena, ARENA_BYTES);
    message = proto3_from_json(request, method->request, &arena, st);
    if (message != NULL && method->call(client, message, &arena, &reply, st) == STATUS_OK)
        *ret_answer = proto3_to_json(reply);
    arena_deinit(&arena);
    return st->code;
}

/* Lists one behind the other, anything else from the last response. */
static void join(json_t *whole, json_t *response)
{
    const char *name;
    json_t *value;

    json_object_foreach(response, name, value)
    {
        if (json_is_array(value) && json_object_get(whole, name) != NULL)
            json_array_extend(json_object_get(whole, name), value);
        else
            json_object_set(whole, name, value);
    }
    json_decref(response);
}

enum status_code method_list(struct client *client, const json_t *request, json_t **ret_answer,
                             struct status *st)
{
    Sutra__V1__ListResponse *page = NULL;
    struct client_list *list = NULL;
    ProtobufCMessage *message;
    struct arena arena;

    arena_init(&arena, ARENA_BYTES);
    message = proto3_from_json(request, &sutra__v1__list_request__descriptor, &arena, st);
    if (message == NULL || client_list_open(client, (const void *)message, &list, st) != STATUS_OK)
        goto out;
    *ret_answer = json_object();
    while (client_list_next(list, &arena, &page, st) == STATUS_OK && page != NULL)
        join(*ret_answer, proto3_to_json(&page->base));
out:
    client_list_close(list);
    arena_deinit(&arena);
    return st->code;
}

static void send_all(struct client_import *import, const json_t *requests, size_t count,
                     struct arena *arena, struct status *st)
{
    for (size_t i = 0; i < count; i++) {
        ProtobufCMessage *message = proto3_from_json(
            json_array_get(requests, i), &sutra__v1__import_request__descriptor, arena, st);
        if (message == NULL || !client_import_send(import, (const void *)message))
            return; /* a stream that broke says why to the one who receives */
    }
}

/* The scenario's imports are few requests; who sends many receives in a second thread. */
enum status_code method_import(struct client *client, const json_t *requests, size_t cancel_after,
                               json_t **ret_answers, struct status *st)
{
    Sutra__V1__ImportResponse *response = NULL;
    struct client_import *import = NULL;
    struct arena arena;

    arena_init(&arena, ARENA_BYTES);
    *ret_answers = json_array();
    if (client_import_open(client, &import, st) != STATUS_OK)
        goto out;
    send_all(import, requests, cancel_after > 0 ? cancel_after : json_array_size(requests), &arena,
             st);
    if (st->code != STATUS_OK)
        goto out;
    if (cancel_after == 0)
        client_import_send_done(import);
    while (client_import_receive(import, &arena, &response, st) == STATUS_OK && response != NULL) {
        json_array_append_new(*ret_answers, proto3_to_json(&response->base));
        if (json_array_size(*ret_answers) == cancel_after)
            client_import_cancel(import);
    }
out:
    client_import_close(import);
    arena_deinit(&arena);
    return st->code;
}
