#include "src/rpc/guard.h"

#include <grpc/grpc_security.h>
#include <string.h>
#include <strings.h>

static const char scheme[] = "Bearer ";

enum role guard_role(const struct rpc_call *call)
{
    return call->method != NULL ? call->method->method.role : ROLE_READER;
}

static enum status_code unauthenticated(const struct rpc_call *call, const char *reason,
                                        const char *what, struct status *st)
{
    const char *method = call->method != NULL ? rpc_method_path(call) : "every method";

    return status_set_reason(st, STATUS_UNAUTHENTICATED, reason, "%s needs a token of role %s: %s",
                             method, role_name(guard_role(call)), what);
}

/* The one header that says who calls; NULL and *ret_count if there are none or several. */
static const grpc_slice *find_authorization(const struct rpc_call *call, size_t *ret_count)
{
    const grpc_slice *found = NULL;

    *ret_count = 0;
    for (size_t i = 0; i < call->metadata.count; i++) {
        const grpc_metadata *entry = &call->metadata.metadata[i];
        if (grpc_slice_str_cmp(entry->key, "authorization") != 0)
            continue;
        found = &entry->value;
        ++*ret_count;
    }
    return *ret_count == 1 ? found : NULL;
}

static bool is_bearer(const grpc_slice *value)
{
    size_t length = sizeof scheme - 1;

    return GRPC_SLICE_LENGTH(*value) > length &&
           strncasecmp((const char *)GRPC_SLICE_START_PTR(*value), scheme, length) == 0;
}

static enum status_code authenticate(struct rpc_call *call, struct status *st)
{
    const size_t skip = sizeof scheme - 1;
    size_t count;
    const grpc_slice *value = find_authorization(call, &count);

    if (count == 0)
        return unauthenticated(call, "TOKEN_MISSING", "send 'authorization: Bearer TOKEN'", st);
    if (value == NULL || !is_bearer(value))
        return unauthenticated(call, "TOKEN_MALFORMED",
                               "what was sent is not one 'authorization: Bearer TOKEN'", st);
    call->caller =
        tokens_find(call->server->options.tokens, (const char *)GRPC_SLICE_START_PTR(*value) + skip,
                    GRPC_SLICE_LENGTH(*value) - skip);
    if (call->caller == NULL)
        return unauthenticated(call, "TOKEN_UNKNOWN", "this server does not know the one sent", st);
    return STATUS_OK;
}

static enum status_code authorize(const struct rpc_call *call, struct status *st)
{
    if (role_allows(call->caller->role, guard_role(call)))
        return STATUS_OK;
    return status_set_reason(st, STATUS_PERMISSION_DENIED, "ROLE_TOO_SMALL",
                             "%s needs role %s; the token of '%s' has role %s",
                             rpc_method_path(call), role_name(guard_role(call)), call->caller->name,
                             role_name(call->caller->role));
}

enum status_code guard_admit(struct rpc_call *call, struct status *st)
{
    if (call->server->options.tokens == NULL || guard_role(call) == ROLE_ANYONE)
        return STATUS_OK;
    if (authenticate(call, st) != STATUS_OK || authorize(call, st) != STATUS_OK)
        call->refused = true;
    return st->code;
}

char *guard_certificate(const struct rpc_call *call)
{
    grpc_auth_context *context;
    grpc_auth_property_iterator found;
    const grpc_auth_property *subject;
    char *copy;

    if (!rpc_tls_serves(call->server->options.tls))
        return NULL;
    context = grpc_call_auth_context(call->grpc);
    found = grpc_auth_context_find_properties_by_name(context, GRPC_X509_SUBJECT_PROPERTY_NAME);
    subject = grpc_auth_property_iterator_next(&found);
    copy = subject == NULL ? NULL : strndup(subject->value, subject->value_length);
    grpc_auth_context_release(context);
    return copy;
}
