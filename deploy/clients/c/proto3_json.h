#ifndef SUTRA_DEPLOY_CLIENTS_C_PROTO3_JSON_H
#define SUTRA_DEPLOY_CLIENTS_C_PROTO3_JSON_H

/**
 * protobuf-c's messages in proto3's JSON mapping, by their descriptors: names in lowerCamelCase,
 * enums by name, bytes as base64, maps as objects. Fields with their default are left out, and
 * 64-bit integers are numbers. An Any must hold one of google.rpc's error details.
 */

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

#include "src/base/arena.h"
#include "src/base/status.h"

/** A new reference; NULL when memory runs out. */
json_t *proto3_to_json(const ProtobufCMessage *message);

/** A message of @type in @arena; NULL and INVALID_ARGUMENT for a name that it does not have, or a
 * value that does not fit. */
ProtobufCMessage *proto3_from_json(const json_t *json, const ProtobufCMessageDescriptor *type,
                                   struct arena *arena, struct status *st);

#endif
