#include "src/apps/cli/json_output.h"

#include "src/apps/cli/proto_json.h"

static void print(const struct output *out, json_t *json, size_t flags)
{
    json_dumpf(json, out->file, flags | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    fputc('\n', out->file);
    json_decref(json);
}

void json_output(const struct output *out, json_t *json)
{
    print(out, json, JSON_INDENT(2));
}

void json_output_message(const struct output *out, const ProtobufCMessage *message)
{
    print(out, proto_json(message), JSON_INDENT(2));
}

void json_output_line(const struct output *out, const ProtobufCMessage *message)
{
    print(out, proto_json(message), JSON_COMPACT);
}
