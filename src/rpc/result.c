#include "src/rpc/client.h"

void rpc_result_deinit(struct rpc_result *result)
{
    rpc_bytes_free(result->bytes);
    rpc_bytes_free(result->details);
    *result = (struct rpc_result){ 0 };
}

struct rpc_result rpc_result_move(struct rpc_result *from)
{
    struct rpc_result to = *from;

    *from = (struct rpc_result){ 0 };
    return to;
}

enum status_code rpc_result_unpack(const struct rpc_result *result,
                                   const ProtobufCMessageDescriptor *type, struct arena *arena,
                                   ProtobufCMessage **ret_message, struct status *st)
{
    if (result->status.code != STATUS_OK) {
        *st = result->status;
        return st->code;
    }
    if (rpc_bytes_unpack(result->bytes, type, arena, ret_message, st) == STATUS_OK)
        return STATUS_OK;
    if (st->code == STATUS_INVALID_ARGUMENT) /* not the caller's fault, but the server's */
        st->code = STATUS_INTERNAL;
    return status_wrap(st, "reply");
}
