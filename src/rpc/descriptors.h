#ifndef SUTRA_RPC_DESCRIPTORS_H
#define SUTRA_RPC_DESCRIPTORS_H

/**
 * The public .proto files as the program carries them: what is a stream, and what reflection
 * shows. Read-only once open; any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/status.h"

struct descriptors;

/** Parses the embedded set; asserts that it can be parsed, as it is part of the program. */
struct descriptors *descriptors_open(void);
void descriptors_close(struct descriptors *descriptors);

/** Whether "sutra.v1.ConceptService", "Get" is known, and which sides stream. */
bool descriptors_method(const struct descriptors *descriptors, const char *service,
                        const char *method, bool *ret_client_streams, bool *ret_server_streams);

/** Files are numbered from 0; -1 when there is none. */
int descriptors_file_by_name(const struct descriptors *descriptors, const char *name);

/** The file that declares a message, enum, service or method, by its full name. */
int descriptors_file_by_symbol(const struct descriptors *descriptors, const char *symbol);

size_t descriptors_count(const struct descriptors *descriptors);

/** The encoded FileDescriptorProto. */
void descriptors_file(const struct descriptors *descriptors, int file, const uint8_t **ret_data,
                      size_t *ret_size);

/** The files that @file imports: the @i-th one's number, -1 beyond the last. */
int descriptors_import(const struct descriptors *descriptors, int file, size_t i);

#endif
