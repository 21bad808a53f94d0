#ifndef SUTRA_APPS_CLI_JSON_OUTPUT_H
#define SUTRA_APPS_CLI_JSON_OUTPUT_H

/** Answers for programs: one JSON document, or one line for each of many. */

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

#include "src/apps/cli/output.h"

/** Prints an indented document. *Takes* the reference. */
void json_output(const struct output *out, json_t *json);

/** The same of a message, see proto_json.h. */
void json_output_message(const struct output *out, const ProtobufCMessage *message);

/** One line. */
void json_output_line(const struct output *out, const ProtobufCMessage *message);

#endif
