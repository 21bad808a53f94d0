#ifndef SUTRA_APPS_CLI_PROTO_JSON_H
#define SUTRA_APPS_CLI_PROTO_JSON_H

/**
 * Messages as JSON, by their descriptors.
 *
 * Field names are the contract's (snake_case) and every field that always has a value is there,
 * also when it is zero or empty, so that scripts need not ask. Absent: messages that are not set
 * and members of a oneof that were not chosen. Numbers are JSON numbers; enum values are their
 * words in lower case ("hierarchical"); an embedding is an array of numbers; other bytes are
 * base64; a map is an object; text that is not UTF-8 is replaced.
 */

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

/** A new reference; NULL when memory runs out. */
json_t *proto_json(const ProtobufCMessage *message);

#endif
