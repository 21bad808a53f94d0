#ifndef SUTRA_SERVE_OPTIONS_H
#define SUTRA_SERVE_OPTIONS_H

/**
 * The options that all servers have. A server's own configuration holds them as a member named
 * `serve`, and its table of options begins with SERVE_OPTIONS(). deploy/docs/operations.md says
 * what they are for and why the defaults are what they are.
 */

#include "src/config/config.h"

struct serve_options {
    const char *listen;
    uint64_t drain_ms;
    uint64_t grace_ms;
    bool insecure;
    const char *tls_cert;
    const char *tls_key;
    const char *tls_ca;
    const char *tls_client_auth;
    const char *tokens;
    const char *peer_token;
    bool health_open;
    bool reflection_open;
    uint64_t max_connection_age_ms;
    uint64_t max_connection_age_grace_ms;
    uint64_t keepalive_ms;
    uint64_t keepalive_timeout_ms;
    uint64_t max_streams;
    uint64_t max_message_mb;
    const char *metrics_listen;
    uint64_t slow_ms;
    const char *log_format;
};

/* clang-format off */
#define SERVE_OPTIONS(config_, listen_)                                                            \
    CONFIG_OPTION(config_, serve.listen, "listen", CONFIG_STRING, listen_, 0, 0,                   \
                  "host:port (port 0: any free one) or unix:/path"),                               \
    CONFIG_OPTION(config_, serve.drain_ms, "drain-ms", CONFIG_UINT, "0", 0, 600000,                \
                  "how long to go on serving after SIGTERM, with health NOT_SERVING"),             \
    CONFIG_OPTION(config_, serve.grace_ms, "grace-ms", CONFIG_UINT, "5000", 0, 600000,             \
                  "how long running calls may go on after that"),                                  \
    CONFIG_OPTION(config_, serve.insecure, "insecure", CONFIG_BOOL, "false", 0, 0,                 \
                  "allow plaintext to and from other machines"),                                   \
    CONFIG_OPTION(config_, serve.tls_cert, "tls-cert", CONFIG_STRING, "", 0, 0,                    \
                  "PEM file of this server's certificate; with it, TLS is served"),                \
    CONFIG_OPTION(config_, serve.tls_key, "tls-key", CONFIG_STRING, "", 0, 0,                      \
                  "PEM file of the certificate's key"),                                            \
    CONFIG_OPTION(config_, serve.tls_ca, "tls-ca", CONFIG_STRING, "", 0, 0,                        \
                  "PEM file of authorities; with it, other servers are called with TLS"),          \
    CONFIG_OPTION(config_, serve.tls_client_auth, "tls-client-auth", CONFIG_STRING, "none", 0, 0,  \
                  "none, or require: only clients with a certificate of --tls-ca"),                \
    CONFIG_OPTION(config_, serve.tokens, "tokens", CONFIG_STRING, "", 0, 0,                        \
                  "file of lines 'NAME ROLE sha256:HEX': who may call; without it everybody"),     \
    CONFIG_OPTION(config_, serve.peer_token, "peer-token", CONFIG_STRING, "", 0, 0,                \
                  "file with the token that this server shows to other servers"),                  \
    CONFIG_OPTION(config_, serve.health_open, "health-open", CONFIG_BOOL, "true", 0, 0,            \
                  "health checks need no token"),                                                  \
    CONFIG_OPTION(config_, serve.reflection_open, "reflection-open", CONFIG_BOOL, "true", 0, 0,    \
                  "reflection needs no token"),                                                   \
    CONFIG_OPTION(config_, serve.max_connection_age_ms, "max-connection-age-ms", CONFIG_UINT,      \
                  "1800000", 0, 86400000,                                                          \
                  "age, ±10 %, at which a client is asked to connect anew; 0: never"),             \
    CONFIG_OPTION(config_, serve.max_connection_age_grace_ms, "max-connection-age-grace-ms",       \
                  CONFIG_UINT, "60000", 1, 86400000,                                               \
                  "how long calls may go on on a connection that is too old"),                     \
    CONFIG_OPTION(config_, serve.keepalive_ms, "keepalive-ms", CONFIG_UINT, "60000", 1000,         \
                  86400000, "silence after which a client is asked for a sign of life"),           \
    CONFIG_OPTION(config_, serve.keepalive_timeout_ms, "keepalive-timeout-ms", CONFIG_UINT,        \
                  "20000", 100, 600000, "how long it may take to give one"),                       \
    CONFIG_OPTION(config_, serve.max_streams, "max-streams", CONFIG_UINT, "1024", 1, 1000000,      \
                  "calls of one connection at a time; further ones wait"),                         \
    CONFIG_OPTION(config_, serve.max_message_mb, "max-message-mb", CONFIG_UINT, "64", 4, 256,      \
                  "MiB that a request or a reply may have"),                                            \
    CONFIG_OPTION(config_, serve.metrics_listen, "metrics-listen", CONFIG_STRING, "", 0, 0,        \
                  "host:port of http://…/metrics for Prometheus; without it: none"),               \
    CONFIG_OPTION(config_, serve.slow_ms, "slow-ms", CONFIG_UINT, "1000", 0, 86400000,             \
                  "calls that take longer are logged; 0: none"),                                   \
    CONFIG_OPTION(config_, serve.log_format, "log-format", CONFIG_STRING, "logfmt", 0, 0,          \
                  "logfmt or json")

/* Of the servers that call others: see rpc_call_patient(). */
#define PEER_WAIT_OPTION(config_)                                                                  \
    CONFIG_OPTION(config_, peer_wait_ms, "peer-wait-ms", CONFIG_UINT, "15000", 0, 600000,          \
                  "how long calls wait for a shard or an embedder that restarts")
/* clang-format on */

#endif
