#include "src/rpc/descriptors.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "google/protobuf/descriptor.pb-c.h"
#include "src/rpc/public_descriptors.h"

enum { FILES_MAX = 64 };

struct run {
    const uint8_t *data;
    size_t size;
};

struct descriptors {
    Google__Protobuf__FileDescriptorSet *set;
    struct run files[FILES_MAX]; /* encoded, in the program's read-only data */
};

static size_t read_size(const uint8_t **at)
{
    size_t value = 0;

    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (size_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return value;
    }
}

/* Notes where each `FileDescriptorProto file = 1` lies; the bytes are our own and well-formed. */
static size_t find_files(struct run *files)
{
    const uint8_t *at = public_descriptors;
    const uint8_t *end = public_descriptors + public_descriptors_size;
    size_t count = 0;

    while (at < end) {
        assert(*at == (1 << 3 | 2) && count < FILES_MAX);
        at++;
        files[count].size = read_size(&at);
        files[count].data = at;
        at += files[count++].size;
    }
    return count;
}

struct descriptors *descriptors_open(void)
{
    struct descriptors *d = calloc(1, sizeof *d);

    assert(d != NULL);
    d->set = google__protobuf__file_descriptor_set__unpack(NULL, public_descriptors_size,
                                                           public_descriptors);
    assert(d->set != NULL && find_files(d->files) == d->set->n_file);
    return d;
}

void descriptors_close(struct descriptors *d)
{
    google__protobuf__file_descriptor_set__free_unpacked(d->set, NULL);
    free(d);
}

/* The rest of @symbol behind "@name."; NULL if it does not begin so. An empty @name fits all. */
static const char *below(const char *symbol, const char *name)
{
    size_t length = strlen(name);

    if (length == 0)
        return symbol;
    if (strncmp(symbol, name, length) != 0 || symbol[length] != '.')
        return NULL;
    return symbol + length + 1;
}

static const Google__Protobuf__MethodDescriptorProto *
find_method(const Google__Protobuf__ServiceDescriptorProto *service, const char *name)
{
    for (size_t i = 0; i < service->n_method; i++)
        if (strcmp(service->method[i]->name, name) == 0)
            return service->method[i];
    return NULL;
}

static const Google__Protobuf__ServiceDescriptorProto *
find_service(const Google__Protobuf__FileDescriptorProto *file, const char *name)
{
    for (size_t i = 0; i < file->n_service; i++)
        if (strcmp(file->service[i]->name, name) == 0)
            return file->service[i];
    return NULL;
}

bool descriptors_method(const struct descriptors *d, const char *service, const char *method,
                        bool *ret_client_streams, bool *ret_server_streams)
{
    const Google__Protobuf__ServiceDescriptorProto *found;
    const Google__Protobuf__MethodDescriptorProto *m;
    int file = descriptors_file_by_symbol(d, service);

    if (file < 0)
        return false;
    found = find_service(d->set->file[file], below(service, d->set->file[file]->package));
    m = found != NULL ? find_method(found, method) : NULL;
    if (m == NULL)
        return false;
    *ret_client_streams = m->client_streaming != 0;
    *ret_server_streams = m->server_streaming != 0;
    return true;
}

int descriptors_file_by_name(const struct descriptors *d, const char *name)
{
    for (size_t i = 0; i < d->set->n_file; i++)
        if (strcmp(d->set->file[i]->name, name) == 0)
            return (int)i;
    return -1;
}

/* Whether @symbol, relative to @message, is the message itself or something it contains. */
static bool message_declares(const Google__Protobuf__DescriptorProto *message, const char *symbol)
{
    const char *rest;

    if (strcmp(message->name, symbol) == 0)
        return true;
    rest = below(symbol, message->name);
    if (rest == NULL)
        return false;
    for (size_t i = 0; i < message->n_nested_type; i++)
        if (message_declares(message->nested_type[i], rest))
            return true;
    for (size_t i = 0; i < message->n_enum_type; i++)
        if (strcmp(message->enum_type[i]->name, rest) == 0)
            return true;
    return false;
}

static bool service_declares(const Google__Protobuf__ServiceDescriptorProto *service,
                             const char *symbol)
{
    const char *rest = below(symbol, service->name);

    return strcmp(service->name, symbol) == 0 ||
           (rest != NULL && find_method(service, rest) != NULL);
}

static bool file_declares(const Google__Protobuf__FileDescriptorProto *file, const char *symbol)
{
    for (size_t i = 0; i < file->n_service; i++)
        if (service_declares(file->service[i], symbol))
            return true;
    for (size_t i = 0; i < file->n_message_type; i++)
        if (message_declares(file->message_type[i], symbol))
            return true;
    for (size_t i = 0; i < file->n_enum_type; i++)
        if (strcmp(file->enum_type[i]->name, symbol) == 0)
            return true;
    return false;
}

int descriptors_file_by_symbol(const struct descriptors *d, const char *symbol)
{
    for (size_t i = 0; i < d->set->n_file; i++) {
        const Google__Protobuf__FileDescriptorProto *file = d->set->file[i];
        const char *rest = below(symbol, file->package);
        if (rest != NULL && file_declares(file, rest))
            return (int)i;
    }
    return -1;
}

size_t descriptors_count(const struct descriptors *d)
{
    return d->set->n_file;
}

void descriptors_file(const struct descriptors *d, int file, const uint8_t **ret_data,
                      size_t *ret_size)
{
    *ret_data = d->files[file].data;
    *ret_size = d->files[file].size;
}

int descriptors_import(const struct descriptors *d, int file, size_t i)
{
    const Google__Protobuf__FileDescriptorProto *importing = d->set->file[file];

    if (i >= importing->n_dependency)
        return -1;
    return descriptors_file_by_name(d, importing->dependency[i]);
}
