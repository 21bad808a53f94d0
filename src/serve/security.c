#include "src/serve/security.h"

#include <string.h>

#include "src/log/log.h"
#include "src/rpc/address.h"

static void warn(const char *message)
{
    log_line(LOG_WARN, "tls_files", LOG_TEXT("message", message));
}

static enum status_code parse_client_auth(const char *text, bool *ret_require, struct status *st)
{
    *ret_require = strcmp(text, "require") == 0;
    if (!*ret_require && strcmp(text, "none") != 0)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "--tls-client-auth takes none or require, not '%s'", text);
    return STATUS_OK;
}

static enum status_code open_tls(const struct serve_options *options, struct rpc_tls **ret,
                                 struct status *st)
{
    struct rpc_tls_options tls = {
        .cert = options->tls_cert,
        .key = options->tls_key,
        .ca = options->tls_ca,
        .warn = warn,
    };

    if (parse_client_auth(options->tls_client_auth, &tls.require_client, st) != STATUS_OK)
        return st->code;
    if (tls.cert[0] == '\0' && tls.key[0] == '\0' && tls.ca[0] == '\0' && !tls.require_client)
        return STATUS_OK;
    return rpc_tls_open(&tls, ret, st);
}

static enum status_code open_tokens(const struct serve_options *options, struct tokens **ret,
                                    struct status *st)
{
    if (options->tokens[0] != '\0' && tokens_open(options->tokens, ret, st) != STATUS_OK)
        return status_wrap(st, "--tokens '%s'", options->tokens);
    return STATUS_OK;
}

static enum status_code read_peer_token(const struct serve_options *options,
                                        char ret[TOKEN_MAX_BYTES + 1], struct status *st)
{
    if (options->peer_token[0] != '\0' && token_read(options->peer_token, ret, st) != STATUS_OK)
        return status_wrap(st, "--peer-token '%s'", options->peer_token);
    return STATUS_OK;
}

static enum status_code check_listen(const struct serve_options *options, const struct rpc_tls *tls,
                                     struct status *st)
{
    if (rpc_tls_serves(tls) || options->insecure || rpc_address_is_local(options->listen))
        return STATUS_OK;
    return status_set(st, STATUS_INVALID_ARGUMENT,
                      "--listen '%s' would take plaintext from other machines: give --tls-cert and "
                      "--tls-key, or say --insecure",
                      options->listen);
}

enum status_code serve_security_open(const struct serve_options *options,
                                     struct serve_security *ret, struct status *st)
{
    struct serve_security security = { 0 };

    if (open_tls(options, &security.tls, st) == STATUS_OK &&
        open_tokens(options, &security.tokens, st) == STATUS_OK &&
        read_peer_token(options, security.peer_token, st) == STATUS_OK &&
        check_listen(options, security.tls, st) == STATUS_OK)
        *ret = security;
    else
        serve_security_close(&security);
    return st->code;
}

void serve_security_close(struct serve_security *security)
{
    rpc_tls_close(security->tls);
    tokens_close(security->tokens);
    explicit_bzero(security->peer_token, sizeof security->peer_token);
    *security = (struct serve_security){ 0 };
}

struct rpc_channel_options serve_security_peers(const struct serve_options *options,
                                                const struct serve_security *security)
{
    return (struct rpc_channel_options){
        .tls = security->tls,
        .token = security->peer_token[0] != '\0' ? security->peer_token : NULL,
        .passes_tokens = security->tokens != NULL,
        .insecure = options->insecure,
    };
}
